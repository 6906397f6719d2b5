//! The plugin's end of the pipes to Node: three threads, so that neither side ever waits for the other's pipe.
use crate::frame_buffer::{FrameBuffer, OutputEnd};
use crate::process::{Pipes, Process};
use crate::protocol::{Form, Limits, PacketReader};
use efference_child_process::Printed;
use efference_sdk::{Result, ResultExt, bail};
use std::io::Write;
use std::path::PathBuf;
use std::process::{ChildStdin, ChildStdout};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::Builder;
use std::time::Duration;

/// Bytes of replies that may wait for WebEnv to read them.
const UNREAD: usize = 1 << 28;

/// What is to be started.
pub(crate) struct Start {
    pub(crate) node: String,
    pub(crate) script: String,
    pub(crate) folder: PathBuf,
    pub(crate) form: Form,
    pub(crate) limits: Limits,
}

/// A running WebEnv. Dropping it ends the process and the threads.
pub(crate) struct Link {
    pub(crate) process: Arc<Process>,
    pub(crate) buffer: Arc<FrameBuffer>,
    pub(crate) log: Arc<Printed>,
    replies: Option<Sender<Vec<u8>>>,
    unread: Arc<AtomicUsize>,
    /// Each disconnects when its threads have ended.
    log_ended: Receiver<()>,
    threads_ended: Receiver<()>,
}

impl Link {
    /// Starts Node, and sends the handshake.
    pub(crate) fn start(start: Start) -> Result<Link> {
        let (log, buffer) = (Arc::new(Printed::without(is_a_place)), Arc::new(FrameBuffer::default()));
        let unread = Arc::new(AtomicUsize::new(0));
        let (running, threads_ended) = mpsc::channel();
        let (logging, log_ended) = mpsc::channel();
        let (handshake, form, limits) = (start.form.handshake().to_vec(), start.form, start.limits);

        // Node gets a signal when the thread that has started it ends: this one ends after Node.
        let (started, is_started) = mpsc::channel();
        let filled = buffer.clone();
        let alive = running.clone();
        Builder::new().name("webenv stdout".to_owned()).spawn(move || {
            let _alive = alive;
            match Process::start(&start.node, &start.script, &start.folder) {
                Err(e) => drop(started.send(Err(e))),
                Ok((process, Pipes { stdin, stdout, stderr })) => {
                    let process = Arc::new(process);
                    if started.send(Ok((process.clone(), stdin, stderr))).is_ok() {
                        read(stdout, form, limits, &filled);
                        while process.wait(Duration::from_secs(1)).is_none() {}
                    }
                }
            }
        })?;
        let Ok(is_started) = is_started.recv() else { bail!("the thread that starts node has ended early") };
        let (process, stdin, stderr) = is_started?;

        let (sender, replies) = mpsc::channel();
        // From here on, dropping the link ends the process.
        let link = Link {
            process,
            buffer,
            log: log.clone(),
            replies: Some(sender),
            unread: unread.clone(),
            log_ended,
            threads_ended,
        };
        let alive = running.clone();
        Builder::new().name("webenv stderr".to_owned()).spawn(move || {
            let _alive = (alive, logging);
            log.read(stderr);
        })?;
        Builder::new().name("webenv stdin".to_owned()).spawn(move || {
            let _alive = running;
            write(stdin, &replies, &unread);
        })?;
        link.send(handshake).context("the handshake")?;
        Ok(link)
    }

    /// Passes bytes to the thread that writes. If WebEnv has gone, they are lost, and reading shows why.
    pub(crate) fn send(&self, bytes: Vec<u8>) -> Result<()> {
        let unread = self.unread.fetch_add(bytes.len(), Ordering::Relaxed);
        if unread > UNREAD {
            bail!("WebEnv goes on sending but has left {} MiB of replies unread: it hangs", unread >> 20);
        }
        if let Some(replies) = &self.replies {
            let _ = replies.send(bytes);
        }
        Ok(())
    }

    /// The last lines on stderr, after waiting a little for what is still under way if Node has ended.
    pub(crate) fn stderr_tail(&self) -> String {
        if self.process.ended().is_some() {
            let _ = self.log_ended.recv_timeout(Duration::from_millis(500));
        }
        self.log.tail()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.buffer.close();
        self.replies = None;
        self.process.stop();
        // They end with their pipes. Should something that Node has started hold one open, they are left behind.
        let _ = self.threads_ended.recv_timeout(Duration::from_secs(1));
    }
}

/// Where in its sources something happened helps nobody here, and would push out what happened.
fn is_a_place(line: &str) -> bool {
    line.trim_start().starts_with("at ")
}

fn read(stdout: ChildStdout, form: Form, limits: Limits, buffer: &FrameBuffer) {
    let mut reader = PacketReader::new(stdout, form, limits);
    loop {
        match reader.next_packet() {
            Ok(Some(packet)) => {
                if !buffer.push(packet) {
                    return;
                }
            }
            Ok(None) => return buffer.end(OutputEnd::Ended),
            Err(e) => return buffer.end(OutputEnd::Broken(e)),
        }
    }
}

fn write(mut stdin: ChildStdin, replies: &Receiver<Vec<u8>>, unread: &AtomicUsize) {
    // Ends when nobody sends any more, or reads any more.
    for bytes in replies {
        if stdin.write_all(&bytes).is_err() {
            return;
        }
        unread.fetch_sub(bytes.len(), Ordering::Relaxed);
    }
}

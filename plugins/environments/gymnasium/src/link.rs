//! The socket to the child: lines of JSON, bytes that they announce, and empty lines that wake.
use efference_child_process::Program;
use efference_sdk::serde::Serialize;
use efference_sdk::{Error, Result, ResultExt, serde_json, tracing};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use std::io::{ErrorKind, IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The program that the child runs.
const SCRIPT: &str = include_str!("child.py");
/// Bytes of a line, and of what follows one, at most.
const LINE: usize = 1 << 28;
const PAYLOAD: usize = 1 << 32;

/// The child and the way to it.
pub(crate) struct Link {
    // In the order in which they are dropped: the end of the socket tells the child to end.
    socket: Option<UnixStream>,
    program: Program,
    /// What was read and not taken yet.
    read: Vec<u8>,
    /// How far a line's end was looked for in it.
    searched: usize,
}

impl Link {
    /// Starts the child.
    ///
    /// # Errors
    /// The Python can't be started.
    pub(crate) fn start(python: &str) -> Result<Link> {
        let (socket, theirs) = UnixStream::pair()?;
        let mut command = Command::new(python);
        // Unbuffered, so that what is printed is there when it is asked for; and in each run with the same order of sets.
        command.args(["-u", "-c", SCRIPT]).env("PYTHONHASHSEED", "0");
        command.stdin(OwnedFd::from(theirs)).stdout(Stdio::null());
        let (program, _, _) = Program::start(command).map_err(|e| {
            let message = format!(
                "cannot start '{python}', the Python of the option 'python'. Install it, or say where it is"
            );
            Error::from(e).context(message).in_option("python")
        })?;
        Ok(Link { socket: Some(socket), program, read: Vec::new(), searched: 0 })
    }

    /// Writes to the log what was printed since the last call.
    pub(crate) fn log(&self) {
        let (left_out, lines) = self.program.take_printed();
        if left_out > 0 {
            tracing::info!("Python printed {left_out} lines more than fit here");
        }
        for line in lines {
            tracing::info!("Python printed: {line}");
        }
    }

    /// How long a message may take to be sent.
    pub(crate) fn set_send_timeout(&self, timeout: Option<Duration>) -> Result<()> {
        self.socket.as_ref().map_or(Ok(()), |socket| Ok(socket.set_write_timeout(timeout)?))
    }

    /// Sends a message, and what follows it. If the child has gone it is lost, and reading shows why.
    ///
    /// # Errors
    /// The child takes nothing for too long.
    pub(crate) fn send(&mut self, message: &impl Serialize, payload: &[u8]) -> Result<()> {
        let mut bytes = serde_json::to_vec(message)?;
        bytes.push(b'\n');
        bytes.extend_from_slice(payload);
        self.write(&bytes)
    }

    /// Has the child look into the memory.
    pub(crate) fn wake(&mut self) -> Result<()> {
        self.write(b"\n")
    }

    /// Sends a message, and with it a file.
    pub(crate) fn send_with_file(&mut self, message: &impl Serialize, file: &OwnedFd) -> Result<()> {
        let mut bytes = serde_json::to_vec(message)?;
        bytes.push(b'\n');
        let Some(socket) = &self.socket else { return Ok(()) };
        let files = [file.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        control.push(SendAncillaryMessage::ScmRights(&files));
        let sent = sendmsg(socket, &[IoSlice::new(&bytes)], &mut control, SendFlags::NOSIGNAL);
        match sent {
            Ok(sent) => self.write(&bytes[sent..]),
            Err(_) => self.lose(),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let Some(socket) = &mut self.socket else { return Ok(()) };
        match socket.write_all(bytes) {
            Ok(()) => Ok(()),
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Err(self.says("takes no message any more (silence_timeout)"))
            }
            Err(_) => self.lose(),
        }
    }

    /// What is sent from now on is lost; what the child said last can still be read.
    fn lose(&mut self) -> Result<()> {
        let Some(socket) = &self.socket else { return Ok(()) };
        let _ = socket.shutdown(std::net::Shutdown::Write);
        Ok(())
    }

    /// The next line that is not empty; `None` if it is not there by the deadline, or if an empty one came.
    ///
    /// # Errors
    /// The child has ended.
    pub(crate) fn line(&mut self, deadline: Instant) -> Result<Option<Vec<u8>>> {
        loop {
            let end = self.read[self.searched..].iter().position(|byte| *byte == b'\n');
            if let Some(end) = end.map(|end| end + self.searched) {
                self.searched = 0;
                let line: Vec<u8> = self.read.drain(..=end).take(end).collect();
                return Ok(Some(line).filter(|line| !line.is_empty()));
            }
            self.searched = self.read.len();
            if self.read.len() > LINE {
                return Err(self.says(&format!("has sent a line longer than {} MiB", LINE >> 20)));
            }
            if !self.fill(deadline)? {
                return Ok(None);
            }
        }
    }

    /// So many bytes behind a line; `None` if they are not there by the deadline.
    ///
    /// # Errors
    /// As of [`line`](Self::line), and more bytes than are taken.
    pub(crate) fn payload(&mut self, bytes: usize, deadline: Instant) -> Result<Option<Vec<u8>>> {
        if bytes > PAYLOAD {
            return Err(self.says(&format!("announces more than {} MiB", PAYLOAD >> 20)));
        }
        while self.read.len() < bytes {
            if !self.fill(deadline)? {
                return Ok(None);
            }
        }
        self.searched = 0;
        Ok(Some(self.read.drain(..bytes).collect()))
    }

    /// Reads what is there, waiting for it until the deadline; whether there was anything.
    fn fill(&mut self, deadline: Instant) -> Result<bool> {
        loop {
            let Some(socket) = &mut self.socket else { return Err(self.ended()) };
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
            match poll(&mut [PollFd::new(&*socket, PollFlags::IN)], Some(&timeout)) {
                Ok(0) => return Ok(false),
                Ok(_) => {}
                Err(Errno::INTR) if left.is_zero() => return Ok(false),
                Err(Errno::INTR) => continue,
                Err(e) => return Err(e.into()),
            }
            let old = self.read.len();
            self.read.resize(old + (1 << 16), 0);
            let count = socket.read(&mut self.read[old..]);
            self.read.truncate(old + *count.as_ref().unwrap_or(&0));
            match count {
                Ok(0) => return Err(self.ended()),
                Ok(_) => return Ok(true),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                // It was reset: the child has ended with something unread.
                Err(_) => return Err(self.ended()),
            }
        }
    }

    /// It has gone: how, and its last words.
    fn ended(&mut self) -> Error {
        self.socket = None;
        match self.program.wait(Duration::from_secs(2)) {
            Some(status) => self.says(&format!("has ended ({status})")),
            None => self.says("has closed its connection"),
        }
    }

    /// An error about the child, with its last words.
    pub(crate) fn says(&self, what: &str) -> Error {
        self.with_last_words(Error::msg(format!("the Python of the environments {what}")))
    }

    /// An error, and below it what was printed last.
    pub(crate) fn with_last_words(&self, error: Error) -> Error {
        let words = Err::<(), _>(Error::msg(self.program.last_words()));
        words.context(error.to_string()).err().unwrap_or(error)
    }

    /// Waits for the end of the child, which has said that it ends.
    pub(crate) fn wait_for_end(&self) {
        self.program.wait(Duration::from_secs(2));
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.socket = None;
        self.log();
    }
}

//! A program whose output is read: it ends with the environment, in whatever way that ends.
use efference_child_process::Printed;
use efference_child_process::group::{self, Signal};
use std::ffi::OsString;
use std::io;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::Builder;
use std::time::Duration;

/// A running program, or one that has ended.
pub(crate) struct Program {
    child: Arc<Mutex<Child>>,
    printed: Arc<Printed>,
    /// Disconnects when its standard error has ended.
    printing: mpsc::Receiver<()>,
}

impl Program {
    /// Starts it, with its standard output as a pipe.
    pub(crate) fn start(program: &str, arguments: Vec<OsString>) -> io::Result<(Program, ChildStdout)> {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        group::own_group_that_ends_with_this_thread(&mut command, Signal::Kill);
        let printed = Arc::new(Printed::default());
        let (started, is_started) = mpsc::channel();
        let (prints, printing) = mpsc::channel::<()>();
        let theirs = printed.clone();
        // It gets a signal when the thread that has started it ends. This one ends after it: with its standard error.
        Builder::new().name("recording".to_owned()).spawn(move || {
            let mut child = match command.spawn() {
                Ok(child) => child,
                Err(error) => return drop(started.send(Err(error))),
            };
            let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
            let child = Arc::new(Mutex::new(child));
            if started.send(Ok((child.clone(), stdout))).is_ok() {
                if let Some(stderr) = stderr {
                    theirs.read(stderr);
                }
                drop(prints);
                while !ended(&child) {
                    std::thread::sleep(Duration::from_millis(20));
                }
            }
        })?;
        let gone = || io::Error::other("the thread that starts it has ended");
        let (child, stdout) = is_started.recv().map_err(|_| gone())??;
        Ok((Program { child, printed, printing }, stdout.ok_or_else(gone)?))
    }

    /// Waits for its end, which is near, as its output has ended; how it ended, if not well, with its last words.
    pub(crate) fn end(&self) -> Result<(), String> {
        let status = lock(&self.child).wait().map_err(|error| format!("cannot be waited for: {error}"))?;
        if status.success() {
            return Ok(());
        }
        let _ = self.printing.recv_timeout(Duration::from_millis(500));
        Err(match self.printed.tail() {
            tail if tail.is_empty() => format!("has ended ({status}) and printed nothing"),
            tail => format!("has ended ({status}); it printed last:{tail}"),
        })
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let mut child = lock(&self.child);
        // While it has not been waited for, its number is not anyone else's.
        if matches!(child.try_wait(), Ok(None)) {
            group::kill_group(child.id());
            let _ = child.wait();
        }
    }
}

fn lock(child: &Mutex<Child>) -> std::sync::MutexGuard<'_, Child> {
    child.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether it has ended and been waited for.
fn ended(child: &Mutex<Child>) -> bool {
    // What cannot be waited for is gone.
    !matches!(lock(child).try_wait(), Ok(None))
}

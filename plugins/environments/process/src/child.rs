//! The program: started so that it cannot outlive this process, and ended with all that is in its process group.
//! A group's number is used only while its leader has not been waited for: so it cannot be anyone else's.
use efference_child_process::Printed;
use efference_child_process::group::{self, Signal};
use efference_sdk::{Error, Result, bail, tracing};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::{self, Builder};
use std::time::{Duration, Instant};

/// How long it may take to end by itself once its standard input is closed.
const GRACE: Duration = Duration::from_secs(2);
const CHECK_PERIOD: Duration = Duration::from_millis(5);

/// A running program, or one that has ended.
pub(crate) struct Program {
    state: Arc<Mutex<State>>,
    /// On its standard error.
    printed: Arc<Printed>,
    /// Disconnects when its standard error has ended.
    printing: mpsc::Receiver<()>,
}

enum State {
    Running(Child),
    Ended(ExitStatus),
}

impl Program {
    /// Starts it.
    pub(crate) fn start(program: &str, arguments: &[String]) -> Result<(Program, ChildStdin, ChildStdout)> {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        group::own_group_that_ends_with_this_thread(&mut command, Signal::Kill);
        let printed = Arc::new(Printed::default());
        let (started, is_started) = mpsc::channel();
        let (prints, printing) = mpsc::channel::<()>();
        let theirs = printed.clone();
        // It gets a signal when the thread that has started it ends. This one ends after it.
        Builder::new().name("process".to_owned()).spawn(move || {
            let mut child = match command.spawn() {
                Ok(child) => child,
                Err(e) => return drop(started.send(Err(e))),
            };
            let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
            let state = Arc::new(Mutex::new(State::Running(child)));
            let (stdin, stdout, stderr) = pipes;
            if started.send(Ok((state.clone(), stdin, stdout))).is_ok() {
                if let Some(stderr) = stderr {
                    theirs.read(stderr);
                }
                drop(prints);
                while ended(&state).is_none() {
                    thread::sleep(Duration::from_millis(200));
                }
            }
        })?;
        let Ok(is_started) = is_started.recv() else { bail!("the thread that starts the program has ended") };
        let (state, stdin, stdout) = is_started.map_err(|e| {
            Error::from(e).context(format!(
                "cannot start '{program}', the program of the option 'command'. Install it, or say where it is"
            ))
        })?;
        let started = Program { state, printed, printing };
        match (stdin, stdout) {
            (Some(stdin), Some(stdout)) => Ok((started, stdin, stdout)),
            _ => bail!("the program was started without its pipes"),
        }
    }

    /// How it ended, if it has; waits at most this long.
    pub(crate) fn wait(&self, timeout: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + timeout;
        loop {
            let ended = ended(&self.state);
            if ended.is_some() || Instant::now() >= deadline {
                return ended;
            }
            thread::sleep(CHECK_PERIOD);
        }
    }

    /// What it printed last, after waiting a little for what is still under way.
    pub(crate) fn last_words(&self) -> String {
        if ended(&self.state).is_some() {
            let _ = self.printing.recv_timeout(Duration::from_millis(500));
        }
        match self.printed.tail() {
            tail if tail.is_empty() => "it printed nothing on its standard error".to_owned(),
            tail => format!("it printed last:{tail}"),
        }
    }

    /// Writes to the log what it printed since the last call.
    pub(crate) fn log(&self) {
        let (left_out, lines) = self.printed.take();
        if left_out > 0 {
            tracing::info!("the program printed {left_out} lines more than fit here");
        }
        for line in lines {
            tracing::info!("the program printed: {line}");
        }
    }
}

impl Drop for Program {
    /// Its standard input should be closed by now, which tells it to end.
    fn drop(&mut self) {
        if self.wait(GRACE).is_none() {
            if let State::Running(child) = &*lock(&self.state) {
                group::kill_group(child.id());
            }
            self.wait(GRACE);
        }
    }
}

fn lock(state: &Mutex<State>) -> std::sync::MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How it ended, if it has. What is left of its group is ended too.
fn ended(state: &Mutex<State>) -> Option<ExitStatus> {
    let mut state = lock(state);
    match &mut *state {
        State::Ended(status) => Some(*status),
        State::Running(child) if group::has_ended(child.id()) => {
            // Before it is waited for: until then its group's number is not anyone else's.
            group::kill_group(child.id());
            let status = child.wait().unwrap_or_default();
            *state = State::Ended(status);
            Some(status)
        }
        State::Running(_) => None,
    }
}

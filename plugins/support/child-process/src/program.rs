//! A program: started so that it cannot outlive this process, and ended with all that is in its process group.
//! A group's number is used only while its leader has not been waited for: so it cannot be anyone else's.
use crate::group::{self, Signal};
use crate::printed::Printed;
use std::collections::VecDeque;
use std::io;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::{self, Builder};
use std::time::{Duration, Instant};

/// How long it may take to end by itself once what it reads from is closed.
const GRACE: Duration = Duration::from_secs(2);
const CHECK_PERIOD: Duration = Duration::from_millis(5);

/// A running program, or one that has ended.
#[derive(Debug)]
pub struct Program {
    state: Arc<Mutex<State>>,
    /// On its standard error.
    printed: Arc<Printed>,
    /// Disconnects when its standard error has ended.
    printing: mpsc::Receiver<()>,
}

#[derive(Debug)]
enum State {
    Running(Child),
    Ended(ExitStatus),
}

/// What was started: the program, and those of its standard input and output that are pipes.
pub type Started = (Program, Option<ChildStdin>, Option<ChildStdout>);

impl Program {
    /// Starts it. Where its standard input and output lead is up to `command`; its standard error is read here.
    ///
    /// # Errors
    /// What the system says, if it can't be started.
    pub fn start(mut command: Command) -> io::Result<Started> {
        command.stderr(Stdio::piped());
        group::own_group_that_ends_with_this_thread(&mut command, Signal::Kill);
        let printed = Arc::new(Printed::default());
        let (started, is_started) = mpsc::channel();
        let (prints, printing) = mpsc::channel::<()>();
        let theirs = printed.clone();
        // It gets a signal when the thread that has started it ends. This one ends after it.
        Builder::new().name("program".to_owned()).spawn(move || {
            let spawned = command.spawn();
            // Descriptors that it was given are its alone from now on: when it ends, so does what they lead to.
            drop(command);
            let mut child = match spawned {
                Ok(child) => child,
                Err(e) => return drop(started.send(Err(e))),
            };
            let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
            let state = Arc::new(Mutex::new(State::Running(child)));
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
        let is_started = is_started.recv().map_err(io::Error::other)?;
        let (state, stdin, stdout) = is_started?;
        Ok((Program { state, printed, printing }, stdin, stdout))
    }

    /// How it ended, if it has; waits at most this long.
    pub fn wait(&self, timeout: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + timeout;
        loop {
            let ended = ended(&self.state);
            if ended.is_some() || Instant::now() >= deadline {
                return ended;
            }
            thread::sleep(CHECK_PERIOD);
        }
    }

    /// What it printed last on its standard error, after waiting a little for what is still under way.
    pub fn last_words(&self) -> String {
        if ended(&self.state).is_some() {
            let _ = self.printing.recv_timeout(Duration::from_millis(500));
        }
        match self.printed.tail() {
            tail if tail.is_empty() => "it printed nothing on its standard error".to_owned(),
            tail => format!("it printed last:{tail}"),
        }
    }

    /// Takes what it printed since the last call, and how many lines before that were too many.
    pub fn take_printed(&self) -> (usize, VecDeque<String>) {
        self.printed.take()
    }
}

impl Drop for Program {
    /// What it reads from should be closed by now, which tells it to end.
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

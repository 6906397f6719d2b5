//! The program: started so that it cannot outlive this process, and ended with all that is in its process group.
//!
//! Rules of the unsafe code here: what runs between fork and exec takes no memory and calls async-signal-safe functions
//! alone; `kill` takes numbers, and a group's number is used only while its leader has not been waited for.
#![allow(unsafe_code)]
use crate::tail::Tail;
use efference_sdk::{Error, Result, bail};
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::{self, Builder};
use std::time::{Duration, Instant};

/// How long it may take to end by itself once its standard input is closed.
const GRACE: Duration = Duration::from_secs(2);
const CHECK_PERIOD: Duration = Duration::from_millis(5);

/// A running program, or one that has ended.
pub(crate) struct Program {
    state: Arc<Mutex<State>>,
    /// What it printed last on its standard error.
    pub(crate) tail: Arc<Tail>,
    /// Disconnects when its standard error has ended.
    printed: mpsc::Receiver<()>,
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
        command.process_group(0);
        ends_with_this_thread(&mut command);
        let tail = Arc::new(Tail::default());
        let (started, is_started) = mpsc::channel();
        let (printing, printed) = mpsc::channel::<()>();
        let theirs = tail.clone();
        // It gets a signal when the thread that has started it ends. This one ends after it.
        Builder::new().name("process".to_owned()).spawn(move || {
            let _printing = printing;
            let mut child = match command.spawn() {
                Ok(child) => child,
                Err(e) => return drop(started.send(Err(e))),
            };
            let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
            let state = Arc::new(Mutex::new(State::Running(child)));
            let (stdin, stdout, stderr) = pipes;
            if started.send(Ok((state.clone(), stdin, stdout))).is_ok() {
                stderr.map(|stderr: ChildStderr| theirs.read(stderr));
                drop(_printing);
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
        let started = Program { state, tail, printed };
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
            let _ = self.printed.recv_timeout(Duration::from_millis(500));
        }
        self.tail.quoted()
    }
}

impl Drop for Program {
    /// Its standard input should be closed by now, which tells it to end.
    fn drop(&mut self) {
        if self.wait(GRACE).is_none() {
            if let State::Running(child) = &*lock(&self.state) {
                kill_group(child);
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
        State::Running(child) if has_ended(child) => {
            // Before it is waited for: until then its group's number is not anyone else's.
            kill_group(child);
            let status = child.wait().unwrap_or_default();
            *state = State::Ended(status);
            Some(status)
        }
        State::Running(_) => None,
    }
}

/// Whether it has ended; it stays there to be waited for.
fn has_ended(child: &Child) -> bool {
    // SAFETY: `siginfo_t` is plain data, for which zeros are valid.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: `info` is a local that outlives the call.
    let done = unsafe { libc::waitid(libc::P_PID, child.id(), &raw mut info, options) };
    // SAFETY: waitid has filled in the fields of a child, or left the zeros.
    done != 0 || unsafe { info.si_pid() } != 0
}

fn kill_group(leader: &Child) {
    // SAFETY: takes numbers; the leader is a child that was not waited for.
    unsafe { libc::kill(-(leader.id() as libc::pid_t), libc::SIGKILL) };
}

/// Has the child killed when the thread that starts it ends, in whatever way.
fn ends_with_this_thread(command: &mut Command) {
    #[cfg(target_os = "linux")]
    {
        let parent = std::process::id() as libc::pid_t;
        let before_exec = move || {
            // SAFETY: both take and return numbers, and are async-signal-safe.
            let (failed, came_from) = unsafe {
                (libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong), libc::getppid())
            };
            if failed != 0 {
                return Err(io::Error::last_os_error());
            }
            // The parent may have died before the wish for a signal was known.
            if came_from == parent { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::ESRCH)) }
        };
        // SAFETY: the closure follows the rules above; errors made from numbers take no memory.
        unsafe { command.pre_exec(before_exec) };
    }
}

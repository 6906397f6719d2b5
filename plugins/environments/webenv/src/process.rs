//! The Node process: started so that it cannot outlive this one, and ended with all that it has started.
use efference_child_process::group::{self, Signal};
use efference_sdk::{Error, Result};
use std::io;
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long Node has to end its browser and itself after SIGINT.
const GRACE: Duration = Duration::from_secs(3);
const CHECK_PERIOD: Duration = Duration::from_millis(5);

/// In the environment of Node and of whatever it starts, with a value that only these have: browsers are started
/// in process groups of their own, and this finds them.
pub(crate) const MARK: &str = "STARTED_BY_EFFERENCE_WEBENV";

/// A running Node, or one that has ended.
#[derive(Debug)]
pub(crate) struct Process {
    id: u32,
    mark: String,
    // Its id is only used under this lock while it has not been waited for: so it cannot be anyone else's.
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    Running(Child),
    Ended(ExitStatus),
}

/// The ends of its pipes.
pub(crate) struct Pipes {
    pub(crate) stdin: ChildStdin,
    pub(crate) stdout: ChildStdout,
    pub(crate) stderr: ChildStderr,
}

impl Process {
    /// Starts `node -e script` in a folder. To be called on a thread that lives as long as Node shall.
    pub(crate) fn start(node: &str, script: &str, folder: &Path) -> Result<(Process, Pipes)> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let mark = format!("{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        // A path is meant as seen from here, not from the checkout.
        let program = if node.contains('/') { std::path::absolute(node)? } else { node.into() };
        let mut command = Command::new(program);
        command.arg("-e").arg(script).current_dir(folder).env(MARK, &mark);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        group::own_group_that_ends_with_this_thread(&mut command, Signal::Interrupt);
        let mut child = command.spawn().map_err(|e| cannot_start(node, e))?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let process = Process { id: child.id(), mark, state: Mutex::new(State::Running(child)) };
        let (Some(stdin), Some(stdout), Some(stderr)) = pipes else {
            process.stop();
            return Err(Error::msg("node was started without its pipes"));
        };
        Ok((process, Pipes { stdin, stdout, stderr }))
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    /// How it ended, if it has. What it started is ended with it.
    pub(crate) fn ended(&self) -> Option<ExitStatus> {
        let mut state = self.state.lock().unwrap_or_else(|e| e.into_inner());
        match &mut *state {
            State::Ended(status) => Some(*status),
            State::Running(child) if group::has_ended(child.id()) => {
                // Before it is waited for: as long as it is there, its group's number is not anyone else's.
                group::kill_group(child.id());
                let status = child.wait().unwrap_or_default();
                *state = State::Ended(status);
                drop(state);
                self.sweep();
                Some(status)
            }
            State::Running(_) => None,
        }
    }

    /// Waits for its end, at most this long.
    pub(crate) fn wait(&self, timeout: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + timeout;
        loop {
            let ended = self.ended();
            if ended.is_some() || Instant::now() >= deadline {
                return ended;
            }
            sleep(CHECK_PERIOD);
        }
    }

    /// Ends it and what it has started: SIGINT, on which it ends its browser, and SIGKILL to what is left. (SIGTERM
    /// only makes it restart its browser.)
    pub(crate) fn stop(&self) {
        let signal = |send: fn(u32)| {
            if let State::Running(child) = &*self.state.lock().unwrap_or_else(|e| e.into_inner()) {
                send(child.id());
            }
        };
        signal(group::interrupt);
        if self.wait(GRACE).is_none() {
            signal(group::kill_group);
            self.wait(GRACE);
        }
    }

    /// Ends the marked processes that are still there.
    fn sweep(&self) {
        let mark = format!("{MARK}={}", self.mark);
        let Ok(processes) = std::fs::read_dir("/proc") else { return };
        for process in processes.flatten() {
            let Some(id) = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
                continue;
            };
            let marked = |environment: Vec<u8>| environment.split(|b| *b == 0).any(|v| v == mark.as_bytes());
            if std::fs::read(process.path().join("environ")).is_ok_and(marked) {
                group::kill(id);
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}

fn cannot_start(node: &str, error: io::Error) -> Error {
    Error::from(error).context(format!(
        "cannot start '{node}', the program of the option 'node': WebEnv runs on Node 20 or later; install it (Debian and Ubuntu: `apt-get install nodejs npm`), or say where it is"
    ))
}

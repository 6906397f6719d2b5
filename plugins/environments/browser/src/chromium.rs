//! One running Chromium: starting it, knowing that it is well, ending it.
use crate::bridge::Bridge;
use crate::devtools::{Connection, Failure, lock, printable};
use crate::gate::Gate;
use crate::lock_step::{Pace, Turns};
use crate::options::Options;
use crate::process::{self, Group, Pipes};
use crate::profile::Profile;
use crate::program;
use efference_sdk::{Error, Result, ResultExt, tracing};
use rustix::process::Pid;
use serde::Deserialize;
use serde_json::json;
use std::collections::VecDeque;
use std::io::Read;
use std::path::Path;
use std::process::ChildStderr;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long a start may take; it takes half a second on an idle machine.
const START_LIMIT: Duration = Duration::from_secs(30);
/// How long the browser itself, not a page, may take to answer.
pub(crate) const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// How often it is asked for a sign of life.
const PING: Duration = Duration::from_millis(500);
/// How many bytes of its stderr are kept.
const STDERR_TAIL: usize = 4_096;

/// A running browser; all of its processes and files are gone after it is dropped.
pub(crate) struct Chromium {
    /// How the time of its pages goes, if it goes step by step.
    pub(crate) pace: Option<Pace>,
    /// In which they are drawn then.
    pub(crate) turns: Arc<Turns>,
    pub(crate) connection: Arc<Connection>,
    pub(crate) bridge: Arc<Bridge>,
    group: Arc<Group>,
    thread: Option<JoinHandle<()>>,
    /// Gives one message, when the last of its processes has ended.
    ended: Receiver<()>,
    stderr_tail: Arc<Mutex<VecDeque<u8>>>,
    profile: Profile,
    started: Instant,
    /// What it has answered to signs of life.
    life: Arc<Mutex<Life>>,
    asked: Instant,
    ready: bool,
}

#[derive(Default)]
struct Life {
    /// Its version, which is its first answer.
    version: Option<String>,
    /// Why it does not listen to what is asked first.
    refused: Option<Failure>,
    /// When the first question was sent that has no answer yet.
    unanswered: Option<Instant>,
    /// When the last question was sent that has one.
    answered: Option<Instant>,
}

impl Chromium {
    /// Starts it, and does not wait until it answers.
    pub(crate) fn start(
        program: &Path,
        options: &Options,
        pace: Option<Pace>,
        gate: Option<&Gate>,
    ) -> Result<Chromium> {
        let profile = Profile::claim(&Profile::parent())?;
        let mut command = program::command(program, options, pace.is_some(), &profile);
        let user = profile.user;
        if let Some(gate) = gate {
            gate.admit(user);
            command.args(gate.arguments());
        }
        let bridge = Arc::new(Bridge::default());
        let (sender, receiver) = sync_channel(1);
        let listener = Arc::clone(&bridge);
        // The kernel kills the browser with the thread that started it, so that is the one that reads.
        let thread = thread::Builder::new().name("efference-browser".to_owned()).spawn(move || {
            let (group, pipes) = match process::start(command, user) {
                Ok(started) => started,
                Err(error) => return drop(sender.send(Err(error))),
            };
            let Pipes { to_browser, from_browser, stderr } = pipes;
            let group = Arc::new(group);
            let connection = Arc::new(Connection::new(to_browser));
            if sender.send(Ok((Arc::clone(&group), Arc::clone(&connection), stderr))).is_ok() {
                connection.read(from_browser, &*listener);
            }
            connection.close();
            group.end();
            listener.wake();
        })?;
        let started =
            receiver.recv().map_err(|_| Error::msg("the thread that starts the browser has panicked"))?;
        let (group, connection, stderr) = started.with_context(|| cannot_start(program, user))?;
        let stderr_tail = Arc::default();
        let (sender, ended) = sync_channel(1);
        let mut chromium = Chromium {
            pace,
            turns: Arc::default(),
            connection,
            bridge,
            group,
            thread: Some(thread),
            ended,
            stderr_tail: Arc::clone(&stderr_tail),
            profile,
            started: Instant::now(),
            life: Arc::default(),
            asked: Instant::now(),
            ready: false,
        };
        thread::Builder::new().name("efference-browser-stderr".to_owned()).spawn(move || {
            read_stderr(stderr, &stderr_tail);
            let _ = sender.send(());
        })?;
        chromium.greet().map_err(|failure| chromium.explain(program, options, &failure))?;
        Ok(chromium)
    }

    /// The first messages, whose answers [`check`](Self::check) looks at.
    fn greet(&mut self) -> Result<(), Failure> {
        self.ask()?;
        let pages = json!({ "discover": true, "filter": [{ "type": "page" }] });
        let life = Arc::clone(&self.life);
        self.connection.send_then("", "Target.setDiscoverTargets", pages, move |answer| {
            if let Err(message) = answer {
                let method = "Target.setDiscoverTargets";
                lock(&life).refused = Some(Failure::Refused { method, message: message.to_owned() });
            }
        })
    }

    /// Asks for a sign of life.
    fn ask(&mut self) -> Result<(), Failure> {
        #[derive(Deserialize)]
        struct Version {
            product: String,
        }
        self.asked = Instant::now();
        lock(&self.life).unanswered.get_or_insert(self.asked);
        let (life, bridge, asked) = (Arc::clone(&self.life), Arc::clone(&self.bridge), self.asked);
        self.connection.send_then("", "Browser.getVersion", json!({}), move |answer| {
            let mut life = lock(&life);
            (life.unanswered, life.answered) = (None, Some(asked));
            if let Some(version) = answer.ok().and_then(|a| serde_json::from_str::<Version>(a).ok()) {
                life.version.get_or_insert(version.product);
            }
            drop(life);
            bridge.wake();
        })
    }

    /// Whether it answers: `false` while it starts, and while it is silent for a moment.
    pub(crate) fn check(&mut self, program: &Path) -> Result<bool, Failure> {
        let method = "Browser.getVersion";
        if self.connection.is_closed() {
            return Err(Failure::Closed { method });
        }
        let now = Instant::now();
        let (unanswered, version) = {
            let mut life = lock(&self.life);
            if let Some(failure) = life.refused.take() {
                return Err(failure);
            }
            (life.unanswered, if self.ready { None } else { life.version.take() })
        };
        if let Some(version) = version {
            self.ready = true;
            tracing::info!(
                version = printable(&version),
                program = %program.display(),
                process = self.group.id(),
                folder = %self.profile.path().display(),
                "browser started"
            );
        }
        if !self.ready {
            let late = now.duration_since(self.started) > START_LIMIT;
            return if late { Err(Failure::Late { method, limit: START_LIMIT }) } else { Ok(false) };
        }
        let silent = unanswered.map_or(Duration::ZERO, |since| now.duration_since(since));
        if silent > ANSWER_LIMIT {
            return Err(Failure::Late { method, limit: ANSWER_LIMIT });
        }
        if now.duration_since(self.asked) >= PING {
            self.ask()?;
        }
        Ok(silent < 2 * PING)
    }

    /// Until when it is known to have been well: that a page did not answer until then is its own doing.
    pub(crate) fn well_until(&self) -> Option<Instant> {
        lock(&self.life).answered
    }

    /// Whether it has ever answered.
    pub(crate) fn is_ready(&self) -> bool {
        self.ready
    }

    /// The last lines of its stderr, fit for a log, after waiting so long for the last of it.
    fn stderr_tail(&self, patience: Duration) -> String {
        if self.connection.is_closed() {
            let _ = self.ended.recv_timeout(patience);
        }
        let tail: Vec<u8> = lock(&self.stderr_tail).iter().copied().collect();
        let tail = String::from_utf8_lossy(&tail);
        let lines: Vec<_> =
            tail.lines().filter(|line| !is_noise(line)).rev().take(3).map(printable).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
    }

    /// The failure, with the end of the browser's stderr.
    pub(crate) fn exit_error(&self, failure: &Failure) -> Error {
        match self.stderr_tail(Duration::from_millis(10)) {
            tail if tail.is_empty() => Error::msg(failure),
            tail => Error::msg(format!("its stderr ends with: {tail}")).context(failure),
        }
    }

    /// Why it cannot be used at all.
    pub(crate) fn explain(&self, program: &Path, options: &Options, failure: &Failure) -> Error {
        let tail = self.stderr_tail(Duration::from_secs(1));
        let mut error = Error::msg(failure);
        if !tail.is_empty() {
            error = error.context(format!("its stderr ends with: {tail}"));
        }
        let sandbox = options.sandbox && tail.to_lowercase().contains("sandbox");
        error.context(if sandbox {
            format!(
                "{} finds no way to set up its sandbox here; allow unprivileged user namespaces \
                 (sysctl kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0), or set \
                 sandbox = false if every page to be opened is trusted",
                program.display()
            )
        } else {
            format!("{} was started, but does not answer", program.display())
        })
    }

    /// Whether this is the group of its processes.
    pub(crate) fn is_group(&self, group: Pid) -> bool {
        self.group.id().is_some_and(|id| i64::from(id) == i64::from(group.as_raw_nonzero().get()))
    }

    /// Ends it. The folder goes with the value.
    pub(crate) fn end(&mut self) {
        self.connection.close();
        self.group.kill();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // a panic was reported when it happened
            // Renderers notice a moment later; the folder is theirs until then.
            let _ = self.ended.recv_timeout(Duration::from_secs(2));
        }
    }

    #[cfg(test)]
    pub(crate) fn process(&self) -> Option<u32> {
        self.group.id()
    }

    #[cfg(test)]
    pub(crate) fn folder(&self) -> &Path {
        self.profile.path()
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        self.end();
    }
}

fn cannot_start(program: &Path, user: Option<u32>) -> String {
    match user {
        Some(user) => format!(
            "cannot start {} as user {user} (as root, the browser runs as a user that owns nothing; the program must be \
             readable and executable by everyone)",
            program.display()
        ),
        None => format!("cannot start {}", program.display()),
    }
}

/// Whether a line of stderr says nothing about what is wrong: in a container there is no D-Bus, and none is needed.
fn is_noise(line: &str) -> bool {
    line.trim().is_empty() || ["dbus", "UPower", "DBus"].iter().any(|word| line.contains(word))
}

/// Reads until every process of the browser has ended.
fn read_stderr(mut stderr: ChildStderr, saved: &Mutex<VecDeque<u8>>) {
    let mut chunk = [0; STDERR_TAIL];
    while let Ok(n @ 1..) = stderr.read(&mut chunk) {
        let mut tail = lock(saved);
        tail.extend(&chunk[..n]);
        let excess = tail.len().saturating_sub(STDERR_TAIL);
        tail.drain(..excess);
    }
}

//! One running Chromium: finding the program, starting it, ending it.
use crate::bridge::Bridge;
use crate::devtools::{Connection, Failure, lock, printable};
use crate::options::Options;
use crate::process::{self, Group, Pipes};
use crate::profile::Profile;
use efference_sdk::{Error, Result, ResultExt, bail, ensure, tracing};
use serde::Deserialize;
use serde_json::json;
use std::collections::VecDeque;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{ChildStderr, Command};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How long a start may take; it takes half a second on an idle machine.
const START_LIMIT: Duration = Duration::from_secs(30);
/// How long the browser itself, not a page, may take to answer.
pub(crate) const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// How many bytes of its stderr are kept.
const STDERR_TAIL: usize = 4_096;

/// A running browser; all of its processes and files are gone after it is dropped.
pub(crate) struct Chromium {
    pub(crate) connection: Arc<Connection>,
    pub(crate) bridge: Arc<Bridge>,
    group: Arc<Group>,
    thread: Option<JoinHandle<()>>,
    /// Gives one message, when the last of its processes has ended.
    ended: Receiver<()>,
    stderr_tail: Arc<Mutex<VecDeque<u8>>>,
    profile: Profile,
}

impl Chromium {
    /// Starts it and waits until it answers.
    pub(crate) fn start(program: &Path, options: &Options) -> Result<Chromium> {
        let profile = Profile::claim(&Profile::parent())?;
        let command = command(program, options, &profile);
        let user = profile.user;
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
        let chromium = Chromium {
            connection,
            bridge,
            group,
            thread: Some(thread),
            ended,
            stderr_tail: Arc::clone(&stderr_tail),
            profile,
        };
        thread::Builder::new().name("efference-browser-stderr".to_owned()).spawn(move || {
            read_stderr(stderr, &stderr_tail);
            let _ = sender.send(());
        })?;
        let version = chromium.handshake().map_err(|failure| chromium.explain(program, options, &failure))?;
        tracing::info!(
            version = printable(&version),
            program = %program.display(),
            process = chromium.group.id(),
            folder = %chromium.profile.path().display(),
            "browser started"
        );
        Ok(chromium)
    }

    fn handshake(&self) -> Result<String, Failure> {
        #[derive(Deserialize)]
        struct Version {
            product: String,
        }
        let version: Version = self.connection.call("", "Browser.getVersion", json!({}), START_LIMIT)?;
        let pages = json!({ "discover": true, "filter": [{ "type": "page" }] });
        self.connection.order("", "Target.setDiscoverTargets", pages, ANSWER_LIMIT)?;
        Ok(version.product)
    }

    /// Closes every page but these: popups, and what a link opened in a window of its own.
    pub(crate) fn close_unknown_targets(&self, own: &[&str]) -> Result<(), Failure> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Target {
            target_id: String,
            r#type: String,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Targets {
            target_infos: Vec<Target>,
        }
        let targets: Targets = self.connection.call("", "Target.getTargets", json!({}), ANSWER_LIMIT)?;
        for target in targets.target_infos {
            if target.r#type == "page" && !own.contains(&target.target_id.as_str()) {
                tracing::debug!("a page that another one opened is closed");
                self.connection.send("", "Target.closeTarget", json!({ "targetId": target.target_id }))?;
            }
        }
        Ok(())
    }

    /// The last lines of its stderr, fit for a log.
    pub(crate) fn stderr_tail(&self) -> String {
        if self.connection.is_closed() {
            let _ = self.ended.recv_timeout(Duration::from_secs(1));
        }
        let tail: Vec<u8> = lock(&self.stderr_tail).iter().copied().collect();
        let tail = String::from_utf8_lossy(&tail);
        let lines: Vec<_> = tail.lines().rev().take(3).map(printable).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
    }

    fn explain(&self, program: &Path, options: &Options, failure: &Failure) -> Error {
        let tail = self.stderr_tail();
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

fn command(program: &Path, options: &Options, profile: &Profile) -> Command {
    let mut command = Command::new(program);
    command.args([
        "--headless=new",
        "--remote-debugging-pipe",
        "--no-startup-window",
        // Drawing: without a GPU, with the same colours and sizes everywhere.
        "--disable-gpu",
        "--force-color-profile=srgb",
        "--force-device-scale-factor=1",
        // Each stream's window is drawn and runs as if it were the one in front.
        "--disable-backgrounding-occluded-windows",
        "--disable-background-timer-throttling",
        "--disable-renderer-backgrounding",
        "--mute-audio",
        // Nothing but the pages talks to the network, and nothing but Chromium's own processes is started.
        "--disable-background-networking",
        "--disable-breakpad",
        "--disable-component-update",
        "--disable-crash-reporter",
        "--disable-default-apps",
        "--disable-extensions",
        "--disable-quic",
        "--disable-sync",
        "--no-default-browser-check",
        "--no-first-run",
        "--no-pings",
        "--password-store=basic",
    ]);
    command.arg(format!("--window-size={},{}", options.width, options.height));
    command.arg(format!("--user-data-dir={}", profile.path().join("profile").display()));
    if options.has_audio() {
        // Nobody hears it but the agent, which has no finger to click with before it begins.
        command.arg("--autoplay-policy=no-user-gesture-required");
    }
    if !options.sandbox {
        command.arg("--no-sandbox");
    }
    // Containers often give shared memory 64 MB, less than a few pages need.
    if rustix::fs::statvfs("/dev/shm").map_or(true, |s| s.f_blocks * s.f_frsize < 512 << 20) {
        command.arg("--disable-dev-shm-usage");
    }
    for (name, folder) in [
        ("HOME", profile.path().to_owned()),
        ("TMPDIR", profile.temporary()),
        ("XDG_CACHE_HOME", profile.temporary()),
        ("XDG_CONFIG_HOME", profile.path().to_owned()),
        ("XDG_DATA_HOME", profile.path().to_owned()),
        ("XDG_RUNTIME_DIR", profile.temporary()),
    ] {
        command.env(name, folder);
    }
    command.env_remove("DBUS_SESSION_BUS_ADDRESS").env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY");
    command.current_dir("/");
    command
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

/// Finds the program: what the option says, or else in the usual places.
pub(crate) fn find(option: &str) -> Result<PathBuf> {
    if !option.is_empty() {
        let program = PathBuf::from(option);
        ensure!(program.is_file(), "chromium = {option:?}: there is no such file");
        return Ok(program.canonicalize()?);
    }
    // The programs themselves come first: the names in PATH are often scripts that add options of their own.
    let places = [
        "/usr/lib/chromium/chromium",
        "/usr/lib/chromium-browser/chromium-browser",
        "/usr/lib64/chromium-browser/chromium-browser",
        "/opt/google/chrome/chrome",
    ];
    let names = ["chromium", "chromium-browser", "google-chrome-stable", "google-chrome"];
    let path = std::env::var_os("PATH").unwrap_or_default();
    let in_path =
        names.iter().flat_map(|name| std::env::split_paths(&path).map(move |folder| folder.join(name)));
    match places.iter().map(PathBuf::from).chain(in_path).find(|p| p.is_file()) {
        Some(program) => Ok(program),
        None => bail!(
            "no Chromium was found, neither at {} nor in PATH as {}; install it (on Debian and Ubuntu: apt-get install \
             chromium), or set chromium = \"/path/to/its/program\"",
            places.join(", "),
            names.join(", ")
        ),
    }
}

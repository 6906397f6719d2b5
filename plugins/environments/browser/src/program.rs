//! Chromium's program: where it is, and what it is started with.
use crate::options::{Options, Pace};
use crate::profile::Profile;
use efference_sdk::{Error, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What starts it.
pub(crate) fn command(program: &Path, options: &Options, lock_step: bool, profile: &Profile) -> Command {
    let mut command = Command::new(program);
    if lock_step {
        let control = "--enable-begin-frame-control";
        command.args(["--headless", control, "--run-all-compositor-stages-before-draw"]);
    } else {
        command.arg("--headless=new");
    }
    command.args([
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
        "--disable-features=NetworkTimeServiceQuerying",
        "--disable-quic",
        "--disable-sync",
        "--no-default-browser-check",
        "--no-first-run",
        "--no-pings",
        "--password-store=basic",
    ]);
    command.arg(format!("--window-size={},{}", options.width, options.height));
    command.arg(format!("--user-data-dir={}", profile.path().join("profile").display()));
    if options.memory > 0 {
        command.arg(format!("--js-flags=--max-old-space-size={}", options.memory));
    }
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

/// A program, and whether its pages go step by step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    pub(crate) lock_step: bool,
}

/// What Debian calls the program that can draw step by step, and what it is called by those who make it.
const SHELLS: [&str; 2] = ["chromium-headless-shell", "chrome-headless-shell"];

/// Finds the program for a pace: what the option says, or else in the usual places.
pub(crate) fn find(options: &Options) -> Result<Program> {
    let shell = |path: &Path| path.file_name().is_some_and(|name| SHELLS.iter().any(|shell| name == *shell));
    if !options.chromium.is_empty() {
        let path = PathBuf::from(&options.chromium);
        if !path.is_file() {
            let message = format!("chromium = {:?}: there is no such file", options.chromium);
            return Err(Error::msg(message).in_option("chromium"));
        }
        let lock_step = match options.pace {
            Pace::LockStep => true,
            Pace::RealTime => false,
            Pace::Auto => shell(&path),
        };
        return Ok(Program { path: path.canonicalize()?, lock_step });
    }
    // The programs themselves come first: the names in PATH are often scripts that add options of their own.
    if options.pace != Pace::RealTime {
        let places = ["/usr/lib/chromium/chromium-headless-shell"];
        match search(&places, &SHELLS) {
            Some(path) => return Ok(Program { path, lock_step: true }),
            None if options.pace == Pace::Auto => {}
            None => {
                let message = format!(
                    "pace = \"lock-step\" needs Chromium's headless shell, and none was found, neither at {} nor in PATH as \
                     {}; install it (on Debian: apt-get install chromium-headless-shell), set chromium = \
                     \"/path/to/its/program\", or choose pace = \"real-time\"",
                    places.join(", "),
                    SHELLS.join(", ")
                );
                return Err(Error::msg(message).in_option("pace"));
            }
        }
    }
    let places = [
        "/usr/lib/chromium/chromium",
        "/usr/lib/chromium-browser/chromium-browser",
        "/usr/lib64/chromium-browser/chromium-browser",
        "/opt/google/chrome/chrome",
    ];
    let names = ["chromium", "chromium-browser", "google-chrome-stable", "google-chrome"];
    match search(&places, &names) {
        Some(path) => Ok(Program { path, lock_step: false }),
        None => bail!(
            "no Chromium was found, neither at {} nor in PATH as {}; install it (on Debian and Ubuntu: apt-get install \
             chromium), or set chromium = \"/path/to/its/program\"",
            places.join(", "),
            names.join(", ")
        ),
    }
}

fn search(places: &[&str], names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<_> = std::env::split_paths(&path).collect();
    let in_path = names.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    places.iter().map(PathBuf::from).chain(in_path).find(|path| path.is_file())
}

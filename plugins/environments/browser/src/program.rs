//! Chromium's program: where it is, and what it is started with.
use crate::options::Options;
use crate::profile::Profile;
use efference_sdk::{Result, bail, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What starts it.
pub(crate) fn command(program: &Path, options: &Options, profile: &Profile) -> Command {
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

//! A plugin leaves the working directory as it found it.
//!
//! What the host reads and writes by then has an absolute path; other plugins, and what they start, may rely on it. Asking the
//! system costs ten times what a call does, so that not each call is checked: the first ones are, by which most plugins would
//! show it, then one in so many; and once that found something, each one for a while.
use efference_sdk::PluginId;
use parking_lot::Mutex;
use rustix::fs::{Mode, OFlags, fstat, open, stat};
use rustix::process::fchdir;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// Calls that are checked, of the first ones and of those after one that changed it.
const CHECKED: u32 = 4_096;
/// Of others, one in so many.
const ONE_IN: u32 = 1_024;

/// Calls until this number are checked.
static CHECKED_UNTIL: AtomicU32 = AtomicU32::new(CHECKED);
static CALLS: AtomicU32 = AtomicU32::new(0);

/// The working directory as it was; `None` where it cannot be read.
struct Before {
    handle: OwnedFd,
    path: PathBuf,
    id: (u64, u64),
    /// What was reported, which is once a plugin.
    reported: Mutex<Vec<String>>,
}

fn before() -> Option<&'static Before> {
    static BEFORE: OnceLock<Option<Before>> = OnceLock::new();
    let read = || {
        let path = std::env::current_dir().ok()?;
        let handle = open(".", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).ok()?;
        let stat = fstat(&handle).ok()?;
        Some(Before { handle, path, id: (stat.st_dev, stat.st_ino), reported: Mutex::default() })
    };
    BEFORE.get_or_init(read).as_ref()
}

/// Notes where the process is, before the first plugin runs.
pub(super) fn remember() {
    before();
}

/// Checks, after some calls, that the process is where it was; if not, it is brought back and the plugin is named that was
/// called, if it can only be that one.
#[inline]
pub(super) fn check(plugin: &PluginId) {
    let call = CALLS.load(Ordering::Relaxed);
    CALLS.store(call.wrapping_add(1), Ordering::Relaxed);
    let each = call < CHECKED_UNTIL.load(Ordering::Relaxed);
    if each || call.is_multiple_of(ONE_IN) {
        look(plugin, call, each);
    }
}

#[cold]
fn look(plugin: &PluginId, call: u32, each: bool) {
    let Some(before) = before() else { return };
    if stat(".").is_ok_and(|now| (now.st_dev, now.st_ino) == before.id) {
        return;
    }
    let now =
        std::env::current_dir().map_or_else(|_| "one that is gone".into(), |now| now.display().to_string());
    let back = match fchdir(&before.handle) {
        Ok(()) => "the host has changed it back",
        Err(_) => "it cannot be changed back",
    };
    CHECKED_UNTIL.store(call.saturating_add(CHECKED), Ordering::Relaxed);
    let who = if each { plugin.to_string() } else { "a plugin".to_owned() };
    let mut reported = before.reported.lock();
    if !reported.contains(&who) {
        tracing::warn!("{who} changed the working directory from {} to {now}; {back}", before.path.display());
        reported.push(who);
    }
}

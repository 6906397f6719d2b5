//! The memory that an engine and its parent share: a file without a name, which the engine inherits.
//!
//! Rules of the unsafe code here: an [`Activity`] consists of atomics, for which every pattern of bits is a value; so memory
//! that others write, or that is full of zeros, is one. What is mapped stays so until the process ends. The file is as long as
//! what is mapped, and sealed: nobody can shorten it, so that no access fails.
#![allow(unsafe_code)]
use crate::Activity;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fstat, ftruncate, memfd_create};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::mm::{MapFlags, ProtFlags, mmap};
use rustix::process::{Pid, Signal, getpid, getppid, set_parent_process_death_signal};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::Ordering;
use std::{env, io};

/// The variable that says to an engine which of its descriptors the file is, and which process made it: `3:4711`.
const ACTIVITY_VARIABLE: &str = "EFFERENCE_ACTIVITY";

/// The first bytes: what wrote another layout is not understood.
const MAGIC: u64 = u64::from_le_bytes(*b"effact02");

const SIZE: usize = size_of::<Activity>();

/// An [`Activity`] that an engine will write and this process reads.
pub struct Shared {
    file: OwnedFd,
    activity: &'static Activity,
}

impl Shared {
    /// Makes one.
    ///
    /// # Errors
    /// What the system says, if it has no such files.
    pub fn new() -> io::Result<Shared> {
        // Without CLOEXEC: the engine is to have it.
        let file = memfd_create(c"efference activity", MemfdFlags::ALLOW_SEALING)?;
        ftruncate(&file, SIZE as u64)?;
        fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW)?;
        let activity = map(&file)?;
        activity.magic.store(MAGIC, Ordering::Relaxed);
        Ok(Shared { file, activity })
    }

    /// Lets a program that is about to be started write it.
    pub fn pass_to(&self, command: &mut Command) {
        let value = format!("{}:{}", self.file.as_raw_fd(), getpid().as_raw_nonzero());
        command.env(ACTIVITY_VARIABLE, value);
    }

    /// What the engine writes.
    pub fn activity(&self) -> &'static Activity {
        self.activity
    }
}

/// The activity of this process: seen by its parent, if that is a program which waits for an engine. Then this process
/// ends (SIGKILL) when the parent does, however that ends; and if it has ended already, at once.
///
/// To be called first by the main thread.
pub fn of_this_process() -> &'static Activity {
    static OWN: Activity = Activity::new();
    of_parent().map_or(&OWN, |(activity, _)| activity)
}

/// The process that waits for this one, if one does.
pub(crate) fn parent() -> Option<Pid> {
    of_parent().map(|(_, parent)| parent)
}

fn of_parent() -> Option<(&'static Activity, Pid)> {
    static INHERITED: OnceLock<Option<(&Activity, Pid)>> = OnceLock::new();
    *INHERITED.get_or_init(inherited)
}

fn inherited() -> Option<(&'static Activity, Pid)> {
    let value = env::var(ACTIVITY_VARIABLE).ok()?;
    let (file, parent) = value.split_once(':')?;
    let (file, parent) = (file.parse().ok()?, Pid::from_raw(parent.parse().ok()?)?);
    // SAFETY: asks whether this is an open descriptor, and uses it for nothing else.
    let length = fstat(unsafe { BorrowedFd::borrow_raw(file) }).ok()?.st_size;
    if file < 3 || length != SIZE as i64 {
        return None;
    }
    // SAFETY: of this length is the file that the parent passes on; this process takes it over, once.
    let file = unsafe { OwnedFd::from_raw_fd(file) };
    // What this process starts does not inherit it.
    fcntl_setfd(&file, FdFlags::CLOEXEC).ok()?;
    let activity = map(&file).ok()?;
    if activity.magic.load(Ordering::Relaxed) != MAGIC {
        return None;
    }
    // The system forgets this where there is no such signal; then the engine lives on, as it would by itself.
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    if getppid() != Some(parent) {
        // It ended before the line above. A grandchild that inherited the variable has not inherited the file.
        std::process::exit(1);
    }
    Some((activity, parent))
}

fn map(file: &OwnedFd) -> io::Result<&'static Activity> {
    let access = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: a new mapping, at a place that the system chooses.
    let start = unsafe { mmap(std::ptr::null_mut(), SIZE, access, MapFlags::SHARED, file, 0)? };
    // SAFETY: pages are aligned for atomics, the mapping is as long as an `Activity` and is never removed; see the rules above.
    Ok(unsafe { &*start.cast::<Activity>() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Phase;

    #[test]
    fn what_one_mapping_writes_another_reads() {
        let shared = Shared::new().unwrap();
        let other = map(&shared.file).unwrap();
        other.set_phase(Phase::Stepping);
        other.set_step(812);
        other.begin_run("runs/x".as_ref(), 1.5);
        let doing = shared.activity().doing();
        assert_eq!((doing.phase, doing.step, doing.began), (Phase::Stepping, 812, 1.5));
        assert_eq!(doing.run.as_deref(), Some("runs/x".as_ref()));
    }

    #[test]
    fn nobody_can_shorten_it() {
        let shared = Shared::new().unwrap();
        assert!(ftruncate(&shared.file, 0).is_err());
    }
}

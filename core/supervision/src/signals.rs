//! What signals mean to a run, to the engine and to its parent alike.
//!
//! Rules of the unsafe code here: a signal's disposition is read, not changed.
#![allow(unsafe_code)]
use libc::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGXCPU, SIGXFSZ, c_int};
use std::mem::MaybeUninit;
use std::ptr::null;

/// What a signal means to a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// The first ends the run after its step, the second at once.
    Stop,
    /// The run ends after its step, however often this comes: Slurm sends SIGUSR1 some time before a limit, the system SIGXCPU
    /// each second from one on.
    StopSoon,
    /// Nothing. That a file has become too large (SIGXFSZ) is reported by the write that failed.
    Nothing,
}

/// The signals that mean something, and what; all others do what they do to any process.
pub fn meaning() -> [(c_int, Meaning); 7] {
    [
        (SIGINT, Meaning::Stop),
        (SIGTERM, Meaning::Stop),
        (SIGHUP, Meaning::Stop),
        (SIGUSR1, Meaning::StopSoon),
        (SIGXCPU, Meaning::StopSoon),
        (SIGUSR2, Meaning::Nothing),
        (SIGXFSZ, Meaning::Nothing),
    ]
}

/// Whether this process ignores a signal, as it was started to: by `nohup`, or a shell's `trap '' INT`. Then it is not listened
/// to.
pub fn is_ignored(signal: c_int) -> bool {
    let mut now = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: without a new one, the present disposition is written to `now` and nothing else happens.
    let asked = unsafe { libc::sigaction(signal, null(), now.as_mut_ptr()) };
    // SAFETY: all of it was zero, or was written.
    asked == 0 && unsafe { now.assume_init() }.sa_sigaction == libc::SIG_IGN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ignored_is_known() {
        // Rust's runtime ignores SIGPIPE.
        assert!(is_ignored(libc::SIGPIPE));
        assert!(!is_ignored(SIGUSR2));
        assert!(!is_ignored(-1), "there is no such signal");
    }
}

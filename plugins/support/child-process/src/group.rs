//! Process groups, by the few calls to the operating system that the standard library does not have.
//!
//! Rules of this file, the only one of the crate with `unsafe`: each block is one C function with plain numbers,
//! or a pointer to a local that outlives the call; what runs between fork and exec calls async-signal-safe
//! functions alone and takes no memory.
#![allow(unsafe_code, reason = "prctl, kill and waitid have no safe counterpart in the standard library")]
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// What is sent to a child when the thread that started it has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGINT, of a program that then ends what it has started.
    Interrupt,
    /// SIGKILL.
    Kill,
}

/// Makes the child leader of a process group of its own, and has `signal` sent to it when the thread that spawns it
/// ends, in whatever way: that thread must live as long as the child shall. (Not where the system is not Linux.)
pub fn own_group_that_ends_with_this_thread(command: &mut Command, signal: Signal) {
    command.process_group(0);
    #[cfg(target_os = "linux")]
    {
        let signal = match signal {
            Signal::Interrupt => libc::SIGINT,
            Signal::Kill => libc::SIGKILL,
        };
        let signal = signal as libc::c_ulong;
        let parent = std::process::id() as libc::pid_t;
        let before_exec = move || {
            // SAFETY: both take and return numbers, and are async-signal-safe.
            let (failed, came_from) =
                unsafe { (libc::prctl(libc::PR_SET_PDEATHSIG, signal), libc::getppid()) };
            if failed != 0 {
                return Err(io::Error::last_os_error());
            }
            // The parent may have died before the wish for a signal was known.
            if came_from != parent { Err(io::Error::from_raw_os_error(libc::ESRCH)) } else { Ok(()) }
        };
        // SAFETY: the closure calls async-signal-safe functions alone; errors made from numbers take no memory.
        unsafe { command.pre_exec(before_exec) };
    }
}

/// Whether a child that has not been waited for has ended; it stays there to be waited for.
pub fn has_ended(child: u32) -> bool {
    // SAFETY: `siginfo_t` is plain data, for which zeros are valid.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: `info` is a local that outlives the call.
    let done = unsafe { libc::waitid(libc::P_PID, child, &raw mut info, options) };
    // SAFETY: waitid has filled the fields of a child, or left the zeros.
    done != 0 || unsafe { info.si_pid() } != 0
}

/// Sends SIGINT to a process.
pub fn interrupt(process: u32) {
    // SAFETY: takes numbers.
    unsafe { libc::kill(process as libc::pid_t, libc::SIGINT) };
}

/// Sends SIGKILL to a process.
pub fn kill(process: u32) {
    // SAFETY: takes numbers.
    unsafe { libc::kill(process as libc::pid_t, libc::SIGKILL) };
}

/// Sends SIGKILL to all of a process group.
pub fn kill_group(leader: u32) {
    // SAFETY: takes numbers. A leader is a child's id, so never 0 or 1, which would mean others.
    unsafe { libc::kill(-(leader as libc::pid_t), libc::SIGKILL) };
}

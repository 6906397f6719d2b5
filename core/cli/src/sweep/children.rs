//! Processes that run members of a sweep, and do not outlive it unseen. The one rule of the `unsafe` here: between fork and
//! exec nothing is called but system calls that may be called there.
#![allow(unsafe_code)] // `pre_exec`: a child must ask for its parent's death signal before it becomes the program

use rustix::io::Errno;
use rustix::process::{Pid, Signal, getpid, getppid, kill_process, set_parent_process_death_signal};
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

/// Starts a program that gets SIGINT when this process ends, however that ends: so it stops with its records whole. Ctrl-C
/// on the terminal does not reach it by itself. To be called by a thread that lives as long as the process.
pub(super) fn start(command: &mut Command) -> io::Result<Child> {
    let parent = getpid();
    command.process_group(0);
    // SAFETY: `prctl` and `getppid` are system calls, made without allocation or locks; the closure owns what it uses.
    unsafe {
        command.pre_exec(move || {
            set_parent_process_death_signal(Some(Signal::INT))?;
            // It may have ended before.
            if getppid() == Some(parent) { Ok(()) } else { Err(Errno::SRCH.into()) }
        });
    }
    command.spawn()
}

/// Asks a child to stop; at the second time it ends at once. One that has ended already is no error.
pub(super) fn stop(child: &Child) {
    let _ = kill_process(Pid::from_child(child), Signal::INT);
}

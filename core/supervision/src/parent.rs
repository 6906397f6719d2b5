//! An engine stands still while its parent does.
//!
//! Ctrl-Z stops both, as they are of one group. Whoever stops the process that he has started (`kill -STOP`), means the run.
use crate::block::parent;
use crate::of_this_process;
use rustix::process::{Pid, Signal, getpid, kill_process};
use std::time::Duration;
use std::{fs, thread};

/// How often the engine looks.
const EVERY: Duration = Duration::from_millis(250);

/// From now on this process stops when its parent is stopped, if that waits for it; the parent lets it go on. A thread looks.
pub fn follow_parent() {
    let Some(parent) = parent() else { return };
    let activity = of_this_process();
    // Without that thread, it goes on where its parent stands still; nothing is lost.
    let _ = thread::Builder::new().name("parent".to_owned()).spawn(move || {
        loop {
            thread::sleep(EVERY);
            if is_stopped(parent) {
                // The parent lets it go on for as long as this is set: so it does not matter which of the two comes first.
                activity.set_suspended(true);
                let _ = kill_process(getpid(), Signal::STOP);
                // The signal may take another thread first, and reach this one in the next lines.
                while {
                    thread::sleep(EVERY);
                    is_stopped(parent)
                } {}
                activity.set_suspended(false);
            }
        }
    });
}

/// Whether a process was stopped, by SIGSTOP or the like.
pub fn is_stopped(process: Pid) -> bool {
    let stat = fs::read(format!("/proc/{}/stat", process.as_raw_nonzero())).unwrap_or_default();
    // `4711 (name, which may have any characters) T …`
    let state = stat.iter().rposition(|byte| *byte == b')').and_then(|end| stat.get(end + 2));
    state == Some(&b'T')
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_stopped_process_is_known() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let process = Pid::from_child(&child);
        assert!(!is_stopped(process));
        kill_process(process, Signal::STOP).unwrap();
        while !is_stopped(process) {
            thread::sleep(Duration::from_millis(1));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!is_stopped(process));
    }
}

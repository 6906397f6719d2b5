//! Processes of a trial: all that were started in it, however far from it they are by now, have its mark in their environment.
use rustix::process::{Pid, Signal, kill_process};
use std::fs;

/// The variable of the mark.
pub(crate) const MARK: &str = "CHAOS_TRIAL";

/// A process of a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) id: Pid,
    /// Whether it is the engine, which computes.
    pub(crate) engine: bool,
}

/// The processes that are there of a trial.
pub(crate) fn of_trial(mark: &str) -> Vec<Process> {
    let wanted = format!("{MARK}={mark}");
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw)
        else {
            continue;
        };
        // A process that ended in between, or another user's, has none that can be read; a zombie's is empty.
        let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
        if environment.split(|b| *b == 0).any(|variable| variable == wanted.as_bytes()) {
            let program = fs::read_link(entry.path().join("exe")).unwrap_or_default();
            found.push(Process { id, engine: program.ends_with("efference-engine") });
        }
    }
    found
}

/// Sends a signal to all of them; one that has ended by now needs none.
pub(crate) fn signal(processes: &[Process], signal: Signal) {
    for process in processes {
        let _ = kill_process(process.id, signal);
    }
}

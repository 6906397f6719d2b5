//! What is done to a run.
use crate::processes::{Process, signal};
use crate::session::{Output, Session, Started};
use fastrand::Rng;
use rustix::process::{Signal, kill_process};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// Something that is done to a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Disturbance {
    /// Nothing: what holds of all must hold of this too.
    Nothing,
    /// SIGKILL to the program that was started.
    KillProgram,
    /// SIGKILL to the engine.
    KillEngine,
    /// SIGKILL to all at once, as when the machine goes down.
    KillAll,
    /// A signal that asks it to stop, at times twice.
    Stop(&'static str, Signal),
    /// It stands still for a moment.
    Pause,
    /// The disk is full, and has room again later.
    DiskFullForAWhile,
    /// The disk is full to the end.
    DiskFull,
    /// No file may be larger than some KiB.
    FileLimit,
    /// Nobody reads its standard output for some seconds.
    SlowReader,
    /// Its standard output is closed.
    ClosedReader,
    /// The directory that it was started in is removed.
    NoWorkingDirectory,
    /// The directory of its runs gets another name, and has its own again when the run has ended.
    DirectoryRenamed,
    /// A file of the run is removed.
    FileRemoved(&'static str),
}

use Disturbance::*;

/// All of them.
pub(crate) const ALL: &[Disturbance] = &[
    Nothing,
    KillProgram,
    KillEngine,
    KillAll,
    Stop("INT", Signal::INT),
    Stop("TERM", Signal::TERM),
    Stop("HUP", Signal::HUP),
    Stop("USR1", Signal::USR1),
    Stop("XCPU", Signal::XCPU),
    Pause,
    DiskFullForAWhile,
    DiskFull,
    FileLimit,
    SlowReader,
    ClosedReader,
    NoWorkingDirectory,
    DirectoryRenamed,
    FileRemoved("metrics.jsonl"),
    FileRemoved("fingerprints.bin"),
    FileRemoved("tensorboard"),
    FileRemoved("pictures"),
    FileRemoved("log.txt"),
];

/// What may come of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expected {
    /// The run goes on to its end as if nothing had been.
    Finishes,
    /// It stops, and says so.
    Stops,
    /// It is killed, without a word.
    Killed,
    /// It goes on, or fails and says why.
    FinishesOrFails,
    /// As before, where not even the end may have had room.
    Anything,
}

impl Disturbance {
    /// Its name in the report.
    pub(crate) fn name(self) -> String {
        match self {
            Stop(signal, _) => format!("signal {signal}"),
            FileRemoved(file) => format!("{file} removed"),
            other => {
                let mut name = String::new();
                for letter in format!("{other:?}").chars() {
                    if letter.is_uppercase() && !name.is_empty() {
                        name.push(' ');
                    }
                    name.extend(letter.to_lowercase());
                }
                name
            }
        }
    }

    /// Whether it takes a disk of its own, small enough to be filled.
    pub(crate) fn needs_small_disk(self) -> bool {
        matches!(self, DiskFull | DiskFullForAWhile)
    }

    /// What standard output is, and the largest file, from the start.
    pub(crate) fn start(self, random: &mut Rng) -> (Output, Option<u64>) {
        match self {
            SlowReader => (Output::Slow(Duration::from_secs(4)), None),
            ClosedReader => (Output::Closed, None),
            FileLimit => (Output::File, Some(random.u64(1..64))),
            _ => (Output::File, None),
        }
    }

    pub(crate) fn expected(self) -> Expected {
        match self {
            Nothing | Pause | SlowReader | ClosedReader | DiskFullForAWhile => Expected::Finishes,
            KillProgram | KillEngine | KillAll => Expected::Killed,
            Stop(..) => Expected::Stops,
            FileRemoved(_) | DirectoryRenamed | NoWorkingDirectory => Expected::FinishesOrFails,
            DiskFull | FileLimit => Expected::Anything,
        }
    }

    /// Does it, at some moment; `false`: the run had ended before.
    pub(crate) fn apply(self, session: &mut Session, started: &mut Started, random: &mut Rng) -> bool {
        if matches!(self, Nothing | SlowReader | ClosedReader | FileLimit) {
            return true;
        }
        if !session.moment(started, random) {
            return false;
        }
        match self {
            KillProgram => signal(&[Process { id: started.id(), engine: false }], Signal::KILL),
            KillEngine => {
                let engines: Vec<_> =
                    session.processes().into_iter().filter(|process| process.engine).collect();
                signal(&engines, Signal::KILL);
                return !engines.is_empty();
            }
            KillAll => signal(&session.processes(), Signal::KILL),
            Stop(_, stop) => {
                // To the program alone, as `kill` does, or to all, as a terminal does.
                let to_all = random.bool();
                for _ in 0..1 + u32::from(random.u8(..) < 64) {
                    match to_all {
                        true => signal(&session.processes(), stop),
                        false => drop(kill_process(started.id(), stop)),
                    }
                    thread::sleep(Duration::from_millis(random.u64(..150)));
                }
            }
            Pause => {
                let all = session.processes();
                signal(&all, Signal::STOP);
                thread::sleep(Duration::from_millis(random.u64(50..1_500)));
                signal(&all, Signal::CONT);
            }
            DiskFull | DiskFullForAWhile => {
                fill(&session.runs);
                if self == DiskFullForAWhile {
                    thread::sleep(Duration::from_millis(random.u64(50..4_000)));
                    let _ = fs::remove_file(filler(&session.runs));
                }
            }
            NoWorkingDirectory => return fs::remove_dir_all(&session.place).is_ok(),
            DirectoryRenamed => return fs::rename(&session.runs, elsewhere(&session.runs)).is_ok(),
            FileRemoved(name) => {
                let path = session.directory().join(name);
                return match path.is_dir() {
                    true => fs::remove_dir_all(path).is_ok(),
                    false => fs::remove_file(path).is_ok(),
                };
            }
            Nothing | SlowReader | ClosedReader | FileLimit => {}
        }
        true
    }
}

fn filler(runs: &Path) -> PathBuf {
    runs.join("filler")
}

/// What the directory of runs is called in between.
fn elsewhere(runs: &Path) -> PathBuf {
    runs.with_extension("elsewhere")
}

/// Puts back what can be put back when the run has ended.
///
/// # Errors
/// If the run went on in another directory, in which half of its record is.
pub(crate) fn put_back(runs: &Path) -> Result<(), String> {
    // Best effort: there may be none.
    let _ = fs::remove_file(filler(runs));
    if !elsewhere(runs).exists() {
        return Ok(());
    }
    let split = runs.exists();
    if split {
        fs::remove_dir_all(runs).map_err(|e| e.to_string())?;
    }
    fs::rename(elsewhere(runs), runs).map_err(|e| e.to_string())?;
    if split { Err("a part of the record is in a directory of the old name".to_owned()) } else { Ok(()) }
}

/// Takes all the room that is left.
fn fill(runs: &Path) {
    let Ok(mut file) = File::create(filler(runs)) else { return };
    for size in [1 << 16, 1 << 12, 1] {
        while file.write_all(&vec![0; size]).is_ok() {}
    }
}

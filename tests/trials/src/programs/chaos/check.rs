//! What must be true of a run's directory, whatever was done to the run.
use crate::session::{Ended, Session};
use efference_compare::{Difference, arrays_that_differ};
use efference_runs::checkpoint::{Checkpoint, CheckpointFiles};
use efference_runs::directory::{Ending, RunDirectory};
use efference_runs::{Fingerprints, Line};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{fs, thread};

/// How long processes may take to end after the program that was started has.
const GRACE: Duration = Duration::from_secs(5);

type Checked = Result<(), String>;

fn holds(truth: bool, what: impl FnOnce() -> String) -> Checked {
    if truth { Ok(()) } else { Err(what()) }
}

/// The record can be read: whole lines (but for a last one that a killed process left), each step once, and checkpoints that
/// are what was written and rest on lines that are there.
pub(crate) fn record(run: &RunDirectory) -> Checked {
    let bytes = fs::read(run.metrics()).unwrap_or_default();
    let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
    let mut steps = Vec::new();
    for line in bytes[..whole].split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
        let read = serde_json::from_slice::<Line>(line);
        let shown = || format!("a line of metrics.jsonl is damaged: {}", String::from_utf8_lossy(line));
        steps.push(read.map_err(|e| format!("{}: {e}", shown()))?.step);
    }
    holds(steps.is_sorted_by(|a, b| a < b), || format!("steps of metrics.jsonl do not increase: {steps:?}"))?;
    if run.fingerprints().exists() {
        let prints = Fingerprints::read(&run.fingerprints());
        // Killed within its first line, it is none yet.
        if let Ok(prints) = prints {
            let increase = prints.records.is_sorted_by(|a, b| a.0 < b.0);
            holds(increase, || "steps of fingerprints.bin do not increase".to_owned())?;
        }
    }
    let files = CheckpointFiles::new(run.checkpoints());
    for step in files.steps().map_err(|e| e.to_string())? {
        let checkpoint = files.read(step).map_err(|e| e.to_string())?;
        let lines = checkpoint.manifest.lines;
        holds(lines <= steps.len() as u64, || {
            format!(
                "the checkpoint of step {step} rests on {lines} lines of metrics, and there are {}",
                steps.len()
            )
        })?;
    }
    run.end().map(|_| ()).map_err(|e| format!("end.json can't be read: {e}"))?;
    run.state().map(|_| ()).map_err(|e| e.to_string())
}

/// A program that ended by itself has said how, in a sentence, in its status and in `end.json`, and the three agree.
pub(crate) fn end(run: Option<&RunDirectory>, ended: &Ended) -> Checked {
    for word in ["panicked", "RUST_BACKTRACE", "stack backtrace", "core::", "Os {", "MKL FATAL"] {
        holds(!ended.stderr.contains(word), || format!("'{word}' on standard error: {ended}"))?;
    }
    if ended.status.code().is_none() {
        return Ok(());
    }
    let Some(run) = run else { return holds(!ended.status.success(), || format!("it made no run: {ended}")) };
    let end = run.end().map_err(|e| e.to_string())?;
    let end = end.ok_or_else(|| format!("it ended without end.json: {ended}"))?;
    let fits = match end.how {
        Ending::Finished => ended.status.success(),
        Ending::Stopped => ended.status.code().is_some_and(|code| code > 128),
        // 128 and the number of the signal, if one ended the engine.
        Ending::Failed { .. } => ended.status.code().is_some_and(|code| code == 1 || code > 128),
    };
    holds(fits, || format!("end.json says {:?}: {ended}", end.how))?;
    holds(ended.status.success() || !ended.stdout.is_empty() || !ended.stderr.is_empty(), || {
        format!("not a word: {ended}")
    })
}

/// No process of the trial is there any more.
pub(crate) fn alone(session: &Session) -> Checked {
    let deadline = Instant::now() + GRACE;
    loop {
        let left = session.processes();
        if left.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            session.end_all();
            return Err(format!("processes are left behind: {left:?}"));
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Nothing unfinished lies in the run's directory, nor anything at all where temporary files are.
pub(crate) fn tidy(session: &Session, run: &RunDirectory) -> Checked {
    let mut left: Vec<PathBuf> = Vec::new();
    within(run.path(), &mut |path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let lonely = name.ends_with(".safetensors") && !path.with_extension("json").exists();
        if name.ends_with(".tmp") || lonely {
            left.push(path.to_owned());
        }
    });
    within(&session.temporary(), &mut |path| left.push(path.to_owned()));
    holds(left.is_empty(), || format!("files are left behind: {left:?}"))
}

fn within(directory: &Path, look: &mut impl FnMut(&Path)) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        look(&path);
        if path.is_dir() {
            within(&path, look);
        }
    }
}

/// The run is the one that nobody disturbed: every step, every metric but those of the clock, every array; and every picture,
/// unless its disk was `full`.
pub(crate) fn same(run: &RunDirectory, undisturbed: &RunDirectory, steps: u64, full: bool) -> Checked {
    let difference = Difference::of(run, undisturbed).map_err(|e| e.to_string())?;
    holds(difference.fingerprint.is_none(), || format!("it differs at {:?}", difference.fingerprint))?;
    holds(difference.metric.is_none(), || format!("a metric differs: {:?}", difference.metric))?;
    holds(difference.steps == Some(steps as usize), || {
        format!("fingerprints of {:?} steps of {steps}", difference.steps)
    })?;
    let lines = |run: &RunDirectory| fs::read_to_string(run.metrics()).unwrap_or_default().lines().count();
    let (own, all) = (lines(run), lines(undisturbed));
    holds(own == all, || format!("metrics.jsonl has {own} lines of {all}"))?;
    let names = |run: &RunDirectory| {
        let entries = fs::read_dir(run.pictures()).into_iter().flatten().flatten();
        let mut names: Vec<_> = entries.map(|entry| entry.file_name()).collect();
        names.sort();
        names
    };
    holds(full || names(run) == names(undisturbed), || {
        format!("pictures are missing: {} of {}", names(run).len(), names(undisturbed).len())
    })?;
    let differ = arrays_that_differ(&last(run)?, &last(undisturbed)?);
    holds(differ.is_empty(), || format!("arrays of the last checkpoint differ: {differ:?}"))
}

/// The checkpoint of the run's end.
fn last(run: &RunDirectory) -> Result<Checkpoint, String> {
    let files = CheckpointFiles::new(run.checkpoints());
    let steps = files.steps().map_err(|e| e.to_string())?;
    files.read(*steps.last().ok_or("there is no checkpoint")?).map_err(|e| e.to_string())
}

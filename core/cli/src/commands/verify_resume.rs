//! `efference verify-resume`: proves that an experiment goes on as if it had never stopped.
use crate::spec_file::{self, SpecArgs};
use crate::temporary::TemporaryPlace;
use crate::{engine, fail, plugin_folders, print};
use clap::Args;
use efference_compare::{Difference, arrays_that_differ};
use efference_runs::Fingerprints;
use efference_runs::checkpoint::{Checkpoint, CheckpointFiles, Restored};
use efference_runs::directory::RunDirectory;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use std::{fs, thread};

/// Runs an experiment 2K steps straight, and again with a kill after K: compares the two bit by bit.
///
/// The second run is killed (SIGKILL) once its checkpoint of step K is there, and resumed from it by another process for K steps
/// more. Metrics but for those of the clock, the fingerprints of all steps, and every tensor of the last checkpoint must be
/// equal. A checkpoint that is due in the middle of an unroll waits for its end, and both runs are that much longer. Exit status: 0
/// equal, 1 not.
#[derive(Debug, Args)]
pub struct VerifyResumeArgs {
    /// The spec and its changes.
    #[command(flatten)]
    pub spec: SpecArgs,
    /// The step after which the second run is killed.
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub at: u64,
}

/// Does it; returns the exit status.
pub fn run(arguments: &VerifyResumeArgs) -> u8 {
    if let Err(status) = spec_file::check_what_is_known(&arguments.spec) {
        return status;
    }
    match verify(arguments) {
        Ok(verdict) => {
            print(&verdict.text);
            u8::from(!verdict.equal)
        }
        Err(why) => fail(why),
    }
}

struct Verdict {
    equal: bool,
    text: String,
}

fn verify(arguments: &VerifyResumeArgs) -> Result<Verdict, String> {
    let place = TemporaryPlace::new("verify")
        .map_err(|e| format!("no temporary directory could be made; see the variable TMPDIR: {e}"))?;
    let at = arguments.at;
    let killed = engine_run(arguments, place.path(), "killed", None)?;
    let from = kill_after(killed, place.path(), at)?;
    let steps = from + at;
    let straight = engine_run(arguments, place.path(), "straight", Some(steps))?;
    wait(straight, "the run without a stop")?;
    let straight = open(place.path(), "straight")?;
    let killed = open(place.path(), "killed")?;
    let done = recorded_steps(&killed);
    let resume = ["resume".into(), killed.path().into(), "--from".into(), from.to_string().into()];
    let until = ["--steps".into(), steps.to_string().into()];
    wait(start(resume.into_iter().chain(until))?, "the run that was resumed")?;

    let difference = Difference::of(&straight, &killed).map_err(|e| e.to_string())?;
    let [a, b] = [&straight, &killed].map(|run| last(run, steps));
    let (a, b) = (a?, b?);
    let arrays = arrays_that_differ(&a, &b);
    let lines = [&straight, &killed].map(lines);
    Ok(verdict(&difference, &arrays, lines, &a, (from, done)))
}

fn verdict(
    difference: &Difference,
    arrays: &[String],
    lines: [usize; 2],
    checkpoint: &Checkpoint,
    (from, killed_at): (u64, u64),
) -> Verdict {
    let mut parts = Vec::new();
    if let Some((step, component)) = &difference.fingerprint {
        parts.push(format!("The runs part in step {step}; what differs first in it: {component}."));
    }
    if let Some(metric) = &difference.metric {
        let [a, b] = metric.values.each_ref().map(|v| v.as_ref().map_or("–".to_owned(), ToString::to_string));
        parts.push(format!(
            "First metric: {} in the line of step {}: {a} straight, {b} resumed.",
            metric.name, metric.step
        ));
    }
    if lines[0] != lines[1] {
        parts.push(format!("{} lines of metrics straight, {} resumed.", lines[0], lines[1]));
    }
    if let [first, ..] = arrays {
        let count = arrays.len();
        parts.push(format!("{count} of the last checkpoint's tensors differ, such as {first}."));
    }
    let (steps, restores) = (checkpoint.manifest.step, checkpoint.manifest.restores);
    let prints = difference.steps.map_or(String::new(), |n| format!(", {n} fingerprints"));
    let how = format!("killed at about step {killed_at} and resumed from step {from}");
    if parts.is_empty() {
        let counted =
            format!("{} lines of metrics{prints}, {} tensors", difference.lines, checkpoint.arrays.len());
        let text =
            format!("Equal, bit for bit: {steps} steps straight, and {how} ({restores}): {counted}.\n");
        return Verdict { equal: true, text };
    }
    let mut text = format!("Not equal: {steps} steps straight, and {how} ({restores}).\n");
    for part in &parts {
        text += &format!("  {part}\n");
    }
    if restores != Restored::Exact {
        text += "  This experiment does not promise to: what of it is restored stands in the first line of its runs.\n";
    }
    Verdict { equal: false, text }
}

/// Starts a run of the spec; without `steps`, it goes on for ever.
fn engine_run(
    arguments: &VerifyResumeArgs,
    place: &Path,
    id: &str,
    steps: Option<u64>,
) -> Result<Child, String> {
    let mut words: Vec<OsString> = vec!["run".into(), arguments.spec.file.clone().into()];
    let at = arguments.at;
    let own = [
        "name=verify".to_owned(),
        format!("steps={}", steps.unwrap_or(1 << 50)),
        format!("checkpoint.every={at}"),
        "checkpoint.keep=all".to_owned(),
    ];
    for setting in arguments.spec.set.iter().chain(&own) {
        words.extend(["--set".into(), setting.into()]);
    }
    words.extend(["--runs".into(), place.into(), "--id".into(), id.into()]);
    start(words.into_iter())
}

fn start(words: impl Iterator<Item = OsString>) -> Result<Child, String> {
    let mut command: Command = engine::command()?;
    command
        .args(plugin_folders::arguments())
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::inherit());
    command.spawn().map_err(|e| format!("the engine cannot be started: {e}"))
}

fn wait(mut child: Child, what: &str) -> Result<(), String> {
    match child.wait() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{what} did not finish ({status}); its own message stands above")),
        Err(e) => Err(format!("{what} cannot be waited for: {e}")),
    }
}

/// Kills a run once it has a checkpoint of step `at` or, if it had to wait, a later one; returns that step.
fn kill_after(mut child: Child, place: &Path, at: u64) -> Result<u64, String> {
    let files = CheckpointFiles::new(directory(place, "killed").join("checkpoints"));
    let found = loop {
        if let Some(step) = files.steps().ok().and_then(|steps| steps.into_iter().find(|step| *step >= at)) {
            break Ok(step);
        }
        if let Ok(Some(status)) = child.try_wait() {
            return Err(format!("the run ended before step {at} ({status}); its own message stands above"));
        }
        thread::sleep(Duration::from_millis(1));
    };
    let _ = child.kill(); // SIGKILL
    let _ = child.wait();
    found
}

fn directory(place: &Path, id: &str) -> PathBuf {
    place.join("verify").join(id)
}

fn open(place: &Path, id: &str) -> Result<RunDirectory, String> {
    RunDirectory::open(&directory(place, id)).map_err(|e| e.to_string())
}

fn last(run: &RunDirectory, step: u64) -> Result<Checkpoint, String> {
    CheckpointFiles::new(run.checkpoints()).read(step).map_err(|e| e.to_string())
}

fn lines(run: &RunDirectory) -> usize {
    fs::read_to_string(run.recorder_files(false).metrics).map_or(0, |text| text.lines().count())
}

/// Steps that a run has recorded.
fn recorded_steps(run: &RunDirectory) -> u64 {
    Fingerprints::last_step(&run.fingerprints()).unwrap_or(0)
}

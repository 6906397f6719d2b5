//! A whole run: its directory, its steps, and how it ended.
use super::checkpoint::Checkpoints;
use super::evaluations::Evaluations;
use super::failure::failure;
use super::state::restored;
use super::viewing::Viewing;
use super::{
    Beside, Ended, Experiment, Fit, LoadedSpec, Origin, Recording, RunError, Stop, device, make_steps,
    threads,
};
use crate::forecast::check_memory;
use efference_runs::checkpoint::{Checkpoint, CheckpointFiles};
use efference_runs::directory::{End, Ending, Failure, RunDirectory, RunLock};
use efference_runs::provenance::{Descent, Provenance};
use efference_runs::time::rfc3339;
use efference_runs::{FileError, Grouped, Progress, RecordError, Shown};
use efference_sdk::{self as sdk, bridge};
use efference_spec::Spec;
use efference_supervision::{Phase, of_this_process};
use std::fs::File;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How a run is made.
pub struct Request<'a> {
    /// The spec's file.
    pub spec_file: &'a Path,
    /// Where it begins.
    pub start: Start<'a>,
    /// Where progress is shown: standard output.
    pub output: File,
    /// Ends the run when someone wants it to stop.
    pub stop: &'a Stop,
}

/// Where a run begins.
pub enum Start<'a> {
    /// At the beginning.
    New {
        /// The directory that holds the runs.
        runs: &'a Path,
        /// The id of the run; without, one is made of the time.
        id: Option<&'a str>,
    },
    /// Where a run of before was left.
    Resume {
        /// That run.
        run: RunDirectory,
        /// It is ours.
        lock: RunLock,
        /// The checkpoint that it goes on from; without one, it begins anew.
        from: Option<Checkpoint>,
        /// Which run it is, and what is different in its spec.
        descent: Descent,
    },
    /// As a new run, at a step of another.
    Fork {
        /// The directory that holds the runs.
        runs: &'a Path,
        /// The id of the run; without, one is made of the time.
        id: Option<&'a str>,
        /// The other run's state at that step.
        from: Checkpoint,
        /// Which run that is, and what is different in the spec.
        descent: Descent,
    },
}

/// How a run ended that did not fail.
#[derive(Debug)]
pub struct Done {
    /// Its directory.
    pub directory: RunDirectory,
    /// The step that it began at in this process.
    pub from: u64,
    /// How many steps were made in all.
    pub steps: u64,
    /// How long those of this process took.
    pub seconds: f64,
    /// Whether it was stopped before its time.
    pub stopped: bool,
    /// The metrics of the last recorded line.
    pub last: Vec<(String, f64)>,
    /// What is worth knowing of the record, such as what was left out.
    pub notes: Vec<String>,
}

/// A run that has its directory.
struct Begun {
    directory: RunDirectory,
    _lock: Option<RunLock>,
    /// What it goes on from.
    from: Option<Checkpoint>,
    /// Whether the record goes on too.
    resumed: bool,
    descent: Option<Descent>,
}

impl Begun {
    fn new(spec: &Spec, start: Start<'_>) -> Result<Begun, RunError> {
        let claim = |runs: &Path, id: Option<&str>| match id {
            None => RunDirectory::claim(runs, &spec.name, SystemTime::now(), &spec.to_toml()),
            Some(id) => RunDirectory::claim_as(runs, &spec.name, id, &spec.to_toml()),
        };
        let (directory, from, descent) = match start {
            Start::New { runs, id } => (claim(runs, id)?, None, None),
            Start::Fork { runs, id, from, descent } => (claim(runs, id)?, Some(from), Some(descent)),
            Start::Resume { run, lock, from, descent } => {
                let descent = Some(descent);
                return Ok(Begun { directory: run, _lock: Some(lock), from, resumed: true, descent });
            }
        };
        Ok(Begun { _lock: directory.lock()?, directory, from, resumed: false, descent })
    }

    fn step(&self) -> u64 {
        self.from.as_ref().map_or(0, |from| from.manifest.step)
    }

    /// Seconds that the record has counted before.
    fn seconds(&self) -> f64 {
        self.from.as_ref().filter(|_| self.resumed).map_or(0.0, |from| from.manifest.seconds)
    }

    /// Opens the experiment, and brings it to where the run begins.
    fn open(&self, prepared: &LoadedSpec<'_>, output: &mut File) -> sdk::Result<Experiment> {
        check_memory(prepared)?;
        if let (Some(from), true) = (&self.from, self.resumed) {
            // Before anything is changed, also of the checkpoints.
            self.directory.check_lines(from.manifest.lines)?;
        }
        let mut experiment = prepared.open(Some(self.directory.path()), true)?;
        if let Some(from) = &self.from {
            threads::keep(from.manifest.libtorch_threads);
            let fit = if self.resumed { Fit::All } else { Fit::WhatFits };
            for left in experiment.restore(from, fit)? {
                tracing::warn!("not taken over from the other run: {left}");
            }
        }
        let (restores, why) = restored(&experiment)?;
        tracing::info!("resuming this run restores it: {restores}, since {why}");
        // Whoever reads the output may have gone.
        let _ = match &self.from {
            Some(from) => {
                let step = Grouped(from.manifest.step);
                writeln!(output, "Going on after step {step} ({}): {why}.", from.manifest.restores)
            }
            None => writeln!(output, "Can be resumed ({restores}): {why}."),
        };
        Ok(experiment)
    }

    /// Cuts the record of a run that is resumed back to where it goes on. From here on, what came later is gone.
    fn cut(&self, spec: &Spec) -> sdk::Result<()> {
        if !self.resumed {
            return Ok(());
        }
        let (step, lines) = self.from.as_ref().map_or((0, 0), |c| (c.manifest.step, c.manifest.lines));
        let checkpoints = CheckpointFiles::new(self.directory.checkpoints());
        checkpoints.remove_after(step)?;
        self.directory.cut(step, lines)?;
        if self.descent.as_ref().is_some_and(|descent| !descent.changes.is_empty()) {
            self.directory.write_spec(&spec.to_toml())?;
        }
        Ok(())
    }
}

/// Runs an experiment: claims or takes up a directory, makes steps, records, and writes how it ended.
///
/// The experiment is left in `experiment`, as far as it was made: dropping it calls plugins once more, which may take its time
/// or go wrong. By then all is written.
pub fn run(
    spec: &Spec,
    prepared: &LoadedSpec<'_>,
    request: Request<'_>,
    experiment: &mut Option<Experiment>,
) -> Result<Done, RunError> {
    let Request { spec_file, start, mut output, stop } = request;
    let begun = Begun::new(spec, start)?;
    let origin = Origin::after(begun.seconds());
    let (directory, from) = (&begun.directory, begun.step());
    let handle = directory.handle()?;
    let log = crate::log::to_file(directory.log()?);
    let spec_file = RunDirectory::first_spec(spec_file);
    let known = prepared.known(&spec_file, directory, SystemTime::now());
    let activity = of_this_process();
    activity.set_step(from);
    let begin = || activity.begin_run(directory.path(), seconds_since_1970(origin.started));
    if !begun.resumed {
        begin();
    }
    let opened = caught(|| {
        let experiment = begun.open(prepared, &mut output)?;
        // Until here, how the run has ended before is how it ended.
        begin();
        begun.cut(spec)?;
        Ok(experiment)
    });
    if let (true, Err(error)) = (begun.resumed, opened.as_ref()) {
        // What is there of the run stays as it is.
        return Err(RunError::Restore(format!("{error:#}")));
    }
    let mut step = from;
    let write_provenance = |gathered: &Provenance| match begun.resumed {
        true => directory.add_provenance(gathered.clone()),
        false => directory.write_provenance(gathered),
    };
    let mut record = Record::default();
    let (outcome, provenance) = std::thread::scope(|scope| {
        // Asking git and hashing files takes a while, and no step waits for it.
        let provenance = scope.spawn(|| {
            let gathered = Provenance { descent: begun.descent.clone(), ..Provenance::gather(known) };
            write_provenance(&gathered).err().map(|_| gathered)
        });
        let outcome = opened.and_then(|opened| {
            let experiment = experiment.insert(opened);
            activity.set_phase(Phase::Stepping);
            let outcome =
                caught(|| steps(spec, prepared, &begun, &origin, experiment, output, stop, &mut record));
            step = experiment.step();
            outcome
        });
        activity.set_phase(Phase::Ending);
        (outcome, provenance.join())
    });
    let now = handle.now();
    let directory = now.as_ref().unwrap_or(directory);
    let missing = record.missing.map(|missing| missing.to_string());
    let outcome = outcome.map_err(|e| {
        let failure = Failure { missing: missing.clone(), ..failure(&e, step, directory) };
        if record.disk { failure.of_the_disk() } else { failure }
    });
    let how = match &outcome {
        Err(failure) => Ending::from(failure),
        Ok((Ended::Stopped, _)) => Ending::Stopped,
        Ok(_) => Ending::Finished,
    };
    let mut notes = record.notes;
    let said =
        |missing: &String| matches!(&how, Ending::Failed { messages, .. } if messages.contains(missing));
    notes.extend(missing.filter(|missing| !said(missing)));
    let seconds = origin.seconds();
    let end = End { how, step, seconds, ended: rfc3339(SystemTime::now()), notes: notes.clone() };
    let end = now.as_ref().map_err(FileError::clone).and_then(|directory| directory.write_end(&end));
    if end.is_ok() {
        activity.set_phase(Phase::Ended);
    }
    match provenance {
        // The disk may have been full then. A run is none the worse without.
        Ok(Some(gathered)) => {
            if let Err(error) = write_provenance(&gathered) {
                tracing::warn!("what made this run is not recorded: {error}");
            }
        }
        Ok(None) => {}
        Err(_) => tracing::warn!("what made this run could not be found out: there is no provenance.json"),
    }
    drop(log);
    let unwritten = end.err();
    // What failed first is what is reported, even where the disk let nothing more be written.
    let (ended, last) = outcome.map_err(|failure| RunError::Failed(Box::new(failure)))?;
    match unwritten {
        Some(unwritten) => Err(unwritten.into()),
        None => {
            let seconds = origin.seconds_here();
            let directory = directory.clone();
            Ok(Done { directory, from, steps: step, seconds, stopped: ended == Ended::Stopped, last, notes })
        }
    }
}

/// A panic is a failure like others: what was recorded is written, and how the run ended.
fn caught<R>(f: impl FnOnce() -> sdk::Result<R>) -> sdk::Result<R> {
    catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|panic| Err(bridge::caught(panic)))
}

fn seconds_since_1970(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// What became of the record of a run.
#[derive(Default)]
struct Record {
    /// Whether the disk failed.
    disk: bool,
    missing: Option<RecordError>,
    notes: Vec<String>,
}

/// Makes all steps, and writes the last checkpoint. Returns why they ended, and what was recorded last.
#[allow(clippy::too_many_arguments)] // it is called once
fn steps(
    spec: &Spec,
    prepared: &LoadedSpec<'_>,
    begun: &Begun,
    origin: &Origin,
    experiment: &mut Experiment,
    output: File,
    stop: &Stop,
    record: &mut Record,
) -> sdk::Result<(Ended, Vec<(String, f64)>)> {
    let parameters = experiment.model().store().trained_count();
    let device = device::name(prepared.device());
    tracing::info!("{parameters} parameters on {device}");
    for prefix in experiment.model().unused_groups() {
        tracing::warn!(
            "[optimizer.groups.{prefix:?}] has no effect: no parameter of the agent has such a name"
        );
    }
    let from = begun.step();
    let mut checkpoints = Checkpoints::new(&begun.directory, &spec.checkpoint)?;
    let mut recording =
        Recording::start(spec, &begun.directory, experiment, origin.clone(), begun.from.as_ref())?;
    if let (Some(from), true) = (&begun.from, begun.resumed) {
        // Once more, now that nobody can remove the file unnoticed.
        begun.directory.check_lines(from.manifest.lines)?;
    }
    match &begun.from {
        Some(_) if begun.resumed => checkpoints.go_on_after(from),
        Some(_) => checkpoints.first(experiment, &mut recording)?,
        None => {}
    }
    let every = Duration::from_secs_f64(spec.record.console_every_seconds);
    let mut progress = Progress::new(Shown::on(output).lines_every(every), spec.steps, from);
    crate::log::aside(Some(progress.aside()));
    let mut lines = 0;
    let beside = Beside {
        evaluations: Some(Evaluations::new(prepared, &spec.evaluation, stop)),
        viewing: Viewing::open(&begun.directory),
    };
    let ended = make_steps(
        experiment,
        &mut recording,
        &mut checkpoints,
        beside,
        spec.steps,
        stop,
        |experiment, recording, times| {
            if experiment.step() == from + 1 {
                let seconds = origin.clock.elapsed().as_secs_f64() - times.record.as_secs_f64();
                tracing::info!("the first step was made {seconds:.3} s after the run began");
            }
            if recording.lines() != lines {
                lines = recording.lines();
                progress.values(recording.last());
            }
            progress.step(experiment.step());
        },
    );
    of_this_process().set_phase(Phase::Ending);
    progress.finish();
    crate::log::aside(None);
    // Before the last line, which is of a window that is cut short: a run that goes on from here does not have it.
    let last_checkpoint = match &ended {
        Ok(_) => checkpoints.end(experiment, &mut recording),
        Err(_) => {
            checkpoints.fail(experiment, &mut recording);
            Ok(())
        }
    };
    // What was recorded is kept however the run ended; its own error comes first.
    let disk = recording.disk_failed() || last_checkpoint.is_err();
    let finished = recording.finish(experiment);
    let missing = finished.missing.clone();
    *record = Record { disk: disk || missing.is_some(), missing, notes: finished.notes.clone() };
    let ended = ended?;
    let last = finished.complete()?;
    last_checkpoint?;
    Ok((ended, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_the_host_is_a_failure_like_others() {
        bridge::collect_panics();
        let error = caught::<()>(|| panic!("no such thing")).unwrap_err();
        let text = format!("{error:#}");
        assert!(
            text.starts_with("panicked at core/engine/src/run/lifecycle.rs:")
                && text.ends_with(": no such thing"),
            "{text}"
        );
        let root = tempfile::tempdir().unwrap();
        let directory = RunDirectory::claim(root.path(), "x", UNIX_EPOCH, "").unwrap();
        let failure = failure(&error, 7, &directory);
        assert_eq!((failure.plugin, failure.step), (None, 7));
        assert!(failure.help.starts_with("this is a mistake of efference"), "{}", failure.help);
    }
}

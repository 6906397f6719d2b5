//! A whole run: its directory, its steps, and how it ended.
use super::checkpoint::Checkpoints;
use super::{Ended, Experiment, Failure, LoadedSpec, Recording, RunError, Stop, device, make_steps};
use efference_runs::directory::{End, Ending, RunDirectory};
use efference_runs::provenance::Provenance;
use efference_runs::time::rfc3339;
use efference_runs::{Progress, Shown};
use efference_sdk as sdk;
use efference_spec::Spec;
use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

/// How a run is made.
pub struct Request<'a> {
    /// The spec's file.
    pub spec_file: &'a Path,
    /// The directory that holds the runs.
    pub runs: &'a Path,
    /// The id of the run; without, one is made of the time.
    pub id: Option<&'a str>,
    /// Where progress is shown: standard output.
    pub output: File,
    /// Ends the run when someone wants it to stop.
    pub stop: &'a Stop,
}

/// How a run ended that did not fail.
#[derive(Debug)]
pub struct Done {
    /// Its directory.
    pub directory: RunDirectory,
    /// How many steps were made.
    pub steps: u64,
    /// How long they took.
    pub seconds: f64,
    /// Whether it was stopped before its time.
    pub stopped: bool,
    /// The metrics of the last recorded line.
    pub last: Vec<(String, f64)>,
}

/// Runs an experiment: claims a directory, makes steps, records, and writes how it ended.
pub fn run(spec: &Spec, prepared: &LoadedSpec<'_>, request: Request<'_>) -> Result<Done, RunError> {
    let began @ (started, clock) = (SystemTime::now(), Instant::now());
    let directory = match request.id {
        None => RunDirectory::claim(request.runs, &spec.name, started, &spec.to_toml())?,
        Some(id) => RunDirectory::claim_as(request.runs, &spec.name, id, &spec.to_toml())?,
    };
    let _lock = directory.lock()?;
    let log = crate::log::to_file(directory.log()?);
    let known = prepared.known(request.spec_file, started);
    let mut step = 0;
    let (outcome, seconds, provenance) = std::thread::scope(|scope| {
        // Asking git and hashing files takes a while, and no step waits for it.
        let provenance = scope.spawn(|| directory.write_provenance(&Provenance::gather(known)));
        let outcome = prepared.open(Some(directory.path()), true).and_then(|mut experiment| {
            let outcome = steps(spec, prepared, &directory, began, &mut experiment, request);
            step = experiment.step();
            outcome
        });
        (outcome, clock.elapsed().as_secs_f64(), provenance.join())
    });
    let outcome = outcome.map_err(|e| Failure::new(&e, step, directory.path().to_owned()));
    let how = match &outcome {
        Err(failure) => Ending::from(failure),
        Ok((Ended::Stopped, _)) => Ending::Stopped,
        Ok(_) => Ending::Finished,
    };
    let end = directory.write_end(&End { how, step, seconds, ended: rfc3339(SystemTime::now()) });
    if provenance.is_err() {
        tracing::warn!("what made this run could not be found out: there is no provenance.json");
    }
    drop(log);
    let unwritten = end.err().or(provenance.ok().and_then(Result::err));
    // What failed first is what is reported, even where the disk let nothing more be written.
    let (ended, last) = outcome.map_err(|failure| RunError::Failed(Box::new(failure)))?;
    match unwritten {
        Some(unwritten) => Err(unwritten.into()),
        None => Ok(Done { directory, steps: step, seconds, stopped: ended == Ended::Stopped, last }),
    }
}

/// Makes all steps, and writes the last checkpoint. Returns why they ended, and what was recorded last.
fn steps(
    spec: &Spec,
    prepared: &LoadedSpec<'_>,
    directory: &RunDirectory,
    began: (SystemTime, Instant),
    experiment: &mut Experiment,
    request: Request<'_>,
) -> sdk::Result<(Ended, Vec<(String, f64)>)> {
    let parameters = experiment.model().store().trained_count();
    tracing::info!("{parameters} parameters on {}", device::name(prepared.device()));
    for prefix in experiment.model().unused_groups() {
        tracing::warn!(
            "[optimizer.groups.{prefix:?}] has no effect: no parameter of the agent has such a name"
        );
    }
    let mut recording = Recording::start(spec, directory, began)?;
    let checkpoints = Checkpoints::new(directory, &spec.checkpoint);
    let every = Duration::from_secs_f64(spec.record.console_every_seconds);
    let mut progress = Progress::new(Shown::on(request.output).lines_every(every), spec.steps, 0);
    crate::log::aside(progress.aside());
    let ended = make_steps(
        experiment,
        &mut recording,
        &checkpoints,
        spec.steps,
        request.stop,
        |experiment, recording, times| {
            if experiment.step() == 1 {
                let seconds = recording.seconds() - times.record.as_secs_f64();
                tracing::info!("the first step was made {seconds:.3} s after the run began");
            }
            progress.values(recording.last());
            progress.step(experiment.step());
        },
    );
    progress.finish();
    crate::log::aside(Default::default());
    // What was recorded is kept however the run ended; its own error comes first.
    let last = recording.finish(experiment);
    let ended = ended?;
    let last = last?;
    checkpoints.write(experiment)?;
    Ok((ended, last))
}

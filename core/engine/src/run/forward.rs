//! Playing a run forward from a checkpoint, to a step that has none.
use super::checkpoint::snapshot;
use super::experiment::StepOutcome;
use super::state::restored;
use super::{Fit, LoadedSpec, Origin, Recording, Stop};
use crate::forecast::check_memory;
use efference_cli::temporary::TemporaryPlace;
use efference_runs::checkpoint::{Checkpoint, Restored, Written};
use efference_runs::directory::RunDirectory;
use efference_sdk::{Result, ResultExt, ensure};
use efference_spec::Spec;
use std::time::SystemTime;

/// The state that a run had at step `at`, or in the middle of an unroll at its end: from a checkpoint (`None`: from the
/// beginning), the steps since then made again. Nothing of it is kept on the disk. `None`: it was stopped.
///
/// # Errors
/// If the run cannot be made again exactly, or a step fails.
pub fn play_forward(
    spec: &Spec,
    prepared: &LoadedSpec<'_>,
    from: Option<Checkpoint>,
    at: u64,
    stop: &Stop,
) -> Result<Option<Checkpoint>> {
    let place = TemporaryPlace::new("fork");
    let place = place.context("no temporary directory could be made; see the variable TMPDIR")?;
    let directory = RunDirectory::claim(place.path(), &spec.name, SystemTime::now(), "")?;
    check_memory(prepared)?;
    let mut experiment = prepared.open(None, true)?;
    let (restores, why) = restored(&experiment)?;
    let nearest = from.as_ref().map_or(0, |from| from.manifest.step);
    ensure!(
        restores == Restored::Exact,
        "there is no checkpoint of step {at}, and from the one of step {nearest} the run cannot be made again, since {why}. \
         Fork it where there is a checkpoint: --at {nearest}"
    );
    if let Some(from) = &from {
        experiment.restore(from, Fit::All)?;
    }
    // What is gathered for the next line of metrics goes on too; nothing else is recorded.
    let mut quiet = spec.clone();
    quiet.record.tensorboard = false;
    quiet.record.fingerprints = false;
    quiet.record.pictures_every = 0;
    let origin = Origin::after(from.as_ref().map_or(0.0, |from| from.manifest.seconds));
    let mut recording = Recording::start(&quiet, &directory, &mut experiment, origin, from.as_ref())?;
    while experiment.step() < at || !experiment.trainer().saves_exactly()? {
        if stop.wanted() || experiment.advance(&|| stop.wanted())? != StepOutcome::Step {
            return Ok(None);
        }
        recording.gather(&experiment);
        recording.step(&experiment)?;
    }
    let metrics = recording.sync()?.recv().unwrap_or_default();
    let mut checkpoint = snapshot(&experiment, &recording, Written::Due)?;
    checkpoint.manifest.metrics = metrics;
    Ok(Some(checkpoint))
}

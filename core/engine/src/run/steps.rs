//! The loop of a run and of a measurement: step, record, checkpoint.
use super::checkpoint::Checkpoints;
use super::evaluations::Evaluations;
use super::experiment::{Experiment, StepOutcome};
use super::recording::Recording;
use super::signals::Stop;
use super::threads;
use super::viewing::Viewing;
use efference_sdk::Result;
use efference_supervision::of_this_process;
use std::time::{Duration, Instant};

/// Why there are no more steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// All steps were made.
    Finished,
    /// The environment is over.
    Closed,
    /// Someone stopped it.
    Stopped,
}

/// How long one step took.
#[derive(Debug, Clone, Copy)]
pub struct StepTimes {
    /// The step itself.
    pub advance: Duration,
    /// Recording it, as far as the next step waits for that, with its checkpoint.
    pub record: Duration,
}

/// What goes on between the steps of a run, and not of a measurement.
#[derive(Default)]
pub struct Beside<'a> {
    /// Its agent is evaluated.
    pub evaluations: Option<Evaluations<'a>>,
    /// Others look at it.
    pub viewing: Option<Viewing>,
}

/// Makes steps until `until` are done (`None`: for ever), the environment is over, or someone stops it. `after` is called
/// after each step, when it is recorded.
///
/// # Errors
/// If a step fails, or could not be recorded.
pub fn make_steps(
    experiment: &mut Experiment,
    recording: &mut Recording<'_>,
    checkpoints: &mut Checkpoints,
    mut beside: Beside<'_>,
    until: Option<u64>,
    stop: &Stop,
    mut after: impl FnMut(&Experiment, &Recording<'_>, StepTimes),
) -> Result<Ended> {
    let activity = of_this_process();
    loop {
        if until.is_some_and(|steps| experiment.step() >= steps) {
            return Ok(Ended::Finished);
        }
        if let Some(viewing) = &mut beside.viewing {
            viewing.between_steps(experiment, recording, stop);
        }
        if stop.wanted() {
            return Ok(Ended::Stopped);
        }
        let (began, trainers) = (Instant::now(), experiment.times.trainer);
        match experiment.advance(&|| stop.wanted())? {
            StepOutcome::Closed => return Ok(Ended::Closed),
            StepOutcome::Stopped => return Ok(Ended::Stopped),
            StepOutcome::Step => {}
        }
        let advanced = Instant::now();
        threads::after_step(experiment.times.trainer.saturating_sub(trainers));
        activity.set_step(experiment.step());
        recording.gather(experiment);
        if let Some(evaluations) = &mut beside.evaluations {
            evaluations.step(experiment, recording)?;
        }
        recording.step(experiment)?;
        checkpoints.step(experiment, recording)?;
        after(experiment, recording, StepTimes { advance: advanced - began, record: advanced.elapsed() });
    }
}

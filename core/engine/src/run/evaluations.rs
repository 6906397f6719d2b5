//! When a run that goes on is evaluated.
use super::LoadedSpec;
use super::evaluation::evaluate;
use super::experiment::Experiment;
use super::recording::Recording;
use super::signals::Stop;
use crate::plugins::take_metrics;
use efference_sdk::Result;
use efference_spec::Evaluation as Settings;
use efference_supervision::{Phase, of_this_process};
use std::time::Instant;

/// The evaluations of a run that goes on.
pub struct Evaluations<'a> {
    prepared: &'a LoadedSpec<'a>,
    settings: Settings,
    stop: &'a Stop,
    given_up: bool,
}

impl<'a> Evaluations<'a> {
    /// Those of a run by this spec.
    pub fn new(prepared: &'a LoadedSpec<'a>, settings: &Settings, stop: &'a Stop) -> Self {
        Evaluations { prepared, settings: settings.clone(), stop, given_up: false }
    }

    /// Evaluates the agent if that is due after this step, and adds what came of it to the line that is gathered. An
    /// evaluation that fails is reported, and ends nothing.
    ///
    /// # Errors
    /// If the learner's state can't be saved, or it could not be recorded.
    pub fn step(&mut self, experiment: &Experiment, recording: &mut Recording<'_>) -> Result<()> {
        let Settings { every, episodes } = self.settings;
        let step = experiment.step();
        if every == 0 || !step.is_multiple_of(every) || self.given_up {
            return Ok(());
        }
        let began = Instant::now();
        let learned = experiment.save()?;
        let activity = of_this_process();
        let phase = activity.set_phase(Phase::Evaluating);
        let evaluated = evaluate(self.prepared, &learned, (step, episodes), self.stop);
        activity.set_phase(phase);
        take_metrics();
        experiment.model().set_step(step - 1);
        match evaluated {
            Ok(Some(evaluation)) => recording.evaluation(&evaluation, began.elapsed())?,
            Ok(None) => {}
            Err(error) => {
                self.given_up = true;
                tracing::warn!(
                    "there is no more evaluation in this run: {error:#}. Set `every` under [evaluation] to 0 to be without"
                );
            }
        }
        Ok(())
    }
}

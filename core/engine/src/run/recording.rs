//! What a run records of its steps: metrics and pictures.
use super::experiment::Experiment;
use crate::plugins::take_metrics;
use efference_runs::directory::RunDirectory;
use efference_runs::{Errors, Line, Metrics, Picture, PicturePair, Recorder, skill};
use efference_sdk::{Error, Result};
use efference_spec::Spec;
use std::time::{Instant, SystemTime};

/// Records an experiment, as its spec says, into the directory of a run.
pub struct Recording<'a> {
    spec: &'a Spec,
    recorder: Recorder,
    /// When the run began.
    clock: Instant,
    metrics: Metrics,
    errors: Sums,
    last: Vec<(String, f64)>,
    /// When the last line was recorded, and how many steps were done by then.
    window: (Instant, u64),
}

/// Sums of the errors of a window of steps.
#[derive(Default)]
struct Sums {
    sums: Errors,
    frames: u64,
}

/// Streams whose pictures are recorded.
const PICTURED: usize = 4;

impl<'a> Recording<'a> {
    /// Opens the files. `began` is when the run did, by both clocks.
    ///
    /// # Errors
    /// If a file cannot be made.
    pub fn start(
        spec: &'a Spec,
        directory: &RunDirectory,
        began: (SystemTime, Instant),
    ) -> Result<Recording<'a>> {
        let (started, clock) = began;
        Ok(Recording {
            spec,
            recorder: Recorder::start(directory.recorder_files(spec.record.tensorboard), started)?,
            clock,
            metrics: Metrics::default(),
            errors: Sums::default(),
            last: Vec::new(),
            window: (Instant::now(), 0),
        })
    }

    /// Records what is due after a step. To be called after each one.
    ///
    /// # Errors
    /// If something, now or earlier, could not be written, or a plugin could not say what is to be.
    pub fn step(&mut self, experiment: &Experiment) -> Result<()> {
        let record = &self.spec.record;
        for stats in experiment.stats() {
            if let Some(reward) = stats.reward {
                self.metrics.add("reward", reward);
            }
            if let Some(bonus) = stats.bonus {
                self.metrics.add("bonus", bonus);
            }
            if let Some(episode) = stats.episode {
                self.metrics.add("return", episode.total);
                self.metrics.add("episode_length", episode.length as f64);
            }
            if let Some(e) = stats.errors {
                self.errors.sums.error += e.error;
                self.errors.sums.last += e.last;
                self.errors.sums.mean += e.mean;
                self.errors.frames += 1;
            }
        }
        for (name, value) in take_metrics() {
            self.metrics.add(&name, value);
        }
        let step = experiment.step();
        if step.is_multiple_of(record.every) {
            self.line(experiment)?;
        }
        if record.pictures_every > 0 && step.is_multiple_of(record.pictures_every) {
            for (stream, observation, prediction) in experiment.pictures(PICTURED)? {
                let (observation, prediction) = (recorded(observation), prediction.map(recorded));
                self.recorder.picture(PicturePair { step, stream, observation, prediction })?;
            }
        }
        Ok(())
    }

    /// The metrics of the last line.
    pub fn last(&self) -> &[(String, f64)] {
        &self.last
    }

    /// Seconds since the run began.
    pub fn seconds(&self) -> f64 {
        self.clock.elapsed().as_secs_f64()
    }

    /// Records what is left, and waits until everything is written; returns the metrics of the last line.
    ///
    /// # Errors
    /// As [`step`](Self::step).
    pub fn finish(mut self, experiment: &Experiment) -> Result<Vec<(String, f64)>> {
        let left = self.line(experiment);
        let finished = self.recorder.finish().map_err(Error::from);
        left?;
        let left_out = finished?.pictures_left_out;
        if left_out > 0 {
            tracing::warn!(
                "{left_out} pairs of pictures came faster than the disk took them, and were left out"
            );
        }
        Ok(self.last)
    }

    /// Records the means since the last line, if there was a step since.
    fn line(&mut self, experiment: &Experiment) -> Result<()> {
        let (now, step) = (Instant::now(), experiment.step());
        let steps = step - self.window.1;
        if steps == 0 {
            return Ok(());
        }
        let recorded = experiment.model().take_means();
        let mut values = recorded.loss()?;
        let sums = std::mem::take(&mut self.errors);
        if sums.frames > 0 {
            let n = sums.frames as f64;
            let means =
                Errors { error: sums.sums.error / n, last: sums.sums.last / n, mean: sums.sums.mean / n };
            values.extend(
                [("error", means.error), ("error_last", means.last), ("error_mean", means.mean)].map(own),
            );
            values.extend(skill(means).map(|s| own(("skill", s))));
        }
        values.extend(self.metrics.take());
        // A goal's own metric of a name that is taken, such as its `error`, would stand in the same curve.
        let taken: Vec<_> = values.iter().map(|(name, _)| name.clone()).collect();
        values.extend(recorded.terms()?.into_iter().filter(|(name, _)| !taken.contains(name)));
        let seconds = now.duration_since(self.window.0).as_secs_f64();
        values.push(own(("streams", experiment.active_streams() as f64)));
        values.push(own(("steps_per_second", steps as f64 / seconds.max(1e-9))));
        self.window = (now, step);
        self.last.clone_from(&values);
        self.recorder.record(Line { step, seconds: self.clock.elapsed().as_secs_f64(), values })?;
        Ok(())
    }
}

/// A plugin's picture as the record has it.
fn recorded(picture: efference_sdk::Picture) -> Picture {
    let efference_sdk::Picture { width, height, rgb } = picture;
    Picture { width, height, rgb }
}

fn own((name, value): (&str, f64)) -> (String, f64) {
    (name.to_owned(), value)
}

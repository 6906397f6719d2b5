//! What a run records of its steps: metrics and pictures.
use super::evaluation::Evaluation;
use super::experiment::Experiment;
use crate::agent::LossMeans;
use crate::plugins::{PluginMetric, take_metrics};
use efference_runs::checkpoint::{Array, Arrays, Checkpoint};
use efference_runs::directory::RunDirectory;
use efference_runs::{
    Errors, Line, Metrics, Picture, PicturePair, RecordError, RecordedUntil, Recorder, RecorderFiles, skill,
};
use efference_sdk::tch::Device;
use efference_sdk::{Error, Result};
use efference_spec::Spec;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Receiver;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

/// When a run began, and what it had done before if it goes on.
#[derive(Debug, Clone)]
pub struct Origin {
    /// When it began, as far as its record counts time: that long before now as it has taken.
    pub started: SystemTime,
    /// When this process began with it.
    pub clock: Instant,
    /// The seconds that it had taken before.
    pub seconds: f64,
    /// Nanoseconds of this process in which it stood still, as someone wanted it so: they do not count.
    paused: Arc<AtomicU64>,
}

impl Origin {
    /// A run that begins now.
    pub fn now() -> Self {
        Origin { started: SystemTime::now(), clock: Instant::now(), seconds: 0.0, paused: Arc::default() }
    }

    /// A run that goes on now, and has taken so many seconds before.
    pub fn after(seconds: f64) -> Self {
        let now = Origin::now();
        let before = Duration::try_from_secs_f64(seconds).unwrap_or_default();
        Origin { started: now.started.checked_sub(before).unwrap_or(now.started), seconds, ..now }
    }

    /// Seconds that the run has taken.
    pub fn seconds(&self) -> f64 {
        self.seconds + self.seconds_here()
    }

    /// Of those, the ones of this process.
    pub fn seconds_here(&self) -> f64 {
        let paused = Duration::from_nanos(self.paused.load(Ordering::Relaxed));
        self.clock.elapsed().saturating_sub(paused).as_secs_f64()
    }
}

/// Records an experiment, as its spec says, into the directory of a run.
pub struct Recording<'a> {
    spec: &'a Spec,
    recorder: Recorder,
    origin: Origin,
    metrics: Metrics,
    errors: Sums,
    last: Vec<(String, f64)>,
    /// When the last line was recorded, and how many steps were done by then.
    window: (Instant, u64),
    /// Lines recorded so far.
    lines: u64,
    /// Whether there was ever a reward: without, returns mean nothing.
    rewarded: bool,
    fingerprints: bool,
    /// Whether the recorder could not go on.
    failed: bool,
    /// Records of fingerprints that wait to be passed on.
    prints: Vec<u8>,
    words: Vec<u32>,
}

/// What a recording has come to.
#[derive(Debug, Default)]
pub struct Finished {
    /// The metrics of the last line.
    pub last: Vec<(String, f64)>,
    /// What is worth knowing of the record: what was left out, what others did to its files.
    pub notes: Vec<String>,
    /// Why the record is incomplete, if it is.
    pub missing: Option<RecordError>,
    /// Why the last line could not be recorded.
    pub error: Option<Error>,
}

impl Finished {
    /// The metrics of the last line, if all was recorded.
    ///
    /// # Errors
    /// If not.
    pub fn complete(self) -> Result<Vec<(String, f64)>> {
        match (self.missing, self.error) {
            (Some(missing), _) => Err(missing.into()),
            (None, Some(error)) => Err(error),
            (None, None) => Ok(self.last),
        }
    }
}

/// Sums of the errors of a window of steps.
#[derive(Default)]
struct Sums {
    sums: Errors,
    frames: u64,
}

/// Bytes of fingerprints that are passed on together.
const PRINTS: usize = 16_384;
/// Streams whose pictures are recorded.
const PICTURED: usize = 4;

impl<'a> Recording<'a> {
    /// Opens the files, to record an experiment from its current step on. `from` is the checkpoint that the record was cut
    /// back to, if it goes on.
    ///
    /// # Errors
    /// If a file cannot be made.
    pub fn start(
        spec: &'a Spec,
        directory: &RunDirectory,
        experiment: &mut Experiment,
        origin: Origin,
        from: Option<&Checkpoint>,
    ) -> Result<Recording<'a>> {
        // Looking at what is on a GPU would make each step wait for it.
        let fingerprints = spec.record.fingerprints && experiment.model().device() == Device::Cpu;
        let files = RecorderFiles {
            fingerprints: fingerprints.then(|| (directory.fingerprints(), experiment.record_fingerprints())),
            ..directory.recorder_files(spec.record.tensorboard)
        };
        let until =
            from.map(|c| RecordedUntil { step: c.manifest.step, metrics: c.manifest.metrics.clone() });
        let mut recording = Recording {
            spec,
            recorder: Recorder::start(files, origin.started, until)?,
            origin,
            metrics: Metrics::default(),
            errors: Sums::default(),
            last: Vec::new(),
            window: (Instant::now(), experiment.step()),
            lines: 0,
            rewarded: false,
            fingerprints,
            failed: false,
            prints: Vec::new(),
            words: Vec::new(),
        };
        if let Some(checkpoint) = from {
            recording.restore(experiment, checkpoint);
        }
        Ok(recording)
    }

    /// What of this line of metrics is gathered so far, for a checkpoint.
    ///
    /// # Errors
    /// If a sum cannot be fetched from a GPU.
    pub fn save(&self, experiment: &Experiment, arrays: &mut Vec<Array>) -> Result<()> {
        let mut sum = |what: &str, i: usize, name: &str, sum: f64, count: u64| {
            // The number keeps the order.
            arrays.push(Array::of(format!("host/{what}/{i:06}/{name}"), &[sum, count as f64]));
        };
        for (i, (name, total, count)) in self.metrics.save().into_iter().enumerate() {
            sum("metrics", i, name, total, count);
        }
        for (i, (name, count, total)) in experiment.model().means().sums()?.into_iter().enumerate() {
            sum("loss", i, &name, total, count);
        }
        let Sums { sums: Errors { error, last, mean, linear, period }, frames } = self.errors;
        arrays.push(Array::of("host/errors".into(), &[error, last, mean, frames as f64]));
        // NaN: it is no baseline here.
        let further = [linear, period].map(|sum| sum.unwrap_or(f64::NAN));
        if linear.is_some() || period.is_some() {
            arrays.push(Array::of("host/further_errors".into(), &further));
        }
        arrays.push(Array::of("host/window".into(), &[self.window.1]));
        arrays.push(Array::of("host/rewarded".into(), &[u8::from(self.rewarded)]));
        Ok(())
    }

    fn restore(&mut self, experiment: &Experiment, checkpoint: &Checkpoint) {
        let host = Arrays::part(&checkpoint.arrays, "host");
        let sums = |what: &str| -> Vec<(String, f64, u64)> {
            let of = host.folder(what).into_iter();
            of.filter_map(|(name, array)| match array.elements::<f64>()?[..] {
                [sum, count] => Some((name.split_once('/')?.1.to_owned(), sum, count as u64)),
                _ => None,
            })
            .collect()
        };
        self.metrics = Metrics::restore(sums("metrics"));
        let losses = sums("loss").into_iter().map(|(name, sum, count)| (name, count, sum));
        experiment.model().restore_means(LossMeans::of_sums(losses.collect()));
        if let [error, last, mean, frames] = host.elements::<f64>("errors")[..] {
            let [linear, period] = match host.elements::<f64>("further_errors")[..] {
                [linear, period] => [linear, period].map(|sum| Some(sum).filter(|sum| !sum.is_nan())),
                _ => [None; 2],
            };
            let sums = Errors { error, last, mean, linear, period };
            self.errors = Sums { sums, frames: frames as u64 };
        }
        if let [step] = host.elements::<u64>("window")[..] {
            self.window.1 = step;
        }
        self.rewarded = host.elements::<u8>("rewarded") == [1];
        self.lines = checkpoint.manifest.lines;
    }

    /// Lines recorded so far.
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// Has all that was recorded written to the disk; the reply, which comes when it is there, has the metrics so far.
    ///
    /// # Errors
    /// As [`step`](Self::step).
    pub fn sync(&mut self) -> Result<Receiver<Vec<String>>> {
        self.pass_prints()?;
        let sync = self.recorder.sync();
        self.noticed(sync)
    }

    fn pass_prints(&mut self) -> Result<()> {
        if !self.prints.is_empty() {
            let passed = self.recorder.fingerprints(std::mem::take(&mut self.prints));
            self.noticed(passed)?;
        }
        Ok(())
    }

    /// Gathers what a step brought. To be called after each one, before [`step`](Self::step).
    pub fn gather(&mut self, experiment: &Experiment) {
        for stats in experiment.stats() {
            if let Some(reward) = stats.reward {
                self.rewarded = true;
                self.metrics.add("reward", reward);
            }
            if let Some(bonus) = stats.bonus {
                self.metrics.add("bonus", bonus);
            }
            if let Some(episode) = stats.episode {
                if self.rewarded {
                    self.metrics.add("return", episode.total);
                }
                self.metrics.add("episode_length", episode.length as f64);
            }
            if let Some(e) = stats.errors {
                self.errors.sums.add(&e);
                self.errors.frames += 1;
            }
        }
        for PluginMetric { name, value, latest } in take_metrics() {
            match latest {
                true => self.metrics.set(&name, value),
                false => self.metrics.add(&name, value),
            }
        }
    }

    /// Adds an evaluation, which took so long.
    ///
    /// # Errors
    /// As [`step`](Self::step).
    pub fn evaluation(&mut self, evaluation: &Evaluation, took: Duration) -> Result<()> {
        self.metrics.add("evaluation/return", evaluation.mean());
        self.metrics.add("evaluation/return_median", evaluation.median());
        self.metrics.add("evaluation/episode_length", evaluation.mean_length());
        // The learner's speed is its own.
        self.window.0 += took;
        let mut line = serde_json::to_string(evaluation)?;
        line.push('\n');
        let recorded = self.recorder.evaluation(line);
        self.noticed(recorded)
    }

    /// Records what is due after a step. To be called after each one.
    ///
    /// # Errors
    /// If something, now or earlier, could not be written, or a plugin could not say what is to be.
    pub fn step(&mut self, experiment: &Experiment) -> Result<()> {
        let record = &self.spec.record;
        let step = experiment.step();
        if self.fingerprints {
            self.words.clear();
            experiment.take_fingerprints(&mut self.words);
            self.prints.extend_from_slice(&step.to_le_bytes());
            self.words.iter().for_each(|word| self.prints.extend_from_slice(&word.to_le_bytes()));
            if self.prints.len() > PRINTS {
                self.pass_prints()?;
            }
        }
        if step.is_multiple_of(record.every) {
            self.line(experiment)?;
        }
        if record.pictures_every > 0 && step.is_multiple_of(record.pictures_every) {
            for (stream, observation, prediction) in experiment.pictures(PICTURED)? {
                let (observation, prediction) = (recorded(observation), prediction.map(recorded));
                let pair = PicturePair { step, stream, observation, prediction };
                self.recorder.picture(pair, self.origin.seconds())?;
            }
        }
        Ok(())
    }

    /// The run stood still for so long, as someone wanted it so: that is no time of its own.
    pub fn stood_still(&mut self, paused: Duration) {
        self.window.0 += paused;
        self.origin.paused.fetch_add(paused.as_nanos() as u64, Ordering::Relaxed);
    }

    /// The metrics of the last line.
    pub fn last(&self) -> &[(String, f64)] {
        &self.last
    }

    /// Seconds that the run has taken.
    pub fn seconds(&self) -> f64 {
        self.origin.seconds()
    }

    /// Whether recording had to end, as the disk takes nothing.
    pub fn disk_failed(&self) -> bool {
        self.failed
    }

    fn noticed<T>(&mut self, recorded: std::result::Result<T, RecordError>) -> Result<T> {
        self.failed |= recorded.is_err();
        Ok(recorded?)
    }

    /// The run ends: see [`Recorder::end_is_near`].
    pub fn end_is_near(&self) {
        self.recorder.end_is_near();
    }

    /// See [`Recorder::wait_for`].
    pub fn wait_for<T>(&self, thread: &JoinHandle<T>) {
        self.recorder.wait_for(thread);
    }

    /// Records what is left, and waits until everything is written.
    pub fn finish(mut self, experiment: &Experiment) -> Finished {
        let left = self.line(experiment).and_then(|()| self.pass_prints());
        let (mut notes, mut missing) = (Vec::new(), None);
        match self.recorder.finish() {
            Ok(recorded) => {
                if recorded.pictures_left_out > 0 {
                    notes.push(format!(
                        "{} pairs of pictures came faster than the disk took them, and were left out",
                        recorded.pictures_left_out
                    ));
                }
                if recorded.derived_left_out {
                    notes.push(
                        "fingerprints or TensorBoard's events are incomplete, as the disk did not take them"
                            .to_owned(),
                    );
                }
                notes.iter().for_each(|note| tracing::warn!("{note}"));
                notes.extend(recorded.notes); // which were said when they happened
            }
            Err(error) => missing = Some(error),
        }
        Finished { last: self.last, notes, missing, error: left.err() }
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
            let means = sums.sums.mean_over(sums.frames);
            values.extend(
                [("error", means.error), ("error_last", means.last), ("error_mean", means.mean)].map(own),
            );
            values.extend(means.linear.map(|e| own(("error_linear", e))));
            values.extend(means.period.map(|e| own(("error_period", e))));
            values.extend(skill(means).map(|s| own(("skill", s))));
        }
        values.extend(self.metrics.take());
        // A goal's own metric of a name that is taken, such as its `error`, would stand in the same curve.
        let taken: HashSet<_> = values.iter().map(|(name, _)| name.clone()).collect();
        values.extend(recorded.terms()?.into_iter().filter(|(name, _)| !taken.contains(name)));
        let seconds = now.duration_since(self.window.0).as_secs_f64();
        values.push(own(("streams", experiment.active_streams() as f64)));
        values.push(own(("steps_per_second", steps as f64 / seconds.max(1e-9))));
        self.window = (now, step);
        self.last.clone_from(&values);
        let recorded = self.recorder.record(Line { step, seconds: self.origin.seconds(), values });
        self.noticed(recorded)?;
        self.lines += 1;
        Ok(())
    }
}

/// A plugin's picture as the record has it.
pub(super) fn recorded(picture: efference_sdk::Picture) -> Picture {
    let efference_sdk::Picture { width, height, rgb } = picture;
    Picture { width, height, rgb }
}

fn own((name, value): (&str, f64)) -> (String, f64) {
    (name.to_owned(), value)
}

//! Runs experiments: the loop, the run's directory, and how a run ends.

pub mod checkpoint;
pub mod device;
pub mod directory;
mod experiment;
mod failure;
mod frames;
pub mod memory;
pub mod provenance;
mod signals;

pub use experiment::{Blamed, Experiment, FrameFigures, Stepped, Times};
pub use failure::Failure;
pub use signals::Stop;

use crate::agent::{Blueprint, Choice, Model, Sharing};
use crate::plugins::{Catalogue, Health, MissingPlugin, take_metrics};
use crate::record::{
    Errors, FileError, Line, Metrics, PicturePair, Progress, RecordError, Recorder, Shown, skill,
};
use crate::spec::{KINDS, Spec};
use directory::{ClaimError, End, Ending, RunDirectory, Utc};
use efference_abi::Kind;
use efference_sdk::{self as sdk, AnyTrainer, EnvironmentSetup, derive_seed};
use provenance::{Known, PluginFile, Provenance};
use serde_json::Value;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use thiserror::Error;

/// Why there was no run, or a failed one.
#[derive(Debug, Error)]
#[allow(missing_docs)] // the messages say it
pub enum RunError {
    #[error(transparent)]
    Plugin(#[from] MissingPlugin),
    #[error(transparent)]
    Device(#[from] device::NoDevice),
    #[error(transparent)]
    Claim(#[from] ClaimError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error("{0}")]
    Failed(Box<Failure>),
}

/// A spec whose plugins are loaded and whose device is chosen.
pub struct Prepared<'a> {
    spec: &'a Spec,
    device: tch::Device,
    choices: Vec<(Kind, Choice)>,
    /// See [`Blueprint::sharing`].
    pub sharing: Sharing,
}

impl<'a> Prepared<'a> {
    /// Loads the plugins of a spec, chooses its device and sets libtorch's number of threads.
    pub fn new(spec: &'a Spec, catalogue: &Catalogue) -> Result<Self, RunError> {
        let choose = |kind: Kind| -> Result<_, RunError> {
            let said = spec.choice(kind);
            let plugin = catalogue.load(kind, &said.plugin)?;
            Ok((kind, Choice { plugin, options: Value::Object(said.options.clone()) }))
        };
        let choices = KINDS.into_iter().map(choose).collect::<Result<Vec<_>, _>>()?;
        let device = device::choose(spec.device)?;
        if let Some(threads) = spec.threads {
            tch::set_num_threads(threads as i32);
        }
        Ok(Prepared { spec, device, choices, sharing: Sharing::All })
    }

    /// Where it will compute.
    pub fn device(&self) -> tch::Device {
        self.device
    }

    fn choice(&self, kind: Kind) -> &Choice {
        let found = self.choices.iter().find(|(k, _)| *k == kind);
        &found.expect("`new` made one of each kind").1
    }

    /// Makes agent and trainer.
    pub fn build(&self) -> sdk::Result<(Model, Box<dyn AnyTrainer>)> {
        Model::build(&Blueprint {
            seed: self.spec.seed,
            device: self.device,
            state_size: self.spec.state.size,
            layer: self.choice(Kind::Layer).clone(),
            cell: self.choice(Kind::Cell).clone(),
            goal: self.choice(Kind::Goal).clone(),
            trainer: self.choice(Kind::Trainer).clone(),
            sharing: self.sharing,
            optimizer: &|part, requested| self.spec.optimizer_of(part, requested),
        })
    }

    /// Opens the environment and puts the experiment together.
    pub fn open(&self, run_directory: Option<&Path>, compare: bool) -> sdk::Result<Experiment> {
        let (model, trainer) = self.build()?;
        let environment = self.choice(Kind::Environment);
        let setup = EnvironmentSetup {
            seed: derive_seed(self.spec.seed, &format!("environment {}", environment.plugin.listed.name)),
            run_directory: run_directory.map(Path::to_owned),
        };
        let health = Arc::new(Health::default());
        let environment = environment.plugin.environment(&environment.options, &setup, &health)?;
        let named = |kind: Kind| self.choice(kind).plugin.to_string();
        let blamed = Blamed {
            environment: named(Kind::Environment),
            trainer: named(Kind::Trainer),
            goal: named(Kind::Goal),
        };
        Ok(Experiment::new(environment, model, trainer, compare).blaming(blamed))
    }

    fn known<'b>(&self, spec: &'b Path, started: SystemTime) -> Known<'b> {
        let plugin = |(kind, choice): &(Kind, Choice)| PluginFile {
            name: choice.plugin.listed.name.clone(),
            kind: kind.name().to_owned(),
            version: choice.plugin.listed.version.clone(),
            file: choice.plugin.file.clone(),
            sha256: None,
        };
        Known {
            spec,
            started,
            plugins: self.choices.iter().map(plugin).collect(),
            libtorch: sdk::export::libtorch_version().to_owned(),
            device: device::name(self.device),
            threads: tch::get_num_threads() as usize,
        }
    }
}

/// How a run is made.
pub struct Request<'a> {
    /// The spec's file.
    pub spec_file: &'a Path,
    /// The directory that holds the runs.
    pub runs: &'a Path,
    /// Where progress is shown: standard output.
    pub output: File,
    /// Ends the run when it is told to.
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
pub fn run(spec: &Spec, prepared: &Prepared<'_>, request: Request<'_>) -> Result<Done, RunError> {
    let (started, clock) = (SystemTime::now(), Instant::now());
    let directory = RunDirectory::claim(request.runs, &spec.name, started, &spec.to_toml())?;
    let log = crate::log::to_file(directory.log()?);
    let mut running = Running {
        spec,
        directory: &directory,
        clock,
        metrics: Metrics::default(),
        errors: Sums::default(),
        last: Vec::new(),
        window: (Instant::now(), 0),
    };
    let mut step = 0;
    let known = prepared.known(request.spec_file, started);
    let (outcome, seconds, told) = std::thread::scope(|scope| {
        // Asking git and hashing files takes a while, and no step waits for it.
        let told = scope.spawn(|| directory.write_provenance(&Provenance::gather(known)));
        let outcome = prepared.open(Some(directory.path()), true).and_then(|mut experiment| {
            let parameters = experiment.model().store().trained_count();
            tracing::info!("{parameters} parameters on {}", device::name(prepared.device));
            for part in spec.optimizer.parts.keys().filter(|p| !experiment.model().has_part(p)) {
                tracing::warn!("[optimizer.parts.{part}] has no effect: the agent has no part of that name");
            }
            let outcome = running.go(&mut experiment, started, request.output, request.stop);
            step = experiment.step();
            outcome
        });
        (outcome, clock.elapsed().as_secs_f64(), told.join())
    });
    let failure = outcome.as_ref().err().map(|e| Failure::new(e, step, directory.path().to_owned()));
    let how = match (&outcome, &failure) {
        (_, Some(f)) => Ending::Failed {
            plugin: f.plugin.clone(),
            messages: f.messages.clone(),
            cure: Some(f.cure.clone()),
        },
        (Ok(true), None) => Ending::Stopped,
        _ => Ending::Finished,
    };
    let last = running.last;
    let end = directory.write_end(&End { how, step, seconds, ended: Utc::from(SystemTime::now()).rfc3339() });
    if told.is_err() {
        tracing::warn!("what made this run could not be found out: there is no provenance.json");
    }
    drop(log);
    let unwritten = end.err().or(told.ok().and_then(Result::err));
    match (failure, unwritten) {
        // What failed first is what is told, even where the disk let nothing more be written.
        (Some(failure), _) => Err(RunError::Failed(Box::new(failure))),
        (None, Some(unwritten)) => Err(unwritten.into()),
        (None, None) => {
            Ok(Done { directory, steps: step, seconds, stopped: matches!(outcome, Ok(true)), last })
        }
    }
}

/// Sums of the errors of a window of steps.
#[derive(Default)]
struct Sums {
    sums: Errors,
    frames: u64,
}

struct Running<'a> {
    spec: &'a Spec,
    directory: &'a RunDirectory,
    clock: Instant,
    metrics: Metrics,
    errors: Sums,
    last: Vec<(String, f64)>,
    window: (Instant, u64),
}

/// Streams whose pictures are recorded.
const PICTURED: usize = 4;

impl Running<'_> {
    /// Makes all steps; whether it was stopped before its time.
    fn go(
        &mut self,
        experiment: &mut Experiment,
        started: SystemTime,
        output: File,
        stop: &Stop,
    ) -> sdk::Result<bool> {
        let record = &self.spec.record;
        let files = self.directory.recorder_files(record.tensorboard);
        let mut recorder = Recorder::start(files, started)?;
        let every = Duration::from_secs_f64(record.console_every_seconds);
        let mut progress = Progress::new(Shown::on(output).lines_every(every), self.spec.steps, 0);
        crate::log::aside(progress.aside());
        let outcome = loop {
            let step = experiment.step();
            if self.spec.steps.is_some_and(|n| step >= n) {
                break Ok(false);
            }
            if stop.wanted() {
                break Ok(true);
            }
            match experiment.advance(&|| stop.wanted()) {
                Err(e) => break Err(e),
                Ok(Stepped::Closed) => break Ok(false),
                Ok(Stepped::Stopped) => break Ok(true),
                Ok(Stepped::Step) => {}
            }
            if step == 0 {
                tracing::info!(
                    "the first step was made {:.3} s after the run began",
                    self.clock.elapsed().as_secs_f64()
                );
            }
            if let Err(e) = self.record(experiment, &mut recorder, &mut progress) {
                break Err(e);
            }
        };
        progress.finish();
        crate::log::aside(Default::default());
        // What was recorded is kept however the run ended, and its own error comes first.
        let left = self.line(experiment, &mut recorder);
        let finished = recorder.finish().map_err(sdk::Error::from);
        let stopped = outcome?;
        left?;
        let left_out = finished?.pictures_left_out;
        if left_out > 0 {
            tracing::warn!(
                "{left_out} pairs of pictures came faster than the disk took them, and were left out"
            );
        }
        checkpoint::write(&self.directory.checkpoints(), experiment, self.spec.checkpoint.keep)?;
        Ok(stopped)
    }

    /// What is due after a step.
    fn record(
        &mut self,
        experiment: &Experiment,
        recorder: &mut Recorder,
        progress: &mut Progress,
    ) -> sdk::Result<()> {
        let record = &self.spec.record;
        for figures in experiment.figures() {
            if let Some(score) = figures.score {
                self.metrics.add("score", score);
            }
            if let Some(e) = figures.errors {
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
            self.line(experiment, recorder)?;
            progress.values(&self.last);
        }
        if record.pictures_every > 0 && step.is_multiple_of(record.pictures_every) {
            for (stream, observation, prediction) in experiment.pictures(PICTURED)? {
                recorder.picture(PicturePair { step, stream, observation, prediction })?;
            }
        }
        let every = self.spec.checkpoint.every;
        if every > 0 && step.is_multiple_of(every) {
            checkpoint::write(&self.directory.checkpoints(), experiment, self.spec.checkpoint.keep)?;
        }
        progress.step(step);
        Ok(())
    }

    /// Records the means since the last line, if there was a step since.
    fn line(&mut self, experiment: &Experiment, recorder: &mut Recorder) -> sdk::Result<()> {
        let (now, step) = (Instant::now(), experiment.step());
        let steps = step - self.window.1;
        if steps == 0 {
            return Ok(());
        }
        let recorded = experiment.model().take_recorded();
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
        values.push(own(("streams", experiment.live_streams() as f64)));
        values.push(own(("steps_per_second", steps as f64 / seconds.max(1e-9))));
        self.window = (now, step);
        self.last.clone_from(&values);
        recorder.record(Line { step, seconds: self.clock.elapsed().as_secs_f64(), values })?;
        Ok(())
    }
}

fn own((name, value): (&str, f64)) -> (String, f64) {
    (name.to_owned(), value)
}

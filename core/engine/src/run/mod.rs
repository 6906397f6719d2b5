//! Runs experiments: the loop, the run's directory, and how a run ends.

pub mod checkpoint;
pub mod device;
mod experiment;
mod failure;
mod frames;
pub mod memory;
mod recording;
mod signals;

pub use experiment::{Blamed, Experiment, FrameFigures, Stepped, Times};
pub use failure::Failure;
pub use recording::Recording;
pub use signals::Stop;

use crate::agent::{Blueprint, Choice, GraphSharing, Model};
use crate::plugins::{Catalogue, Health, MissingPlugin};
use efference_abi::Kind;
use efference_runs::directory::{ClaimError, End, Ending, RunDirectory, Utc};
use efference_runs::provenance::{Known, PluginFile, Provenance};
use efference_runs::{FileError, Progress, RecordError, Shown};
use efference_sdk::{self as sdk, AnyTrainer, EnvironmentSetup, derive_seed};
use efference_spec::{KINDS, Spec};
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
    pub sharing: GraphSharing,
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
        Ok(Prepared { spec, device, choices, sharing: GraphSharing::ForwardBackward })
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
            let recording = Recording::start(spec, &directory, (started, clock))?;
            let outcome = go(spec, &mut experiment, recording, request.output, request.stop);
            step = experiment.step();
            let done = outcome?;
            checkpoint::write(&directory.checkpoints(), &experiment, spec.checkpoint.keep)?;
            Ok(done)
        });
        (outcome, clock.elapsed().as_secs_f64(), told.join())
    });
    let outcome = outcome.map_err(|e| Failure::new(&e, step, directory.path().to_owned()));
    let how = match &outcome {
        Err(f) => Ending::Failed {
            plugin: f.plugin.clone(),
            messages: f.messages.clone(),
            cure: Some(f.cure.clone()),
        },
        Ok((true, _)) => Ending::Stopped,
        Ok((false, _)) => Ending::Finished,
    };
    let end = directory.write_end(&End { how, step, seconds, ended: Utc::from(SystemTime::now()).rfc3339() });
    if told.is_err() {
        tracing::warn!("what made this run could not be found out: there is no provenance.json");
    }
    drop(log);
    let unwritten = end.err().or(told.ok().and_then(Result::err));
    // What failed first is what is told, even where the disk let nothing more be written.
    let (stopped, last) = outcome.map_err(|failure| RunError::Failed(Box::new(failure)))?;
    match unwritten {
        Some(unwritten) => Err(unwritten.into()),
        None => Ok(Done { directory, steps: step, seconds, stopped, last }),
    }
}

/// Makes all steps; whether it was stopped before its time, and what was recorded last.
fn go(
    spec: &Spec,
    experiment: &mut Experiment,
    mut recording: Recording<'_>,
    output: File,
    stop: &Stop,
) -> sdk::Result<(bool, Vec<(String, f64)>)> {
    let every = Duration::from_secs_f64(spec.record.console_every_seconds);
    let mut progress = Progress::new(Shown::on(output).lines_every(every), spec.steps, 0);
    crate::log::aside(progress.aside());
    let outcome = loop {
        let step = experiment.step();
        if spec.steps.is_some_and(|n| step >= n) {
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
            let seconds = recording.seconds();
            tracing::info!("the first step was made {seconds:.3} s after the run began");
        }
        match recording.step(experiment) {
            Err(e) => break Err(e),
            Ok(true) => progress.values(recording.last()),
            Ok(false) => {}
        }
        progress.step(experiment.step());
    };
    progress.finish();
    crate::log::aside(Default::default());
    // What was recorded is kept however the run ended; its own error comes first.
    let last = recording.finish(experiment);
    let stopped = outcome?;
    Ok((stopped, last?))
}

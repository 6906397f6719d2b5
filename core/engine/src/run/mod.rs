//! Runs experiments: [`Prepared`] makes the parts, [`make_steps`] is the loop, and [`run`] is a whole run, from its
//! directory to its end.

pub mod checkpoint;
pub mod device;
mod experiment;
mod failure;
mod frames;
mod lifecycle;
pub mod memory;
mod recording;
mod signals;
mod steps;

pub use experiment::{Blamed, Experiment, FrameFigures, Stepped, Times};
pub use failure::Failure;
pub use lifecycle::{Done, Request, run};
pub use recording::Recording;
pub use signals::Stop;
pub use steps::{Ended, StepTimes, make_steps};

use crate::agent::{Blueprint, Choice, Model, Sharing};
use crate::plugins::{Health, MissingPlugin, Registry};
use efference_abi::Kind;
use efference_runs::directory::ClaimError;
use efference_runs::provenance::{Known, PluginFile};
use efference_runs::{FileError, RecordError};
use efference_sdk::{self as sdk, AnyTrainer, EnvironmentSetup, derive_seed};
use efference_spec::{Spec, StateSize};
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;
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
    pub fn new(spec: &'a Spec, registry: &Registry) -> Result<Self, RunError> {
        let choose = |kind: Kind| -> Result<_, RunError> {
            let said = spec.choice(kind);
            let plugin = registry.load(kind, &said.plugin)?;
            Ok((kind, Choice { plugin, options: Value::Object(said.options.clone()) }))
        };
        let choices = Kind::ALL.into_iter().map(choose).collect::<Result<Vec<_>, _>>()?;
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
            state_size: state_size(self.spec.state.size)?,
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

/// The number of elements in a state.
fn state_size(size: StateSize) -> sdk::Result<i64> {
    match size {
        StateSize::Elements(elements) => Ok(elements),
        StateSize::Auto => sdk::bail!(
            "`state.size` is \"auto\", and this environment does not know beforehand how much it observes. Set `size` \
             under [state]"
        ),
    }
}

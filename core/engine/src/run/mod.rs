//! Runs experiments: [`LoadedSpec`] makes the parts, [`make_steps`] is the loop, and [`run`] is a whole run, from its
//! directory to its end.

mod actions;
mod arrays;
pub mod checkpoint;
pub mod device;
mod episodes;
mod evaluation;
mod evaluations;
mod experiment;
mod failure;
mod forward;
mod frames;
mod lifecycle;
pub mod memory;
mod recording;
mod signals;
mod state;
mod steps;

pub use episodes::Episode;
pub use evaluation::{Evaluation, evaluate};
pub use experiment::{Attribution, Experiment, FrameStats, StepOutcome, Times};
pub use forward::play_forward;
pub use lifecycle::{Done, Request, Start, run};
pub use recording::{Origin, Recording};
pub use signals::Stop;
pub use state::Fit;
pub use steps::{Ended, StepTimes, make_steps};

use crate::agent::{AgentConfig, GraphSharing, Model, PluginConfig};
use crate::plugins::{CallMonitor, MissingPlugin, Registry};
use efference_abi::Kind;
use efference_runs::checkpoint::CheckpointError;
use efference_runs::directory::{ClaimError, Failure, RunDirectory};
use efference_runs::provenance::{Known, PluginFile};
use efference_runs::{FileError, RecordError};
use efference_sdk::{self as sdk, Environment, EnvironmentSetup, Prediction, Spaces, Trainer, derive_seed};
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
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error("the run cannot go on, and stays as it is: {0}")]
    Restore(String),
    #[error("{0}")]
    Failed(Box<Failure>),
}

/// A spec whose plugins are loaded and whose device is chosen.
pub struct LoadedSpec<'a> {
    spec: &'a Spec,
    device: tch::Device,
    plugins: Vec<(Kind, PluginConfig)>,
    /// See [`AgentConfig::sharing`].
    pub sharing: GraphSharing,
}

impl<'a> LoadedSpec<'a> {
    /// Loads the plugins of a spec, chooses its device and sets libtorch's number of threads.
    pub fn new(spec: &'a Spec, registry: &Registry) -> Result<Self, RunError> {
        let choose = |kind: Kind| -> Result<_, RunError> {
            let said = spec.choice(kind);
            let plugin = registry.load(kind, &said.plugin)?;
            Ok((kind, PluginConfig { plugin, options: Value::Object(said.options.clone()) }))
        };
        let plugins = Kind::ALL.into_iter().map(choose).collect::<Result<Vec<_>, _>>()?;
        let device = device::choose(spec.device)?;
        if let Some(threads) = spec.threads {
            tch::set_num_threads(threads as i32);
        }
        Ok(LoadedSpec { spec, device, plugins, sharing: GraphSharing::ForwardBackward })
    }

    /// Where it will compute.
    pub fn device(&self) -> tch::Device {
        self.device
    }

    fn plugin(&self, kind: Kind) -> &PluginConfig {
        let found = self.plugins.iter().find(|(k, _)| *k == kind);
        &found.expect("`new` made one of each kind").1
    }

    /// Makes agent and trainer for an environment that says this of its streams.
    pub fn build(&self, spaces: Option<&Spaces>) -> sdk::Result<(Model, Box<dyn Trainer>)> {
        let spec = self.spec;
        Model::build(&AgentConfig {
            seed: spec.seed,
            device: self.device,
            state_size: state_size(spec.state.size, spaces)?,
            spaces,
            layer: self.plugin(Kind::Layer).clone(),
            cell: self.plugin(Kind::Cell).clone(),
            goal: self.plugin(Kind::Goal).clone(),
            trainer: self.plugin(Kind::Trainer).clone(),
            sharing: self.sharing,
            groups: spec.optimizer.groups.keys().cloned().collect(),
            optimizer: &|group, requested| spec.optimizer_of(group, requested),
        })
    }

    /// Opens the environment, then makes the agent for it.
    pub fn open(&self, run_directory: Option<&Path>, compare: bool) -> sdk::Result<Experiment> {
        self.open_for("environment", run_directory, compare)
    }

    /// The same for an evaluation: the environment has random numbers of its own.
    pub fn open_for_evaluation(&self) -> sdk::Result<Experiment> {
        self.open_for("evaluation environment", None, false)
    }

    fn open_for(
        &self,
        purpose: &str,
        run_directory: Option<&Path>,
        compare: bool,
    ) -> sdk::Result<Experiment> {
        let environment = self.plugin(Kind::Environment);
        let setup = EnvironmentSetup {
            seed: derive_seed(self.spec.seed, &format!("{purpose} {}", environment.plugin.info.name)),
            run_directory: run_directory.map(Path::to_owned),
        };
        let monitor = Arc::new(CallMonitor::default());
        let environment =
            environment.plugin.create::<dyn Environment>(&environment.options, &setup, &monitor)?;
        self.open_with(environment, compare)
    }

    /// Makes the agent for an environment that is open already.
    pub fn open_with(&self, environment: Box<dyn Environment>, compare: bool) -> sdk::Result<Experiment> {
        let spaces = environment.spaces()?;
        let (model, trainer) = self.build(spaces.as_ref())?;
        let id = |kind: Kind| self.plugin(kind).plugin.id();
        let plugins = Attribution {
            environment: id(Kind::Environment),
            trainer: id(Kind::Trainer),
            goal: id(Kind::Goal),
            cell: id(Kind::Cell),
            layer: id(Kind::Layer),
        };
        Ok(Experiment::new(environment, spaces, model, trainer, plugins, compare))
    }

    fn known<'b>(&self, spec: &'b Path, run: &'b RunDirectory, started: SystemTime) -> Known<'b> {
        let plugin = |(kind, config): &(Kind, PluginConfig)| PluginFile {
            name: config.plugin.info.name.clone(),
            kind: kind.name().to_owned(),
            version: config.plugin.info.version.clone(),
            file: config.plugin.file.clone(),
            sha256: None,
        };
        Known {
            spec,
            runs: run.path().ancestors().nth(2),
            started,
            plugins: self.plugins.iter().map(plugin).collect(),
            libtorch: sdk::export::libtorch_version().to_owned(),
            device: device::name(self.device),
            threads: tch::get_num_threads() as usize,
        }
    }
}

/// The size of a state. One that a spec leaves open is twice what prediction and actions need, rounded up to a power of
/// two.
fn state_size(said: StateSize, spaces: Option<&Spaces>) -> sdk::Result<i64> {
    let spaces = match (said, spaces) {
        (StateSize::Elements(elements), _) => return Ok(elements),
        (StateSize::Auto, Some(spaces)) => spaces,
        (StateSize::Auto, None) => sdk::bail!(
            "`state.size` is \"auto\", and this environment does not know beforehand how much it observes. Set `size` \
             under [state]"
        ),
    };
    let needed = Prediction::RESERVED as usize + spaces.observation + spaces.action_width();
    Ok((2 * needed).next_power_of_two() as i64)
}

//! A spec after everything is merged, checked and filled in.
use super::keys::{Checkpoint, Device, OptimizerSettings, Plugins, Record, State};
use super::merge::Origins;
use super::mistakes::Mistakes;
use super::sweep::Swept;
use efference_abi::Kind;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The plugin of a section, and what its options are.
#[derive(Debug, Clone, PartialEq)]
pub struct PluginChoice {
    /// Name of the plugin.
    pub plugin: String,
    /// All its options: what the user said over the plugin's defaults. An option that may be none and is has `null`.
    pub options: Map<String, Value>,
}

/// How each part of an agent is optimized.
#[derive(Debug, Clone, PartialEq)]
pub struct Optimizer {
    /// The settings of parts that have none of their own.
    pub all: OptimizerSettings,
    /// The settings of the parts that `[optimizer.parts.NAME]` names, complete.
    pub parts: BTreeMap<String, OptimizerSettings>,
}

impl Optimizer {
    /// The settings of this part.
    pub fn of(&self, part: &str) -> &OptimizerSettings {
        self.parts.get(part).unwrap_or(&self.all)
    }
}

/// An experiment, ready to be run.
#[derive(Debug, Clone)]
pub struct Spec {
    /// Name of the experiment: letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// Every random draw follows from it.
    pub seed: u64,
    /// Steps after which the run is finished; `None` for none.
    pub steps: Option<u64>,
    /// Where tensors live.
    pub device: Device,
    /// CPU threads; `None` for the machine's physical cores.
    pub threads: Option<usize>,
    /// What is seen and acted on.
    pub environment: PluginChoice,
    /// The linear maps.
    pub layer: PluginChoice,
    /// State and input to next state.
    pub cell: PluginChoice,
    /// How gradients travel through time.
    pub trainer: PluginChoice,
    /// What is minimised and maximised.
    pub goal: PluginChoice,
    /// What an agent remembers.
    pub state: State,
    /// How parameters follow their gradients.
    pub optimizer: Optimizer,
    /// What is written down.
    pub record: Record,
    /// When a run is saved.
    pub checkpoint: Checkpoint,
    /// Where plugins are found; the paths are absolute.
    pub plugins: Plugins,
    /// What `efference sweep` varies; a run does not look at it.
    pub sweep: Vec<Swept>,
    /// Where each value came from.
    pub origins: Origins,
    /// What is no mistake but has no effect, for the user to know; empty, as a rule.
    pub notes: Mistakes,
    pub(super) tree: Value,
    pub(super) schema: Value,
}

impl Spec {
    /// How a part is optimized whose maker asks for this learning rate: what `[optimizer.parts.NAME]` says wins,
    /// then the maker, then `[optimizer]`.
    pub fn optimizer_of(&self, part: &str, learning_rate: Option<f64>) -> OptimizerSettings {
        let mut settings = self.optimizer.of(part).clone();
        let said = &self.tree["optimizer"]["parts"][part]["learning_rate"];
        if let (Some(rate), false) = (learning_rate, said.is_number()) {
            settings.learning_rate = rate;
        }
        settings
    }

    /// The choice of this kind.
    pub fn choice(&self, kind: Kind) -> &PluginChoice {
        match kind {
            Kind::Environment => &self.environment,
            Kind::Layer => &self.layer,
            Kind::Cell => &self.cell,
            Kind::Trainer => &self.trainer,
            Kind::Goal => &self.goal,
        }
    }
}

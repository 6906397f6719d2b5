//! A spec after everything is merged, checked and filled in.
use super::diagnostic::{Diagnostic, Diagnostics};
use super::key_path::KeyPath;
use super::keys::{Device, OptimizerSettings, Plugins, Record, State};
use super::merge::Origins;
use super::saving::{Checkpoint, Evaluation};
use super::section::Section;
use super::source::Place;
use super::sweep::SweepAxis;
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

/// How the parameters of an agent are optimized.
#[derive(Debug, Clone, PartialEq)]
pub struct Optimizer {
    /// The settings of parameters that are in no group.
    pub all: OptimizerSettings,
    /// What `[optimizer.groups."PREFIX"]` sets, by prefix. A group holds the parameters whose name is the prefix, or
    /// begins with the prefix and a point: the prefix of the goal's values does not hold what merely begins with the same letters.
    pub groups: BTreeMap<String, OptimizerGroup>,
}

/// The settings of a group of parameters.
#[derive(Debug, Clone, PartialEq)]
pub struct OptimizerGroup {
    /// All settings: those of the group over those of all parameters.
    pub settings: OptimizerSettings,
    /// Whether the learning rate is the group's own.
    pub says_learning_rate: bool,
}

impl Optimizer {
    /// The group that a parameter (or a group of an agent's parts) of this name belongs to: of those that hold it, the
    /// one with the longest prefix.
    pub fn group_of(&self, name: &str) -> Option<(&str, &OptimizerGroup)> {
        let holds = |prefix: &str| {
            name.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let holding = self.groups.iter().filter(|(prefix, _)| holds(prefix));
        holding.max_by_key(|(prefix, _)| prefix.len()).map(|(prefix, group)| (prefix.as_str(), group))
    }

    /// The settings of a parameter of this name.
    pub fn of(&self, name: &str) -> &OptimizerSettings {
        self.group_of(name).map_or(&self.all, |(_, group)| &group.settings)
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
    /// CPU threads; `None` for as many as the machine, affinity and quota allow.
    pub threads: Option<usize>,
    /// The plugin of each section; those of all kinds are there.
    pub plugins: BTreeMap<Section, PluginChoice>,
    /// What an agent remembers.
    pub state: State,
    /// How parameters follow their gradients.
    pub optimizer: Optimizer,
    /// What is written down.
    pub record: Record,
    /// When a run is saved.
    pub checkpoint: Checkpoint,
    /// When the agent is evaluated.
    pub evaluation: Evaluation,
    /// Where plugins are found; the paths are absolute.
    pub plugin_settings: Plugins,
    /// What is to be varied; a run does not look at it.
    pub sweep: Vec<SweepAxis>,
    /// Where each value came from.
    pub origins: Origins,
    /// What is no diagnostic but has no effect, for the user to know; empty, as a rule.
    pub notes: Diagnostics,
    pub(super) tree: Value,
    pub(super) schema: Value,
}

impl Spec {
    /// How the parameters of this name are optimized whose maker asks for this learning rate: what
    /// `[optimizer.groups."PREFIX"]` says wins, then the maker, then `[optimizer]`.
    pub fn optimizer_of(&self, name: &str, learning_rate: Option<f64>) -> OptimizerSettings {
        let group = self.optimizer.group_of(name);
        let mut settings = group.map_or(&self.optimizer.all, |(_, group)| &group.settings).clone();
        if let (Some(rate), false) = (learning_rate, group.is_some_and(|(_, group)| group.says_learning_rate))
        {
            settings.learning_rate = rate;
        }
        settings
    }

    /// What is wrong with the value of a key that was found out only now, with where it was said.
    pub fn problem(&self, key: &str, message: &str, help: Option<&str>) -> Diagnostics {
        let at = KeyPath::parse_serde(key);
        let said = self.origins.nearest_said(&at);
        let place = said.map_or(Place::Nowhere, |(origin, found)| origin.place(found != at));
        let label = "the key to change".to_owned();
        let diagnostic = Diagnostic::new(place, message, label, help.map(str::to_owned));
        Diagnostics::new(self.notes.spec(), vec![diagnostic])
    }

    /// All keys with their values, as one table.
    pub fn tree(&self) -> &Value {
        &self.tree
    }
}

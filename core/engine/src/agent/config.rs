//! What an agent is made from.
use super::transition::GraphSharing;
use crate::plugins::Plugin;
use efference_sdk::Spaces;
use efference_spec::OptimizerSettings;
use serde_json::Value;
use tch::Device;

/// A plugin and its options, a JSON object.
#[derive(Debug, Clone)]
pub struct PluginConfig {
    /// The plugin.
    pub plugin: Plugin,
    /// All its options.
    pub options: Value,
}

/// What an agent is made from.
#[derive(Clone)]
pub struct AgentConfig<'a> {
    /// The experiment's seed.
    pub seed: u64,
    /// Where tensors live.
    pub device: Device,
    /// Elements of a state.
    pub state_size: i64,
    /// What the environment observes and wants, if it is known.
    pub spaces: Option<&'a Spaces>,
    /// What cells, networks and goals are built with.
    pub layer: PluginConfig,
    /// The cell.
    pub cell: PluginConfig,
    /// The goal.
    pub goal: PluginConfig,
    /// A goal that adds to the reward, for exploration.
    pub bonus: Option<PluginConfig>,
    /// The trainer.
    pub trainer: PluginConfig,
    /// How much of an evaluation of the cell the gradient paths of a goal share: all they can, but for measuring.
    pub sharing: GraphSharing,
    /// Names of the parameter groups that have settings of their own.
    pub groups: Vec<String>,
    /// How a parameter group is updated: its name, and the learning rate that its maker asks for.
    pub optimizer: &'a dyn Fn(&str, Option<f64>) -> OptimizerSettings,
}

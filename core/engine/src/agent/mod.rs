//! The agent: parameters, optimizers, and the wiring of trainer, goal, cell and layers.

mod adam;
mod bf16;
mod build;
mod config;
mod counted;
mod diagnose;
mod elements;
mod fingerprints;
mod grad_paths;
mod groups;
mod layers;
mod loss_means;
mod missing_gradients;
mod model;
mod optimizer;
mod rehearsal;
mod rehearsed_layer;
mod roles;
mod saved;
mod shared_cell;
mod slow_cell;
mod store;
mod train;
mod transition;
mod transition_by_autograd;
mod transition_by_vjp;
mod with_bonus;

pub(crate) use build::check_room;
pub use config::{AgentConfig, PluginConfig};
pub(crate) use counted::{Counted, Rehearsed};
pub use loss_means::LossMeans;
pub use model::{AgentTimes, Model};
pub(crate) use roles::check_comparison;
pub use shared_cell::SharedCell;
pub use store::ParameterStore;
pub use transition::{CellTransition, GraphSharing};

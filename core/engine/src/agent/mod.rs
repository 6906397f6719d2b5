//! The agent: parameters, optimizers, and the wiring of trainer, goal, cell and layers.

mod adam;
mod grad_paths;
mod model;
mod optimizer;
mod shared_cell;
mod store;
mod transition;
mod transition_by_autograd;
mod transition_by_vjp;

pub use model::{AgentTimes, Blueprint, Choice, Model, Recorded};
pub use shared_cell::SharedCell;
pub use store::Store;
pub use transition::{CellTransition, GraphSharing};

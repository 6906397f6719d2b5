//! The agent: parameters, optimizers, and the wiring of trainer, goal, cell and layers.

mod adam;
mod graph;
mod lanes;
mod model;
mod optimizer;
mod passes;
mod store;

pub use lanes::{Lanes, SharedCell, Sharing};
pub use model::{AgentTimes, Blueprint, Choice, Model, Recorded};
pub use store::Store;

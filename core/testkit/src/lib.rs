//! Real parts to test a plugin with, in one process and without a host.
//!
//! ```no_run
//! use efference_sdk::{Layer, LayerSetup, Params, Plugin, Size};
//! # fn test<MyLayer: Layer + Plugin<Kind = dyn Layer>>(options: MyLayer::Options) -> efference_sdk::Result<()> {
//! let store = efference_testkit::MemoryStore::new(1);
//! let setup = LayerSetup { size: Size { ins: 300, outs: 20 }, params: Params::new(&store) };
//! let layer = MyLayer::new(options, &setup)?;
//! let x = efference_sdk::Random::new(2).normal(&[3, 300], 1.0);
//! efference_testkit::check_gradients(&x, &store, |x| layer.forward(x, 0..20))?;
//! # Ok(())
//! # }
//! ```
//!
//! Everything here computes what the host computes, in the plainest way: [`LayersOf`] makes layers from options
//! as a spec would ([`Matrix`] is the simplest kind), [`evaluate_paths`] evaluates a cell once for each gradient path,
//! [`PlainAgent`] lets a trainer train, [`OwnedMoment`] is what an environment would send.
//! [`Learner`] trains a whole agent in a tiny world, for a test of whether its loss falls.
//! [`read_events`] reads what a run has written for TensorBoard.

mod agent;
mod connections;
pub mod contract;
mod events;
mod grad_paths;
mod gradients;
mod learning;
mod matrix;
mod moment;
mod plain;
mod store;
mod story;
mod units;
mod vjp;

pub use agent::{PlainAgent, Rule, sgd};
pub use connections::check_connections;
pub use events::{Event, read_events};
pub use grad_paths::{PlainTransition, evaluate_paths};
pub use gradients::check_gradients;
pub use learning::{Learned, Learner, TwoSteps};
pub use matrix::{Matrix, MatrixOptions};
pub use moment::{OwnedMoment, with_loss_input};
pub use plain::{Predicts, StackCell};
pub use store::{LayersOf, MemoryStore};
pub use story::{Happening, play, story};
pub use units::check_units;
pub use vjp::check_vjp;

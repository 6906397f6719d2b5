//! Real parts to test a plugin with, in one process and without a host.
//!
//! ```no_run
//! use efference_sdk::{Layer, Params, Size, testkit};
//! # fn test<MyLayer: Layer>(options: MyLayer::Options) -> efference_sdk::Result<()> {
//! let store = testkit::MemoryStore::new(1);
//! let layer = MyLayer::new(options, Size { ins: 300, outs: 20 }, &Params::new(&store))?;
//! let x = efference_sdk::Random::new(2).normal(&[3, 300], 1.0);
//! testkit::check_gradients(&x, &store, |x| layer.forward(x, 0..20))?;
//! # Ok(())
//! # }
//! ```
//!
//! Everything here computes what the host computes, in the plainest way: [`LayersOf`] makes layers from options
//! as a spec would ([`Matrix`] is the simplest kind), [`evaluate_paths`] runs a cell once for each gradient path,
//! [`PlainAgent`] lets a trainer train.

mod agent;
mod grad_paths;
mod gradients;
mod matrix;
mod store;
mod vjp;

pub use agent::{PlainAgent, Rule, sgd};
pub use grad_paths::{PlainTransition, evaluate_paths};
pub use gradients::check_gradients;
pub use matrix::Matrix;
pub use store::{LayersOf, MemoryStore};
pub use vjp::check_vjp;

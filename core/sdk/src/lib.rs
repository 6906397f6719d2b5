//! What the author of an efference plugin writes against.
//!
//! A plugin is a dynamic library. Its author writes a struct, its options, two traits (what it is called and how it is
//! made, and what it does) and one line:
//!
//! ```
//! use efference_sdk::{Layer, LayerSetup, Plugin, Result, tch::Tensor};
//! use std::ops::Range;
//!
//! efference_sdk::options! {
//!     /// Options of `lowrank`.
//!     pub struct Options {
//!         /// Width of the bottleneck.
//!         #[schemars(range(min = 1))]
//!         pub rank: i64 = 8,
//!     }
//! }
//!
//! struct LowRank { down: Tensor, up: Tensor }
//!
//! impl Plugin for LowRank {
//!     const NAME: &'static str = "lowrank";
//!     const DESCRIPTION: &'static str = "Two thin matrices in a row.";
//!     type Options = Options;
//!     type Kind = dyn Layer;
//!
//!     fn new(options: Options, setup: &LayerSetup<'_>) -> Result<Self> {
//!         let (size, params) = (setup.size, &setup.params);
//!         let deviation = |n: i64| 1.0 / (n as f64).sqrt();
//!         Ok(LowRank {
//!             down: params.normal("down", &[size.ins, options.rank], deviation(size.ins))?,
//!             up: params.normal("up", &[options.rank, size.outs], deviation(options.rank))?,
//!         })
//!     }
//! }
//!
//! impl Layer for LowRank {
//!     fn forward(&self, x: &Tensor, outs: Range<i64>) -> Result<Tensor> {
//!         let up = self.up.f_narrow(1, outs.start, outs.end - outs.start)?;
//!         Ok(x.f_matmul(&self.down)?.f_matmul(&up)?)
//!     }
//! }
//!
//! efference_sdk::export! { layer: LowRank }
//! ```
//!
//! The five kinds are [`Environment`], [`Layer`], [`Cell`], [`Trainer`] and [`Goal`]; the host calls plugins through the
//! same traits. Tensors are
//! [`tch::Tensor`]s, and gradients flow through every plugin. Use tch's `f_…` methods and `?`: the others
//! panic, which costs the run. What libtorch keeps for the whole process (grad mode, default dtype, device,
//! random generator, number of threads) is to be left as it was found; random numbers come from [`Random`].
//! `tracing` events reach the host's log, and [`metric`] its curves.
//!
//! Fast code is safe code here: [`autograd`] has operations with a hand-written forward and backward, [`elementwise!`]
//! and [`elementwise_paths!`] loops on all threads in the processor's own instructions, and a layer or cell with a custom
//! VJP ([`Vjp`]) needs no autograd inside. [`nn`] has what networks are built of.

pub mod autograd;
pub mod bridge;
mod cell;
mod environment;
mod error;
pub mod export;
mod goal;
mod grad_paths;
mod layer;
mod loss;
pub mod nn;
pub mod options;
mod params;
mod plugin;
mod random;
pub mod saved;
mod trainer;

pub use autograd::{GradInput, GradOutput, Vjp};
pub use bridge::{latest_metric, metric, step_seed};
pub use cell::{Cell, CellSetup, GradMask, GradPath, Recurrence, Transition};
pub use environment::{
    ActionGroup, Comparison, Environment, EnvironmentSetup, Frame, Frames, Outline, Picture, Restores,
    RewardRange, Role, Spaces, StepType, action_width,
};
pub use error::{Error, PluginId, Result, ResultExt, panic_text};
pub use goal::{ActionRequest, Goal, GoalSetup, LossInput, Moment, end_reversed};
pub use grad_paths::evaluate_path;
pub use layer::{Edge, Layer, LayerFactory, LayerSetup, Size, Stage, WeightLayout};
pub use loss::{Loss, Term, TraceStep, TracedLoss, TracedRow, TracedTerm};
pub use nn::{Nonlinearity, ObservationLoss, Prediction, Stack, StackSpec};
pub use options::Options;
pub use params::{ParamStore, Params, Saved};
pub use plugin::{IntoKind, Plugin, PluginKind};
pub use random::{Random, derive_seed};
pub use schemars::JsonSchema;
pub use trainer::{
    Agent, AgentBuilder, Batch, InputLayout, NetworkSpec, Trainer, TrainerSetup, group, split_elements,
    weighted_traces,
};
pub use {efference_abi as abi, schemars, serde, serde_json, tch, tracing};

extern crate self as efference_sdk;

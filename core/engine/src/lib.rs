//! The engine: loads the plugins that a spec names, and runs the agent that they make.
//!
//! One folder a concern: [`plugins`] finds and calls plugins, [`agent`] wires them up and trains, [`run`] makes steps,
//! [`mod@bench`] measures them. Specs are read by [`efference_spec`], and what a run was like is kept by
//! [`efference_runs`]; neither needs libtorch.
//!
//! [`speed`] is a page on how long a step takes, and why.

pub mod agent;
pub mod bench;
pub mod contract;
pub mod describe;
pub mod draw;
pub mod forecast;
pub mod log;
pub mod plugins;
pub mod run;
pub mod speed;

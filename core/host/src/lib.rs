//! The host: reads a spec, loads the plugins that it names, and runs the agent that they make.
//!
//! One folder a concern, each with one door: [`spec`] reads experiments, [`plugins`] finds and calls plugins,
//! [`agent`] wires them up and trains, [`run`] makes steps, [`record`] keeps what they were like.
//!
//! [`speed`] is a page on how long a step takes, and why.

pub mod agent;
pub mod bench;
pub mod log;
pub mod plugins;
pub mod record;
pub mod run;
pub mod spec;
pub mod speed;

//! `efference bench`: checks the spec as far as that takes no libtorch, and runs the engine.
use crate::spec_file::{self, SpecArgs};
use crate::{ForceArgs, engine};
use clap::Args;

/// Measures how fast the experiment of a spec steps, where a step's time goes, and how far that is from what the
/// machine can do. What it records does not stay.
#[derive(Debug, Args)]
pub struct BenchArgs {
    /// The spec and its changes.
    #[command(flatten)]
    pub spec: SpecArgs,
    /// Steps that are measured.
    #[arg(long, default_value_t = 200, value_name = "N")]
    pub steps: u64,
    /// Steps that are made before.
    #[arg(long, default_value_t = 20, value_name = "N")]
    pub warm_up: u64,
    /// Prints JSON.
    #[arg(long)]
    pub json: bool,
    /// Whether what does not fit is tried all the same.
    #[command(flatten)]
    pub force: ForceArgs,
}

/// Does it; returns the exit status.
pub fn run(arguments: &BenchArgs) -> u8 {
    match spec_file::check_what_is_known(&arguments.spec) {
        Ok(()) => engine::run(),
        Err(status) => status,
    }
}

//! `efference evaluate`: runs the engine.
use crate::paths::path;
use crate::{ForceArgs, engine};
use clap::Args;
use std::path::PathBuf;

/// Lets the agent of a run act as well as it can, and says what return it reaches.
///
/// A frozen copy of the agent acts greedily, in the run's environment with random numbers of its own: the same episodes each
/// time. Nothing of the run changes.
#[derive(Debug, Args)]
pub struct EvaluateArgs {
    /// The run: the path of its directory, or in `runs` NAME (its run that was started last), NAME/ID, ID, or `latest`.
    #[arg(value_name = "RUN", value_parser = path())]
    pub run: PathBuf,
    /// How many episodes.
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub episodes: u64,
    /// The step of the checkpoint; without, the last one.
    #[arg(long, value_name = "STEP")]
    pub at: Option<u64>,
    /// Changes a key for the evaluation; may be given again.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Prints JSON, with the return and the length of each episode.
    #[arg(long)]
    pub json: bool,
    /// Whether what does not fit is tried all the same.
    #[command(flatten)]
    pub force: ForceArgs,
}

/// Does it; returns the exit status.
pub fn run(_: &EvaluateArgs) -> u8 {
    engine::run()
}

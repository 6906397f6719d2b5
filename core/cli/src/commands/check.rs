//! `efference check`.
use crate::print;
use crate::spec_file::{self, SpecArgs};
use clap::Args;

/// Checks a spec and reports everything that is wrong with it. Exit status: 0 nothing, 2 something.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The spec and its changes.
    #[command(flatten)]
    pub spec: SpecArgs,
    /// Prints the whole spec, with where each value came from.
    #[arg(long)]
    pub explain: bool,
}

/// Does it; returns the exit status.
pub fn run(arguments: &CheckArgs) -> u8 {
    let spec = match spec_file::load(&arguments.spec) {
        Ok(spec) => spec,
        Err(status) => return status,
    };
    if arguments.explain {
        print(&spec.to_toml());
    } else {
        print(&format!("{} is a good spec.\n", arguments.spec.file.display()));
    }
    0
}

//! `efference check`.
use crate::forecast::forecasts;
use crate::output::say_note;
use crate::spec_file::{self, SpecArgs};
use crate::{print, report};
use clap::Args;
use efference_runs::budget::Forecast;

/// Checks a spec and reports everything that is wrong with it; of a good one, says how many parameters it has, how much
/// memory it takes, and what a step computes. Exit status: 0 nothing is wrong, 2 something.
///
/// The agent is rehearsed without memory for its parameters, so that what fails in the first step is found here. The
/// environment is not started. An experiment that takes more memory than this machine has is not good here.
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
        return 0;
    }
    let good = format!("{} is a good spec.\n", arguments.spec.file.display());
    match forecasts(&[&spec]).as_deref() {
        Ok([Forecast { obstacle: Some(obstacle), .. }]) => {
            report(&spec.problem(&obstacle.key, &obstacle.message, obstacle.help.as_deref()))
        }
        Ok([Forecast { budget: Some(budget), .. }]) => {
            print(&format!("{good}{budget}"));
            0
        }
        Ok(_) => {
            print(&good);
            0
        }
        Err(why) => {
            print(&good);
            say_note(format!("what it takes is not known: {why}"));
            0
        }
    }
}

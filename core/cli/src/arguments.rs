//! What can be typed.
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// Runs experiments with agents that learn online from a stream.
#[derive(Debug, Parser)]
#[command(name = "efference", bin_name = "efference", version, max_term_width = 100)]
pub struct Cli {
    /// What is to be done.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Runs the experiment of a spec.
    ///
    /// Progress goes to standard output, everything else to a new directory `runs/<name>/<id>/`. Ctrl-C ends the
    /// run after its step, a second one at once. Exit status: 0 finished, 1 failed, 2 the spec has mistakes,
    /// 130 stopped.
    Run {
        /// The spec and its changes.
        #[command(flatten)]
        spec: SpecArgs,
        /// The directory that holds the runs.
        #[arg(long, default_value = "runs", value_name = "DIR")]
        runs: PathBuf,
    },
    /// Checks a spec and says all that is wrong with it. Exit status: 0 nothing, 2 something.
    Check {
        /// The spec and its changes.
        #[command(flatten)]
        spec: SpecArgs,
        /// Prints the whole spec, with where each value came from.
        #[arg(long)]
        explain: bool,
    },
    /// Measures how fast the experiment of a spec steps, where a step's time goes, and how far that is from what the
    /// machine can do. What it records does not stay.
    Bench {
        /// The spec and its changes.
        #[command(flatten)]
        spec: SpecArgs,
        /// Steps that are measured.
        #[arg(long, default_value_t = 200, value_name = "N")]
        steps: u64,
        /// Steps that are made before.
        #[arg(long, default_value_t = 20, value_name = "N")]
        warm_up: u64,
        /// Prints JSON.
        #[arg(long)]
        json: bool,
    },
    /// Lists the plugins that are found, and the files that are no good.
    Plugins {
        /// What about them; without it they are listed.
        #[command(subcommand)]
        what: Option<PluginsCommand>,
        /// Another directory with plugin libraries; may be given again.
        #[arg(long, value_name = "DIR", global = true)]
        path: Vec<PathBuf>,
    },
}

/// What can be asked about plugins.
#[derive(Debug, Subcommand)]
pub enum PluginsCommand {
    /// Shows what a plugin is and which options it has.
    Show {
        /// The plugin's name.
        name: String,
    },
}

/// A spec and its changes.
#[derive(Debug, Args)]
pub struct SpecArgs {
    /// The spec: a TOML file.
    #[arg(value_name = "SPEC")]
    pub file: PathBuf,
    /// Sets a key, as in `trainer.unroll_length=1`; may be given again.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}

//! The commands, one file each: its arguments, and what it does.

pub mod bench;
pub mod check;
pub mod plugins;
pub mod run;
pub mod simulate_decisions;
pub mod sweep;

use clap::{Parser, Subcommand};

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
#[allow(missing_docs)] // each is documented where it is
pub enum Command {
    Run(run::RunArgs),
    Sweep(Box<sweep::SweepArgs>),
    Check(check::CheckArgs),
    Bench(bench::BenchArgs),
    Plugins(plugins::PluginsArgs),
    SimulateDecisions(simulate_decisions::SimulateDecisionsArgs),
}

impl Command {
    /// Does it; returns the exit status.
    pub fn run(&self) -> u8 {
        match self {
            Command::Run(arguments) => run::run(arguments),
            Command::Sweep(arguments) => sweep::run(arguments),
            Command::Check(arguments) => check::run(arguments),
            Command::Bench(arguments) => bench::run(arguments),
            Command::Plugins(arguments) => plugins::run(arguments),
            Command::SimulateDecisions(arguments) => simulate_decisions::run(arguments),
        }
    }
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

//! The commands, one file each: its arguments, and what it does.

pub mod bench;
pub mod check;
pub mod compare;
pub mod completions;
pub mod diff;
pub mod draw;
pub mod evaluate;
pub mod explain;
pub mod fork;
pub mod man;
pub mod pictures;
pub mod plugins;
pub mod rerun;
pub mod resume;
pub mod run;
pub mod runs;
pub mod schema;
pub mod simulate_decisions;
pub mod sweep;
pub mod verify_resume;
pub mod view;
pub mod watch;

use crate::plugin_folders::PluginFolderArgs;
use clap::{CommandFactory, Parser, Subcommand};

/// Runs experiments with agents that learn online from a stream.
#[derive(Debug, Parser)]
#[command(name = "efference", bin_name = "efference", version, max_term_width = 100)]
pub struct Cli {
    /// Where plugins are looked for first.
    #[command(flatten)]
    pub plugin_folders: PluginFolderArgs,
    /// What is to be done.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
#[allow(missing_docs)] // each is documented where it is
pub enum Command {
    Run(run::RunArgs),
    Resume(resume::ResumeArgs),
    Fork(fork::ForkArgs),
    Evaluate(evaluate::EvaluateArgs),
    Sweep(Box<sweep::SweepArgs>),
    Compare(compare::CompareArgs),
    Diff(diff::DiffArgs),
    Rerun(rerun::RerunArgs),
    Runs(runs::RunsArgs),
    Watch(watch::WatchArgs),
    View(view::ViewArgs),
    Pictures(pictures::PicturesArgs),
    Check(check::CheckArgs),
    Explain(explain::ExplainArgs),
    Schema(schema::SchemaArgs),
    Plugins(plugins::PluginsArgs),
    Draw(draw::DrawArgs),
    Bench(bench::BenchArgs),
    VerifyResume(verify_resume::VerifyResumeArgs),
    SimulateDecisions(simulate_decisions::SimulateDecisionsArgs),
    Completions(completions::CompletionsArgs),
    Man(man::ManArgs),
}

impl Command {
    /// Does it; returns the exit status.
    pub fn run(&self) -> u8 {
        match self {
            Command::Run(arguments) => run::run(arguments),
            Command::Resume(arguments) => resume::run(arguments),
            Command::Fork(arguments) => fork::run(arguments),
            Command::Evaluate(arguments) => evaluate::run(arguments),
            Command::Sweep(arguments) => sweep::run(arguments),
            Command::Compare(arguments) => compare::run(arguments),
            Command::Diff(arguments) => diff::run(arguments),
            Command::Rerun(arguments) => rerun::run(arguments),
            Command::Runs(arguments) => runs::run(arguments),
            Command::Watch(arguments) => watch::run(arguments),
            Command::View(arguments) => view::run(arguments),
            Command::Pictures(arguments) => pictures::run(arguments),
            Command::Check(arguments) => check::run(arguments),
            Command::Explain(arguments) => explain::run(arguments),
            Command::Schema(arguments) => schema::run(arguments),
            Command::Plugins(arguments) => plugins::run(arguments),
            Command::Draw(arguments) => draw::run(arguments),
            Command::Bench(arguments) => bench::run(arguments),
            Command::VerifyResume(arguments) => verify_resume::run(arguments),
            Command::SimulateDecisions(arguments) => simulate_decisions::run(arguments),
            Command::Completions(arguments) => completions::run(arguments, Cli::command()),
            Command::Man(arguments) => man::run(arguments, Cli::command()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}

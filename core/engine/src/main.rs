//! The `efference-engine` program: what `efference` starts where libtorch is needed.
//!
//! A run reads from here by way of `commands/run.rs` to [`run`]: read the spec, load the plugins, make the parts, step until
//! the end.
mod commands;
mod program;

use clap::{Parser, Subcommand};
use efference_cli::commands::bench::BenchArgs;
use efference_cli::commands::draw::DrawArgs;
use efference_cli::commands::evaluate::EvaluateArgs;
use efference_cli::commands::fork::ForkArgs;
use efference_cli::commands::resume::ResumeArgs;
use efference_cli::commands::run::RunArgs;
use efference_cli::forecast::ForecastArgs;
use efference_cli::output;
use efference_cli::plugin_check::lines::CheckOneArgs;
use efference_cli::plugin_folders::PluginFolderArgs;
use efference_engine::{describe, log, run};
use efference_sdk::bridge;
use efference_supervision::{Phase, follow_parent, of_this_process};
use program::fail;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs the experiment of a spec. What people type is `efference`.
#[derive(Parser)]
#[command(name = "efference", bin_name = "efference", version)]
struct Cli {
    #[command(flatten)]
    plugin_folders: PluginFolderArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Run(RunArgs),
    Resume(ResumeArgs),
    Fork(ForkArgs),
    Evaluate(EvaluateArgs),
    Bench(BenchArgs),
    Draw(DrawArgs),
    /// Says what experiments take, for `efference check`.
    Forecast(ForecastArgs),
    /// Makes the checks of a plugin, for `efference plugins check`.
    CheckPlugin(CheckOneArgs),
    /// Replies to requests about plugins, for `efference check`.
    Describe,
}

fn main() {
    let activity = of_this_process();
    let cli: Cli = output::arguments();
    cli.plugin_folders.use_here();
    activity.set_phase(Phase::Working);
    follow_parent();
    run::memory::keep();
    match cli.command {
        Command::CheckPlugin(_) => log::collect_complaints(),
        _ => log::start(),
    }
    bridge::collect_panics();
    let status = catch_unwind(AssertUnwindSafe(|| match cli.command {
        Command::Run(arguments) => commands::run::run(&arguments),
        Command::Resume(arguments) => commands::resume::run(&arguments),
        Command::Fork(arguments) => commands::fork::run(&arguments),
        Command::Evaluate(arguments) => commands::evaluate::run(&arguments),
        Command::Bench(arguments) => commands::bench::run(&arguments),
        Command::Draw(arguments) => commands::draw::run(&arguments),
        Command::Forecast(arguments) => commands::forecast::run(&arguments),
        Command::CheckPlugin(arguments) => commands::check_plugin::run(&arguments),
        Command::Describe => describe::run().map(|()| 0).map_err(fail),
    }));
    let status = status.unwrap_or_else(|panic| {
        Err(fail(format!("{}. This is a mistake of efference; please report it", bridge::caught(panic))))
    });
    let status = output::status(status.unwrap_or_else(|status| status));
    log::finish();
    let _ = io::stdout().flush();
    activity.set_status(status);
    // Not by returning: libtorch would first take its operators apart one by one, for a tenth of a second. All
    // that was begun here is finished by now.
    signal_hook::low_level::exit(status.into())
}

#[cfg(test)]
mod tests {
    use efference_engine::plugins::this_host;

    /// `efference` lists the plugins in place of the engine, so it must take itself for the same.
    #[test]
    fn both_programs_would_load_the_same_plugins() {
        assert_eq!(efference_cli::engine_identity(), this_host());
    }
}

//! The `efference` program.
use clap::Parser;
use efference_cli::commands::Cli;
use std::process::ExitCode;

fn main() -> ExitCode {
    // Help, the version and wrong arguments end here.
    Cli::parse().command.run().into()
}

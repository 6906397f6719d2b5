//! The `efference` program: answers what it can without libtorch, and becomes `efference-engine` for the rest.
use clap::Parser;
use efference_cli::arguments::{Cli, Command};
use efference_cli::{hand_over, host_identity, listing};
use efference_registry::PluginFiles;
use std::process::ExitCode;

fn main() -> ExitCode {
    // Help, the version and mistakes in the arguments end here.
    match Cli::parse().command {
        Command::Plugins { what: None, path } => {
            listing::answer(&PluginFiles::scan(&path, &host_identity())).into()
        }
        _ => {
            eprintln!("error: {}", hand_over::become_host());
            ExitCode::FAILURE
        }
    }
}

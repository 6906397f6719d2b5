//! The `efference` program.
use efference_cli::commands::Cli;
use efference_cli::output;
use std::env;
use std::process::ExitCode;

fn main() -> ExitCode {
    // Help, the version and wrong arguments end here.
    let cli: Cli = output::arguments();
    // All that is relative is relative to it, and libraries that find none end the process in ways of their own.
    if let Err(e) = env::current_dir() {
        let why = format!("the current directory cannot be used, as it was removed, perhaps: {e}");
        return output::fail(format!("{why}. Change to one that is there, such as `cd ~`")).into();
    }
    cli.plugin_folders.use_here();
    output::status(cli.command.run()).into()
}

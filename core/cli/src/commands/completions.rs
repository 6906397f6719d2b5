//! `efference completions`.
use crate::output::print_data;
use clap::{Args, Command};
use clap_complete::Shell;

/// Prints what a shell needs to complete commands and their flags.
///
/// For bash: `efference completions bash > ~/.local/share/bash-completion/completions/efference`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell.
    pub shell: Shell,
}

/// Does it for the whole command line; returns the exit status.
pub fn run(arguments: &CompletionsArgs, mut whole: Command) -> u8 {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut whole, "efference", &mut script);
    print_data(&String::from_utf8_lossy(&script));
    0
}

//! `efference run`: checks the spec as far as that takes no libtorch, and runs the engine.
use crate::paths::path;
use crate::spec_file::{self, SpecArgs};
use crate::{ForceArgs, PageArgs, engine};
use clap::Args;
use std::path::PathBuf;

/// Runs the experiment of a spec.
///
/// Progress goes to standard output, everything else to a new directory `runs/<name>/<id>/`. Ctrl-C, SIGTERM and SIGHUP end the
/// run after its step, a second one at once; SIGUSR1 and SIGXCPU end it after its step, however often they come; SIGUSR2 does
/// nothing; what is ignored at the start, as by `nohup`, stays ignored. A plugin that does not return is named after 10 s, and one
/// that ends the process too. Exit status: 0 finished, 1 failed, 2 the spec has problems, 130 stopped, 128 + n ended by signal n.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// The spec and its changes.
    #[command(flatten)]
    pub spec: SpecArgs,
    /// The directory that holds the runs.
    #[arg(long, default_value = "runs", value_name = "DIR", value_parser = path())]
    pub runs: PathBuf,
    /// The last part of the run's directory, in place of one made of the time and two words; there must be no such run yet.
    #[arg(long, value_name = "ID")]
    pub id: Option<String>,
    /// Whether what does not fit is tried all the same.
    #[command(flatten)]
    pub force: ForceArgs,
    /// Whether it is shown.
    #[command(flatten)]
    pub page: PageArgs,
}

/// Does it; returns the exit status.
pub fn run(arguments: &RunArgs) -> u8 {
    match spec_file::check_what_is_known(&arguments.spec).and_then(|()| arguments.page.bind()) {
        Ok(page) => engine::run_shown(page),
        Err(status) => status,
    }
}

//! `efference watch`.
use crate::paths::path;
use crate::{fail, print};
use clap::Args;
use efference_runs::find_run;
use efference_view::terminal::{Left, show, snapshot};
use std::env;
use std::io::{self, IsTerminal};
use std::path::PathBuf;

/// Shows a run in the terminal while it goes on: curves, progress, time left, the last pictures.
///
/// q, Escape or Ctrl-C leave; the run goes on. Where standard output is no terminal, or TERM is `dumb`, the run is
/// printed once as it is now. NO_COLOR=1 shows it without colours.
#[derive(Debug, Args)]
pub struct WatchArgs {
    /// The run: NAME (its run that was started last), NAME/ID, ID, `latest`, or the path of its directory.
    #[arg(default_value = "latest")]
    pub run: PathBuf,
    /// The directory that holds the runs.
    #[arg(long, default_value = "runs", value_name = "DIR", value_parser = path())]
    pub runs: PathBuf,
}

/// Columns and rows of what is printed where there is no terminal.
const PAGE: (u16, u16) = (100, 40);

/// Does it; returns the exit status.
pub fn run(arguments: &WatchArgs) -> u8 {
    let directory = match find_run(&arguments.runs, &arguments.run) {
        Ok(directory) => directory,
        Err(error) => return fail(error),
    };
    if !can_be_drawn_on() {
        return match snapshot(directory, PAGE.0, PAGE.1) {
            Ok(text) => {
                print(&text);
                0
            }
            Err(error) => fail(error),
        };
    }
    match show(directory) {
        Ok(Left::ByKey) => 0,
        Ok(Left::BySignal(signal)) => u8::try_from(128 + signal).unwrap_or(1),
        Err(error) => fail(error),
    }
}

fn can_be_drawn_on() -> bool {
    let term = env::var_os("TERM").filter(|term| !term.is_empty());
    io::stdout().is_terminal() && term.is_some_and(|term| term != "dumb")
}

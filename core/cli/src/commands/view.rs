//! `efference view`.
use crate::fail;
use crate::output::{print, say};
use crate::paths::path;
use clap::Args;
use efference_runs::find_run;
use efference_view::page::Page;
use std::path::PathBuf;

/// Shows a run in the browser, while it goes on or when it has ended.
///
/// Prints the address of a page on this machine: each stream's observation beside what was predicted of it, the error between
/// them, actions, curves. A run that goes on is seen as it happens, with no more than 2 % of its time spent on pictures, and the
/// page can pause it, make single steps, and resume it; a run that was paused goes on when no page shows it any more. Of a run
/// that has ended the recorded pictures are shown. Whoever knows the address can do all that, so it has a token; it is reached
/// from this machine alone, or by `ssh -L PORT:127.0.0.1:PORT`. Ctrl-C ends the view, not the run.
#[derive(Debug, Args)]
pub struct ViewArgs {
    /// The run: NAME (its run that was started last), NAME/ID, ID, `latest`, or the path of its directory.
    #[arg(default_value = "latest", value_parser = path())]
    pub run: PathBuf,
    /// The directory that holds the runs.
    #[arg(long, default_value = "runs", value_name = "DIR", value_parser = path())]
    pub runs: PathBuf,
    /// The port of the page; without, any that is free.
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub port: Option<u16>,
}

/// Does it; returns the exit status of a view that could not be opened. Any other ends by a signal.
pub fn run(arguments: &ViewArgs) -> u8 {
    let directory = match find_run(&arguments.runs, &arguments.run) {
        Ok(directory) => directory,
        Err(error) => return fail(error),
    };
    let page = match Page::bind(arguments.port) {
        Ok(page) => page,
        Err(error) => return fail(error),
    };
    let (address, shown) = (page.address(), directory.shown().display().to_string());
    match page.show(directory) {
        Ok(serving) => {
            print(&format!("{address}\n"));
            say(format!("shows {shown}; Ctrl-C ends the view"));
            serving.wait()
        }
        Err(error) => fail(format!("no page can be served: {error}")),
    }
}

//! `efference runs`.
use crate::output::{print_data, say, say_note};
use crate::paths::path;
use crate::{fail, print};
use clap::{Args, ValueEnum};
use efference_runs::{Listing, find_run, list_runs};
use efference_view::runs_table;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Lists runs: where each stands, what it recorded last, and in which keys of the spec it differs from the others of its
/// experiment. The one that was started last comes last.
#[derive(Debug, Args)]
pub struct RunsArgs {
    /// Only the runs of this experiment.
    pub name: Option<String>,
    /// The directory that holds the runs.
    #[arg(long, default_value = "runs", value_name = "DIR", value_parser = path())]
    pub runs: PathBuf,
    /// How they are written.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
}

/// How runs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people, one run a line.
    Table,
    /// For programs, with all metrics.
    Json,
}

/// Does it; returns the exit status.
pub fn run(arguments: &RunsArgs) -> u8 {
    let listing = match listing(&arguments.runs, arguments.name.as_deref()) {
        Ok(listing) => listing,
        Err(why) => return fail(why),
    };
    match arguments.format {
        Format::Json => print_data(&runs_table::json(&listing)),
        Format::Table if listing.runs.is_empty() => {
            say(format!(
                "there is no run in '{}' yet; `efference run SPEC` makes one",
                arguments.runs.display()
            ));
        }
        Format::Table => {
            let width = if io::stdout().is_terminal() { terminal_width() } else { None };
            print(&runs_table::table(&listing, SystemTime::now(), width));
        }
    }
    for note in &listing.notes {
        say_note(note);
    }
    0
}

fn listing(runs: &Path, name: Option<&str>) -> Result<Listing, String> {
    let name = match name {
        // Who names a run, and not its experiment, gets the runs beside it.
        Some(name) if !runs.join(name).is_dir() || runs.join(name).join("spec.toml").is_file() => {
            let run = find_run(runs, Path::new(name)).map_err(|e| e.to_string())?;
            let experiment = run.path().parent().and_then(Path::file_name).unwrap_or_default();
            Some(experiment.to_string_lossy().into_owned())
        }
        name => name.map(str::to_owned),
    };
    list_runs(runs, name.as_deref()).map_err(|e| e.to_string())
}

fn terminal_width() -> Option<u16> {
    terminal_size::terminal_size().map(|(width, _)| width.0)
}

//! `efference rerun`: says what differs today, and runs the engine that runs it again.
use crate::output::{say, say_note};
use crate::paths::path;
use crate::run_spec::{RunSpec, runs_of};
use crate::today::{differences_today, report_differences};
use crate::{engine, fail, plugin_folders};
use clap::Args;
use std::path::PathBuf;

/// Does a run again, by its own spec, as a new run; and first says what is different today.
///
/// Variables of the environment change nothing. `efference diff` then tells whether the two are equal.
#[derive(Debug, Args)]
pub struct RerunArgs {
    /// The run: the path of its directory, or in `runs` NAME (its run that was started last), NAME/ID, ID, or `latest`.
    #[arg(value_name = "RUN", value_parser = path())]
    pub run: PathBuf,
    /// The directory that holds the runs; without, the one that holds the run.
    #[arg(long, value_name = "DIR", value_parser = path())]
    pub runs: Option<PathBuf>,
    /// The last part of the new run's directory, in place of one made of the time and two words.
    #[arg(long, value_name = "ID")]
    pub id: Option<String>,
}

/// Does it; returns the exit status.
pub fn run(arguments: &RerunArgs) -> u8 {
    let run = match RunSpec::open(&arguments.run) {
        Ok(run) => run,
        Err(status) => return status,
    };
    match differences_today(&run) {
        Err(status) => return status,
        Ok(None) => say_note("the run has no provenance.json: what is different today is not known"),
        Ok(Some(differences)) => {
            report_differences(&differences);
            if differences.is_empty() {
                say("nothing that is recorded of the run is different today");
            }
        }
    }
    let directory = run.directory;
    let mut command = match engine::command() {
        Ok(command) => command,
        Err(why) => return fail(why),
    };
    command
        .arg("run")
        .arg(directory.spec())
        .arg("--runs")
        .arg(runs_of(arguments.runs.as_deref(), &directory));
    command.args(plugin_folders::arguments());
    command.args(arguments.id.iter().flat_map(|id| ["--id", id]));
    for (name, _) in efference_spec::variables() {
        command.env_remove(name);
    }
    engine::run_command(command)
}

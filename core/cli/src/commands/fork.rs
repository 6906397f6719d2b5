//! `efference fork`: says what changes, and runs the engine.
use crate::engine::Engine;
use crate::paths::path;
use crate::run_spec::{self, RunSpec, report_changes};
use crate::{ForceArgs, engine};
use clap::Args;
use efference_runs::directory::RunDirectory;
use std::path::PathBuf;

/// Begins a new run from the state that another one had at a step.
///
/// The state comes from the nearest checkpoint before that step, played forward where the run is exact; in the middle of an unroll
/// the fork is at its end. Without a change the new run does what the other did, bit for bit. Of a state that no longer fits,
/// such as one of another size, what fits is taken, and the rest is listed.
#[derive(Debug, Args)]
pub struct ForkArgs {
    /// The run: the path of its directory, or in `runs` NAME (its run that was started last), NAME/ID, ID, or `latest`.
    #[arg(value_name = "RUN", value_parser = path())]
    pub run: PathBuf,
    /// The step; without, that of the last checkpoint.
    #[arg(long, value_name = "STEP")]
    pub at: Option<u64>,
    /// Steps after which the new run is finished, those before the fork included.
    #[arg(long, value_name = "N")]
    pub steps: Option<u64>,
    /// Changes a key, as in `optimizer.learning_rate=0.0003`; may be given again.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// The directory that holds the runs; without, the one that holds the other run.
    #[arg(long, value_name = "DIR", value_parser = path())]
    pub runs: Option<PathBuf>,
    /// The last part of the new run's directory, in place of one made of the time and two words.
    #[arg(long, value_name = "ID")]
    pub id: Option<String>,
    /// Whether what does not fit is tried all the same.
    #[command(flatten)]
    pub force: ForceArgs,
}

impl ForkArgs {
    /// All that changes, as `--set` says it.
    pub fn settings(&self) -> Vec<String> {
        run_spec::settings(&self.set, self.steps)
    }

    /// The directory that holds the new run.
    pub fn runs(&self, parent: &RunDirectory) -> PathBuf {
        run_spec::runs_of(self.runs.as_deref(), parent)
    }
}

/// Does it; returns the exit status.
pub fn run(arguments: &ForkArgs) -> u8 {
    let read = || -> Result<_, u8> {
        let engine = Engine::default();
        RunSpec::open(&arguments.run)?.changed(&arguments.settings(), &engine)
    };
    match read() {
        Ok(changed) => {
            report_changes(&changed.changes);
            engine::run()
        }
        Err(status) => status,
    }
}

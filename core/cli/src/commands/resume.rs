//! `efference resume`: says what changes, and runs the engine.
use crate::engine::Engine;
use crate::paths::path;
use crate::run_spec::{self, RunSpec, report_changes};
use crate::today::{differences_today, report_differences};
use crate::{ForceArgs, PageArgs, engine, fail};
use clap::Args;
use efference_spec::ChangeKind;
use std::path::PathBuf;

/// Goes on with a run from its last checkpoint.
///
/// The run goes on by the spec that it has, with what `--set` changes; a key that decides what fits, such as the size of the
/// state, cannot change: `efference fork` makes a new run of what fits. Metrics, events and pictures go on without a seam. A run
/// whose environment and plugins save all of their state goes on bit for bit as if it had never stopped.
#[derive(Debug, Args)]
pub struct ResumeArgs {
    /// The run: the path of its directory, or in `runs` NAME (its run that was started last), NAME/ID, ID, or `latest`.
    #[arg(value_name = "RUN", value_parser = path())]
    pub run: PathBuf,
    /// Steps after which it is finished, in place of those that its spec says.
    #[arg(long, value_name = "N")]
    pub steps: Option<u64>,
    /// Changes a key, as in `optimizer.learning_rate=0.0003`; may be given again.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Goes on from the checkpoint of this step, or with 0 begins anew; what was recorded after it is lost.
    #[arg(long, value_name = "STEP")]
    pub from: Option<u64>,
    /// Whether what does not fit is tried all the same.
    #[command(flatten)]
    pub force: ForceArgs,
    /// Whether it is shown.
    #[command(flatten)]
    pub page: PageArgs,
}

impl ResumeArgs {
    /// All that changes, as `--set` says it.
    pub fn settings(&self) -> Vec<String> {
        run_spec::settings(&self.set, self.steps)
    }
}

/// Does it; returns the exit status.
pub fn run(arguments: &ResumeArgs) -> u8 {
    let read = || -> Result<_, u8> {
        let engine = Engine::default();
        let run = RunSpec::open(&arguments.run)?;
        // Where the code is another, what follows may be another too.
        report_differences(&differences_today(&run)?.unwrap_or_default());
        run.changed(&arguments.settings(), &engine)
    };
    let changed = match read() {
        Ok(changed) => changed,
        Err(status) => return status,
    };
    report_changes(&changed.changes);
    if changed.changes.iter().any(|change| change.kind == ChangeKind::Hard) {
        return fail(format!(
            "a run cannot go on with keys that are hard to change. Make a new run of what fits: efference fork {} --set …",
            arguments.run.display()
        ));
    }
    match arguments.page.bind() {
        Ok(page) => engine::run_shown(page),
        Err(status) => status,
    }
}

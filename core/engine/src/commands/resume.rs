//! `efference resume`: a run goes on from a checkpoint.
use crate::program::{Outcome, fail, make_run};
use efference_cli::commands::resume::ResumeArgs;
use efference_cli::run_spec::{Changed, RunSpec};
use efference_engine::plugins::Registry;
use efference_engine::run::Start;
use efference_runs::FileError;
use efference_runs::checkpoint::CheckpointFiles;
use efference_runs::directory::{RunDirectory, RunLock};
use efference_runs::provenance::Descent;
use std::thread;
use std::time::{Duration, Instant};

/// How long an engine may take to end that was killed just now.
const ENDS_WITHIN: Duration = Duration::from_secs(3);

/// Takes the run for this process. One that was killed has it until the system has taken its memory back.
fn wait_for_lock(run: &RunDirectory) -> Result<Option<RunLock>, FileError> {
    let began = Instant::now();
    loop {
        match run.lock()? {
            None if began.elapsed() < ENDS_WITHIN => thread::sleep(Duration::from_millis(20)),
            lock => return Ok(lock),
        }
    }
}

pub(crate) fn run(arguments: &ResumeArgs) -> Outcome {
    let run = RunSpec::open(&arguments.run)?;
    let settings = arguments.settings();
    let registry = Registry::scan(&run.parse(&settings)?.plugin_paths());
    let Changed { new: spec, changes, .. } = run.changed_by(&settings, &registry)?;
    let RunSpec { directory } = run;
    let Some(lock) = wait_for_lock(&directory).map_err(fail)? else {
        let run = directory.path().display();
        return Err(fail(format!("{run} is being written by another process: stop that one first")));
    };
    let files = CheckpointFiles::new(directory.checkpoints());
    let step = match arguments.from {
        Some(0) => None,
        Some(step) => Some(step),
        None => files.newest(None).map_err(fail)?,
    };
    let from = step.map(|step| files.read(step)).transpose().map_err(fail)?;
    let done = from.as_ref().map_or(0, |from| from.manifest.step);
    if spec.steps.is_some_and(|steps| steps <= done) {
        return Err(fail(format!(
            "the run has done its {done} steps; say how many it is to have in all: --steps {}",
            2 * done
        )));
    }
    let changes = changes.iter().map(ToString::to_string).collect();
    let descent = Descent { run: directory.path().to_owned(), step: done, changes };
    let spec_file = directory.spec();
    let start = Start::Resume { run: directory, lock, from, descent };
    make_run(&spec, &registry, &spec_file, start, arguments.force.force)
}

//! `efference fork`: a new run from a step of another.
use crate::program::{Outcome, fail, listen, load, make_run};
use efference_cli::commands::fork::ForkArgs;
use efference_cli::run_spec::{Changed, RunSpec};
use efference_engine::plugins::Registry;
use efference_engine::run::{Start, play_forward};
use efference_runs::checkpoint::{CheckpointFiles, Manifest};
use efference_runs::provenance::Descent;
use efference_spec::ChangeKind;

pub(crate) fn run(arguments: &ForkArgs) -> Outcome {
    let run = RunSpec::open(&arguments.run)?;
    let settings = arguments.settings();
    let registry = Registry::scan(&run.parse(&settings)?.plugin_paths());
    let Changed { old, new: spec, changes } = run.changed_by(&settings, &registry)?;
    let parent = run.directory;
    let files = CheckpointFiles::new(parent.checkpoints());
    let at = match arguments.at {
        Some(at) => at,
        None => match files.newest(None).map_err(fail)? {
            Some(step) => step,
            None => return Err(fail(format!("{} has no checkpoint yet", parent.path().display()))),
        },
    };
    let done = parent.steps_done().map_err(fail)?;
    if at > done {
        return Err(fail(format!("the run has done {done} steps, and cannot be forked at step {at}")));
    }
    let nearest = files.newest(Some(at)).map_err(fail)?;
    let nearest = nearest.map(|step| files.read(step)).transpose().map_err(fail)?;
    let mut from = match nearest {
        Some(checkpoint) if checkpoint.manifest.step == at => checkpoint,
        nearest => {
            let stop = listen()?;
            let parts = load(&old, &registry, arguments.force.force)?;
            match play_forward(&old, &parts, nearest, at, &stop).map_err(|e| fail(format!("{e:#}")))? {
                Some(checkpoint) => checkpoint,
                None => return Ok(130),
            }
        }
    };
    let step = from.manifest.step;
    if spec.steps.is_some_and(|steps| steps <= step) {
        return Err(fail(format!(
            "the new run would have done its {} steps already; say how many it is to have in all: --set steps={}",
            spec.steps.unwrap_or_default(),
            2 * step
        )));
    }
    // The new run has a record of its own. What the other had gathered for its next line means nothing where something
    // else is computed.
    from.manifest = Manifest { seconds: 0.0, lines: 0, ..from.manifest };
    if changes.iter().any(|change| change.kind != ChangeKind::Safe) {
        let gathered = ["host/metrics/", "host/loss/", "host/errors", "host/window"];
        from.arrays.retain(|array| !gathered.iter().any(|start| array.name.starts_with(start)));
    }
    let changes = changes.iter().map(ToString::to_string).collect();
    let descent = Descent { run: parent.path().to_owned(), step, changes };
    let runs = arguments.runs(&parent);
    let start = Start::Fork { runs: &runs, id: arguments.id.as_deref(), from, descent };
    make_run(&spec, &registry, &parent.spec(), start, arguments.force.force)
}

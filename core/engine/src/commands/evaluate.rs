//! `efference evaluate`: what an agent reaches when it acts as well as it can.
use crate::program::{Outcome, fail, listen, load};
use efference_cli::commands::evaluate::EvaluateArgs;
use efference_cli::output::{print, print_data};
use efference_cli::run_spec::{Changed, RunSpec};
use efference_engine::forecast::check_memory;
use efference_engine::plugins::Registry;
use efference_engine::run::{Evaluation, evaluate};
use efference_runs::checkpoint::CheckpointFiles;
use std::fmt::Write;

pub(crate) fn run(arguments: &EvaluateArgs) -> Outcome {
    let run = RunSpec::open(&arguments.run)?;
    let registry = Registry::scan(&run.parse(&arguments.set)?.plugin_paths());
    let Changed { new: spec, .. } = run.changed_by(&arguments.set, &registry)?;
    let files = CheckpointFiles::new(run.directory.checkpoints());
    let step = match arguments.at {
        Some(step) => step,
        None => match files.newest(None).map_err(fail)? {
            Some(step) => step,
            None => {
                let run = run.directory.path().display();
                return Err(fail(format!("{run} has no checkpoint, and so nothing to evaluate")));
            }
        },
    };
    let checkpoint = files.read(step).map_err(fail)?;
    let stop = listen()?;
    let parts = load(&spec, &registry, arguments.force.force)?;
    check_memory(&parts).map_err(|e| fail(format!("{e:#}")))?;
    let episodes = (step, arguments.episodes);
    let evaluated = evaluate(&parts, &checkpoint.arrays, episodes, &stop);
    let Some(evaluation) = evaluated.map_err(|e| fail(format!("{e:#}")))? else { return Ok(130) };
    match arguments.json {
        true => print_data(&(serde_json::to_string(&evaluation).map_err(fail)? + "\n")),
        false => print(&shown(&evaluation)),
    }
    Ok(0)
}

fn shown(evaluation: &Evaluation) -> String {
    let Evaluation { step, returns, .. } = evaluation;
    let n = returns.len() as f64;
    let mean = evaluation.mean();
    let deviation = (returns.iter().map(|r| (r - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0)).sqrt();
    let mut text = format!("{} episodes after {step} steps of learning, acting greedily.\n", returns.len());
    // Writing to a String can't fail.
    let _ = writeln!(
        text,
        "return          mean {mean:.4}  median {:.4}  deviation {deviation:.4}",
        evaluation.median()
    );
    let extremes = (
        returns.iter().copied().fold(f64::INFINITY, f64::min),
        returns.iter().copied().fold(f64::NEG_INFINITY, f64::max),
    );
    let _ = writeln!(text, "                lowest {:.4}  highest {:.4}", extremes.0, extremes.1);
    let _ = writeln!(text, "episode length  mean {:.1}", evaluation.mean_length());
    text
}

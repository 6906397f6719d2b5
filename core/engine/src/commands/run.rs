//! `efference run`: a new run.
use crate::program::{Outcome, make_run, read};
use efference_cli::commands::run::RunArgs;
use efference_engine::run::Start;

pub(crate) fn run(arguments: &RunArgs) -> Outcome {
    let (spec, registry) = read(&arguments.spec)?;
    let start = Start::New { runs: &arguments.runs, id: arguments.id.as_deref() };
    make_run(&spec, &registry, &arguments.spec.file, start, arguments.force.force)
}

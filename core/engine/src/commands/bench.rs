//! `efference bench`: how fast an experiment steps.
use crate::program::{Outcome, fail, listen, load, read};
use efference_cli::commands::bench::BenchArgs;
use efference_cli::output::{print, print_data};
use efference_engine::bench;

pub(crate) fn run(arguments: &BenchArgs) -> Outcome {
    let (spec, registry) = read(&arguments.spec)?;
    let parts = load(&spec, &registry, arguments.force.force)?;
    let stop = listen()?; // so that what was recorded until then does not stay behind
    let request = bench::Request { warm_up: arguments.warm_up, steps: arguments.steps, stop: &stop };
    let report = bench::measure(&spec, &parts, &request).map_err(|e| {
        let status = fail(format!("{e:#}"));
        if stop.wanted() { 130 } else { status }
    })?;
    match arguments.json {
        true => print_data(&(serde_json::to_string(&report).map_err(fail)? + "\n")),
        false => print(&report.to_string()),
    }
    Ok(0)
}

//! `efference bench`: how fast an experiment steps.
use crate::program::{Outcome, fail, listen, load, read};
use efference_cli::commands::bench::BenchArgs;
use efference_engine::bench;
use std::io::{self, Write};

pub(crate) fn run(arguments: &BenchArgs) -> Outcome {
    let (spec, registry) = read(&arguments.spec)?;
    let parts = load(&spec, &registry, arguments.force.force)?;
    let stop = listen()?; // so that what was recorded until then does not stay behind
    let request = bench::Request { warm_up: arguments.warm_up, steps: arguments.steps, stop: &stop };
    let report = bench::measure(&spec, &parts, &request).map_err(|e| {
        let status = fail(format!("{e:#}"));
        if stop.wanted() { 130 } else { status }
    })?;
    let text = match arguments.json {
        true => serde_json::to_string(&report).map_err(fail)? + "\n",
        false => report.to_string(),
    };
    // Whoever reads it may have seen enough.
    let _ = io::stdout().write_all(text.as_bytes());
    Ok(0)
}

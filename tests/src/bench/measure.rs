//! What every row is measured with.
use crate::table::milliseconds;
use efference_engine::plugins::Registry;
use efference_engine::run::{Experiment, StepOutcome};
use efference_sdk::{Result, bail};
use std::path::Path;
use std::time::Instant;

/// All that a row needs.
pub(crate) struct Bench<'a> {
    pub(crate) registry: &'a Registry,
    pub(crate) directory: &'a Path,
}

/// Milliseconds that a step takes.
pub(crate) fn step(experiment: &mut Experiment) -> Result<f64> {
    let began = Instant::now();
    match experiment.advance(&|| false)? {
        StepOutcome::Step => Ok(milliseconds(began.elapsed())),
        _ => bail!("the experiment ended while it was measured"),
    }
}

//! What is to be compared, and by which metric.
use crate::better::Better;
use crate::error::CompareError;
use crate::figure::{Axis, FigureKind};
use crate::member::{FLOP, Member};
use efference_spec::nearest;

/// What is to be compared.
#[derive(Debug, Clone)]
pub struct Request {
    /// The metric; without, the first of `return`, `reward`, `error` and `loss` that all runs have.
    pub metric: Option<String>,
    /// The keys to group runs by; without, all that differ but those that say how a run is recorded.
    pub by: Vec<String>,
    /// What one figure of a run is.
    pub figure: FigureKind,
    /// What curves go over, and what `figure` counts in.
    pub axis: Axis,
    /// Which way the metric is to go, if its name does not say it.
    pub better: Option<Better>,
    /// Whether mean curves are wanted too.
    pub curves: bool,
}

/// What is compared if nothing else is asked for.
const PREFERRED: [&str; 4] = ["return", "reward", "error", "loss"];
/// Metrics that are listed in an error, at most.
const LISTED: usize = 30;

impl Request {
    /// The metric that is asked for, or preferred.
    pub(crate) fn metric(&self, runs: &[Member]) -> Result<String, CompareError> {
        if self.axis == Axis::Flop && !runs.iter().any(|run| run.has(FLOP)) {
            return Err(CompareError::NoFlop);
        }
        let common = in_common(runs);
        if let Some(metric) = &self.metric {
            if runs.iter().any(|run| run.has(metric)) {
                return Ok(metric.clone());
            }
            return Err(no_metric(metric, "none of the runs has".to_owned(), runs));
        }
        let preferred = PREFERRED.iter().find(|metric| common.contains(metric));
        match preferred.or(common.first()) {
            Some(metric) => Ok((*metric).to_owned()),
            None => {
                let each = runs.iter().take(10);
                let each = each.map(|run| {
                    format!("\n  {}: {}", run.directory.path().display(), list(run.metrics.iter()))
                });
                Err(CompareError::NothingInCommon(each.collect()))
            }
        }
    }

    /// Which way it is to go.
    pub(crate) fn better(&self, metric: &str) -> Result<Better, CompareError> {
        let better = self.better.or_else(|| Better::of(metric));
        better.ok_or_else(|| CompareError::BetterUnknown(metric.to_owned()))
    }
}

/// The metrics that all runs have.
pub(crate) fn in_common(runs: &[Member]) -> Vec<&str> {
    let first = runs.first().map_or(&[][..], |run| &run.metrics);
    first.iter().filter(|metric| runs.iter().all(|run| run.has(metric))).map(String::as_str).collect()
}

/// That `whose` recorded no such metric, with what may have been meant.
pub(crate) fn no_metric(metric: &str, whose: String, runs: &[Member]) -> CompareError {
    let common = in_common(runs);
    let near = nearest(metric, common.iter().copied()).filter(|near| *near != metric);
    let near = near.map_or(".".to_owned(), |near| format!("; did you mean `{near}`?"));
    CompareError::NoMetric { metric: metric.to_owned(), whose, near, common: list(common.iter()) }
}

fn list<S: AsRef<str>>(names: impl ExactSizeIterator<Item = S>) -> String {
    let more = names.len().saturating_sub(LISTED);
    let names: Vec<String> = names.take(LISTED).map(|name| name.as_ref().to_owned()).collect();
    match (names.is_empty(), more) {
        (true, _) => "none".to_owned(),
        (false, 0) => names.join(", "),
        (false, more) => format!("{}, and {more} more", names.join(", ")),
    }
}

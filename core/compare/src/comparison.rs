//! What a comparison comes to: groups with their figures, and the differences between them.
use crate::better::Better;
use crate::curves::Band;
use crate::figure::Axis;
use crate::statistics::{Difference, Interval};
use efference_runs::directory::RunDirectory;
use serde::{Serialize, Serializer};
use std::path::PathBuf;

/// Runs in groups, and which group is better.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Comparison {
    /// The metric.
    pub metric: String,
    /// What one figure of a run is, in words.
    pub figure: String,
    /// Which way the figure is to go.
    pub better: Better,
    /// What curves go over.
    pub axis: Axis,
    /// The keys that tell the groups apart.
    pub keys: Vec<String>,
    /// Keys that differ together with those.
    pub keys_that_follow: Vec<String>,
    /// Keys that differ within groups (tasks): figures are compared within equal values of them.
    pub strata: Vec<String>,
    /// The groups, in the order of their values.
    pub groups: Vec<Group>,
    /// Each pair of groups.
    pub differences: Vec<Pair>,
    /// In plain sentences: what is better, or that it can't be said.
    pub verdict: Vec<String>,
    /// What else should be known: runs that were left out, or still go on, or have diverged.
    pub notes: Vec<String>,
}

/// Runs that differ in nothing but their seed (and what is in [`Comparison::strata`]).
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Group {
    /// As it is called in tables and sentences: `unroll_length=2`.
    pub name: String,
    /// The values of [`Comparison::keys`].
    pub values: Vec<String>,
    /// The values of [`Comparison::keys_that_follow`].
    pub values_that_follow: Vec<String>,
    /// Its runs, by stratum and seed.
    pub runs: Vec<Run>,
    /// Runs that have a figure.
    pub n: usize,
    /// The mean of the figures; not a number if there is none, as is what follows.
    pub mean: f64,
    /// The median.
    pub median: f64,
    /// The mean of the middle half.
    pub interquartile_mean: f64,
    /// Of the interquartile mean: 95 %, by bootstrap over seeds within strata.
    pub interval: Option<Interval>,
    /// How likely a run of this group is better than one of another group.
    pub probability_of_improvement: Option<f64>,
    /// The mean over the runs.
    pub steps_per_second: f64,
    /// The mean curve; only if it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub curve: Option<Band>,
}

/// A run of a group.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Run {
    /// Its directory.
    #[serde(serialize_with = "path")]
    pub directory: RunDirectory,
    /// Its seed.
    pub seed: String,
    /// The values of [`Comparison::strata`].
    pub stratum: Vec<String>,
    /// `running`, `finished`, `stopped`, `failed` or `killed`.
    pub state: &'static str,
    /// Steps done.
    pub steps: u64,
    /// How fast.
    pub steps_per_second: f64,
    /// Its figure.
    pub figure: Option<f64>,
    /// Why there is none: `diverged` or `not reached`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_figure: Option<String>,
}

/// Two groups beside each other.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Pair {
    /// The group whose mean is better: its place in [`Comparison::groups`].
    pub left: usize,
    /// The other one.
    pub right: usize,
    /// `paired t` or `Welch's t`.
    pub test: &'static str,
    /// Figures of the left side that were compared (as many as of the right side, if they are paired).
    pub n: usize,
    /// Figures of the right side.
    pub n_right: usize,
    /// Runs that have no partner of the same seed, and so were left out of the pairs.
    pub unmatched: Vec<PathBuf>,
    /// The difference, left minus right; absent if there are too few seeds for one.
    pub difference: Option<Difference>,
    /// Its p, corrected for the number of comparisons.
    pub p_corrected: Option<f64>,
    /// How likely a run of the left side is better than one of the right.
    pub probability_of_improvement: f64,
    /// 95 % of that, by bootstrap.
    pub probability_interval: Option<Interval>,
    /// What it comes to.
    pub verdict: Verdict,
    /// Steps per second of the left side, by those of the right.
    pub speed: f64,
}

/// Whether one of two groups is better.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum Verdict {
    /// The left one is.
    Better,
    /// It can't be said yet; about so many more seeds would do, if the difference is as large as it looks.
    Undecided {
        /// `None`: there are too few to say even that.
        more_seeds: Option<f64>,
    },
    /// It would be, but more of its runs have no figure than of the other's.
    Unreliable,
    /// They are the same in each seed.
    Same,
}

fn path<S: Serializer>(directory: &RunDirectory, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&directory.path().display())
}

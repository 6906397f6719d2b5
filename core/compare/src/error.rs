//! Why runs can't be compared.
use efference_runs::FileError;
use efference_runs::history::HistoryError;
use std::path::PathBuf;

/// Why runs can't be compared.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// A file can't be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The metrics of a run can't be read.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// A name that is neither a run nor holds any.
    #[error("'{}' {why}; name the directory of a run (runs/<name>/<id>), one that holds runs (runs/<name>), or `latest`{near}", name.display())]
    NoRun {
        /// What was said.
        name: PathBuf,
        /// What it is instead.
        why: String,
        /// What may have been meant.
        near: String,
    },
    /// The spec that a run keeps can't be read.
    #[error("'{}' is no spec: {why}; a run writes it when it starts, so this one was changed since: leave this run out", file.display())]
    Spec {
        /// `spec.toml` in the directory of the run.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// No run has recorded anything.
    #[error(
        "none of the {0} runs has recorded anything yet; the first line comes after `record.every` steps"
    )]
    Empty(usize),
    /// No run, or no run of a group, has the metric.
    #[error("{whose} recorded `{metric}`{near} Metrics that all runs have: {common}")]
    NoMetric {
        /// The metric.
        metric: String,
        /// `none of the runs has`, or which ones have not.
        whose: String,
        /// What may have been meant.
        near: String,
        /// What there is.
        common: String,
    },
    /// The runs have no metric in common.
    #[error(
        "the runs have no metric in common.{0}\nCompare those alone that have one, and name it: --metric NAME"
    )]
    NothingInCommon(String),
    /// It is not known which way a metric is to go.
    #[error(
        "is less or more of `{0}` better? Its name does not say it: add `--better lower` or `--better higher`"
    )]
    BetterUnknown(String),
    /// No run has a key of this name.
    #[error("no run has the key `{key}` in its spec{near}")]
    NoKey {
        /// The key.
        key: String,
        /// What may have been meant, or what there is.
        near: String,
    },
    /// Seeds are what is compared over, not what is compared.
    #[error(
        "runs can't be compared by `seed`: it is what tells the runs of one group apart. Leave it out, or name another key"
    )]
    BySeed,
    /// Curves over flop are asked for, but nobody counted them.
    #[error(
        "no run recorded the metric `flop` (operations done since the start), so nothing can be shown over it; take `--x step` or `--x seconds`"
    )]
    NoFlop,
}

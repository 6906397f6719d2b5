//! Why metrics can't be read back.
use crate::FileError;
use std::path::PathBuf;

/// Why the metrics of a run can't be read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum HistoryError {
    /// The file can't be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A line that is not the last one makes no sense.
    #[error(
        "line {line} of '{}' is damaged: {cause}; the lines around it may be good: mend or remove that line, \
         on a copy of the file", file.display()
    )]
    Damaged {
        /// `metrics.jsonl`.
        file: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        cause: String,
    },
}

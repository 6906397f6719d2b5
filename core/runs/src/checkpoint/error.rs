//! Why there is no checkpoint to go on from.
use super::Manifest;
use crate::FileError;
use std::path::PathBuf;

/// Why a checkpoint could not be written or read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CheckpointError {
    /// A file could not be written or read.
    #[error(transparent)]
    File(#[from] FileError),
    /// It is not what was written.
    #[error("the checkpoint '{}' is damaged: {what}{}", file.display(), offer(*before))]
    Damaged {
        /// Which file of it.
        file: PathBuf,
        /// What shows it.
        what: String,
        /// The step of the checkpoint before it.
        before: Option<u64>,
    },
    /// A newer version of efference wrote it.
    #[error(
        "the checkpoint '{}' is of layout {version}, which a newer efference writes; this one reads layout {}{}",
        file.display(), Manifest::VERSION, offer(*before)
    )]
    Newer {
        /// The manifest.
        file: PathBuf,
        /// The layout that it says.
        version: u64,
        /// The step of the checkpoint before it.
        before: Option<u64>,
    },
    /// There is none of this step.
    #[error("there is no checkpoint of step {step} in '{}'; {}", directory.display(), there(steps))]
    None {
        /// The step that was asked for.
        step: u64,
        /// Where it was looked for.
        directory: PathBuf,
        /// The steps that there are checkpoints of.
        steps: Vec<u64>,
    },
    /// Arrays that cannot be written.
    #[error("a checkpoint cannot be written: {0}")]
    Arrays(String),
}

fn offer(before: Option<u64>) -> String {
    match before {
        Some(step) => format!(". The one before it can be taken: --from {step}"),
        None => ". There is none before it".to_owned(),
    }
}

fn there(steps: &[u64]) -> String {
    match steps {
        [] => "there are none at all".to_owned(),
        [only] => format!("there is one of step {only}"),
        [first, .., last] => format!("there are {}, of steps {first} to {last}", steps.len()),
    }
}

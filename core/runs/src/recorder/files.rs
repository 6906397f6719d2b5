//! Where a recorder writes, and what is there already.
use std::path::PathBuf;

/// Where a recorder writes. The directories must be there.
#[derive(Debug, Clone)]
pub struct RecorderFiles {
    /// The file for metrics; lines are added to it if it is there.
    pub metrics: PathBuf,
    /// The file for fingerprints, and the components of each. `None`: none.
    pub fingerprints: Option<(PathBuf, Vec<String>)>,
    /// The directory for TensorBoard's event files; each recorder makes a file of its own. `None`: none.
    pub tensorboard: Option<PathBuf>,
    /// The directory for pictures.
    pub pictures: PathBuf,
    /// The file for evaluations, which is made with the first one.
    pub evaluations: PathBuf,
    /// A file that holds room on the disk, so that the end can be written when it is full. `None`: none.
    pub reserved: Option<PathBuf>,
}

/// Where a record stands when a recorder goes on with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedUntil {
    /// The last step that is recorded.
    pub step: u64,
    /// The metrics so far, in the order of their first use.
    pub metrics: Vec<String>,
}

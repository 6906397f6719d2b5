//! What a run leaves behind while it goes: curves, pictures, progress, and the errors of baselines.
//!
//! [`Metrics`] gathers the scalars of single steps; every so often their means go to the [`Recorder`], whose
//! own thread writes `metrics.jsonl`, the TensorBoard event file and the pictures, off the step's path.
//! [`Baselines`] says what two predictors that learn nothing get on the same numbers, and [`Progress`] shows
//! where the run is.

mod baselines;
pub mod budget;
pub mod checkpoint;
mod console;
pub mod directory;
mod disk;
mod error;
mod find;
mod fingerprints;
mod git;
mod growing;
mod hash;
pub mod history;
pub mod limits;
mod lines;
mod listing;
pub mod metric;
mod metrics;
mod picture_files;
mod pictures;
pub mod privacy;
pub mod provenance;
mod readable;
mod recorder;
mod tail;
mod tensorboard;
#[cfg(test)]
mod tests;
pub mod time;
pub mod viewing;

pub use baselines::{Baselines, Errors, MoreBaselines, Remembered, skill};
pub use console::{Aside, Printer, Progress, Shown};
pub use error::{FileError, RecordError};
pub use find::{FindError, find_run};
pub use fingerprints::{Fingerprint, Fingerprints};
pub use lines::Line;
pub use listing::{ListedRun, Listing, list_runs};
pub use metrics::Metrics;
pub use picture_files::{PictureError, PictureFile, picture_files, read_picture};
pub use pictures::{Picture, PicturePair, apart, side_by_side};
pub use readable::{Bytes, Grouped, Lasting, Scaled, StepRate, ThreeDigits};
pub use recorder::{FLUSH_EVERY, Recorded, RecordedUntil, Recorder, RecorderFiles};
pub use tail::{Event, Followed, MetricsFollower, last_line};
pub use tensorboard::EventFile;

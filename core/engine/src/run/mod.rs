//! Runs experiments: [`LoadedSpec`] makes the parts, [`make_steps`] is the loop, and [`run`] is a whole run, from its
//! directory to its end.

mod actions;
mod answers;
mod arrays;
pub mod checkpoint;
pub mod device;
mod episodes;
mod evaluation;
mod evaluations;
mod experiment;
mod failure;
mod forward;
mod frames;
mod lifecycle;
mod loaded;
pub mod memory;
mod recording;
mod signals;
mod state;
mod steps;
mod team;
pub(crate) mod threads;
mod viewing;

pub use episodes::Episode;
pub use evaluation::{Evaluation, evaluate};
pub use experiment::{Attribution, Experiment, FrameStats, StepOutcome, Times};
pub use forward::play_forward;
pub use lifecycle::{Done, Request, Start, run};
pub use loaded::LoadedSpec;
pub use recording::{Origin, Recording};
pub use signals::Stop;
pub use state::Fit;
pub use steps::{Beside, Ended, StepTimes, make_steps};

use crate::plugins::MissingPlugin;
use efference_runs::checkpoint::CheckpointError;
use efference_runs::directory::{ClaimError, Failure};
use efference_runs::{FileError, RecordError};
use thiserror::Error;

/// Why there was no run, or a failed one.
#[derive(Debug, Error)]
#[allow(missing_docs)] // the messages say it
pub enum RunError {
    #[error(transparent)]
    Plugin(#[from] MissingPlugin),
    #[error(transparent)]
    Device(#[from] device::NoDevice),
    #[error(transparent)]
    Claim(#[from] ClaimError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error("the run cannot go on, and stays as it is: {0}")]
    Restore(String),
    #[error("{0}")]
    Failed(Box<Failure>),
}

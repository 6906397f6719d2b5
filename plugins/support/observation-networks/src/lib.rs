//! What goals share that put networks on what is observed: [`Frames`] makes rows of what a prediction is compared with, and
//! [`SlowCopy`] is a network that follows another one.

mod frames;
mod slow_copy;

pub use frames::{Compared, Frames};
pub use slow_copy::SlowCopy;

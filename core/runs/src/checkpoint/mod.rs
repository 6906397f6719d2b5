//! Checkpoints: everything that a run needs to go on, as named arrays.
//!
//! A checkpoint is two files in `checkpoints/`: `step-<number>.safetensors` with the arrays, and
//! `step-<number>.json`, the [`Manifest`], which has the SHA-256 of the other file and of itself. It is there if and
//! only if its manifest is: that file is written last and removed first, so no moment leaves half a checkpoint.
//!
//! The name of an array begins with the part that it belongs to: `parameters/cell.z.layer.0.weight`.
mod array;
mod error;
mod files;
mod manifest;
#[cfg(test)]
mod tests;

pub use array::{Array, Arrays, Element};
pub use error::CheckpointError;
pub use files::CheckpointFiles;
pub use manifest::{Manifest, Restored, Written};
pub use safetensors::Dtype;

/// A checkpoint in memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// What it is a checkpoint of.
    pub manifest: Manifest,
    /// Its arrays.
    pub arrays: Vec<Array>,
}

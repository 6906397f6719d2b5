//! What a checkpoint says of itself.
use serde::{Deserialize, Serialize};
use std::fmt;

/// What comes back of a run that goes on from a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Restored {
    /// The environment begins anew, and the agent goes on with what it has learned.
    Fresh,
    /// The environment plays again what had happened; what depends on time may differ.
    Replay,
    /// All of it: the run goes on bit for bit as if it had never stopped.
    Exact,
}

impl fmt::Display for Restored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Restored::Fresh => "fresh",
            Restored::Replay => "replay",
            Restored::Exact => "exact",
        })
    }
}

/// Why a checkpoint was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Written {
    /// It was due.
    Due,
    /// The run ended or was stopped.
    End,
    /// A step failed: the parameters are kept, and nothing that the step may have left half done.
    Failure,
}

/// What a checkpoint says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Of this layout.
    pub version: u32,
    /// Steps done.
    pub step: u64,
    /// Seconds that the run had taken.
    pub seconds: f64,
    /// Why it was written.
    pub written: Written,
    /// What comes back.
    pub restores: Restored,
    /// Whether the trainer lost nothing: it was not in the middle of an unroll.
    pub trainer_exact: bool,
    /// The version of efference that wrote it.
    pub efference: String,
    /// libtorch's version.
    pub libtorch: String,
    /// Where tensors lived.
    pub device: String,
    /// CPU threads.
    pub threads: usize,
    /// How many of them libtorch's own operations use, on which their last bits depend; absent if that was not chosen yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub libtorch_threads: Option<usize>,
    /// Lines of metrics that had been recorded.
    pub lines: u64,
    /// The metrics in them, in the order of their first use.
    pub metrics: Vec<String>,
    /// The mean, since the checkpoint before, of the metric by which the best one is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub figure: Option<f64>,
    /// The file with the arrays: its length, and its SHA-256 in hex.
    pub bytes: u64,
    /// See `bytes`.
    pub sha256: String,
}

impl Manifest {
    /// The layout that this version writes and reads.
    pub const VERSION: u32 = 2;

    /// Whether a run that goes on from here loses nothing that was to be had.
    pub fn is_whole(&self) -> bool {
        self.trainer_exact && self.written != Written::Failure
    }
}

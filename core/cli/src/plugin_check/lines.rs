//! What the engine says while it checks a plugin: a line of JSON for each check that begins or ends.
use clap::Args;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// What the engine is to check.
#[derive(Debug, Args)]
pub struct CheckOneArgs {
    /// The library.
    pub file: PathBuf,
    /// The kind of plugin.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Checks that were made already.
    #[arg(long, default_value_t = 0)]
    pub from: usize,
    /// Options.
    #[arg(long)]
    pub set: Vec<String>,
}

/// A line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Line {
    /// A check begins: what is true of a good plugin.
    Begins(String),
    /// It has ended.
    Ends(Outcome),
}

/// What came of a check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// It holds.
    Holds,
    /// It holds, with a figure.
    With(String),
    /// It is not asked of this plugin, for this reason.
    NotAsked(String),
    /// It does not hold.
    Failed {
        /// What is wrong.
        why: String,
        /// What to do.
        help: Option<String>,
    },
}

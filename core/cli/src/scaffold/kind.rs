//! What can be made, and in which language.
use clap::ValueEnum;

/// The kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs)] // the names say it
pub enum NewKind {
    Layer,
    Cell,
    Trainer,
    Goal,
    Environment,
}

/// The languages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs)] // the names say it
pub enum Language {
    Rust,
    Cpp,
    Python,
}

//! What can be made, and in which language.
use clap::ValueEnum;
use efference_abi::Kind;

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

impl NewKind {
    /// The same, as plugins say it.
    pub(super) fn of_plugins(self) -> Kind {
        match self {
            NewKind::Layer => Kind::Layer,
            NewKind::Cell => Kind::Cell,
            NewKind::Trainer => Kind::Trainer,
            NewKind::Goal => Kind::Goal,
            NewKind::Environment => Kind::Environment,
        }
    }
}

/// The languages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs)] // the names say it
pub enum Language {
    Rust,
    Cpp,
    Python,
}

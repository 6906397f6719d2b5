//! What a check refuses, and how it is shown.

use std::fmt;

/// Something that a check refuses.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Violation {
    pub(super) file: String,
    /// From 1.
    pub(super) line: usize,
    /// What is wrong.
    pub(super) message: String,
    /// What to do about it.
    pub(super) help: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, message, help } = self;
        write!(f, "{file}:{line}: {message}\n  help: {help}")
    }
}

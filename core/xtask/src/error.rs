//! What went wrong, in a sentence for a person, and what to do about it.

use std::path::Path;
use std::{fmt, io};

pub(crate) type Result<T> = std::result::Result<T, Error>;

#[derive(Debug)]
pub(crate) struct Error {
    what: String,
    help: Option<String>,
}

impl Error {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), help: None }
    }

    /// Adds what the reader can do about it.
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// A file operation that failed: `verb` is what could not be done, such as "write".
    pub(crate) fn file(verb: &str, path: &Path, error: &io::Error) -> Self {
        let what = format!("cannot {verb} {}: {error}", path.display());
        match error.kind() {
            io::ErrorKind::StorageFull => {
                Self::new(what).help("Free some space on that disk and start again.")
            }
            _ => Self::new(what),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        match &self.help {
            Some(help) => write!(f, "\n  help: {help}"),
            None => Ok(()),
        }
    }
}

//! The text of a spec file, and places in it. Everything else in this crate stands on this file and on key paths.
use miette::NamedSource;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A spec file, as it was read.
#[derive(Debug)]
pub struct SourceFile {
    /// In which order files were opened: the one that was asked for is 0.
    rank: usize,
    path: PathBuf,
    source: NamedSource<String>,
}

impl SourceFile {
    pub(super) fn new(rank: usize, path: &Path, text: String) -> Self {
        let name = path.display().to_string();
        SourceFile { rank, path: path.to_owned(), source: NamedSource::new(name, text).with_language("TOML") }
    }

    pub(super) fn rank(&self) -> usize {
        self.rank
    }

    pub(super) fn text(&self) -> &NamedSource<String> {
        &self.source
    }

    /// Its path, as it was given.
    pub fn name(&self) -> &str {
        self.source.name()
    }

    /// The directory that paths in this file are relative to.
    pub(super) fn directory(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }

    /// The line and column, both from 1, of this byte.
    pub fn position(&self, byte: usize) -> (usize, usize) {
        let text = self.source.inner();
        let before = text.get(..byte).unwrap_or(text);
        let line = before.rsplit('\n').next().unwrap_or_default();
        (before.matches('\n').count() + 1, line.chars().count() + 1)
    }
}

/// Where in what the user wrote a value stands.
#[derive(Debug, Clone)]
pub(super) enum Place {
    /// In these bytes of a file.
    InFile { file: Arc<SourceFile>, span: Range<usize> },
    /// In something that has a name: a variable, or a `--set`.
    Named(String),
    /// In no place that can be pointed at; the message says which file it is about.
    Nowhere,
}

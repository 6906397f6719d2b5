//! The text of a spec file, and places in it. Everything else in this crate stands on this file and on key paths.
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A spec file, as it was read.
#[derive(Debug)]
pub struct SourceFile {
    /// In which order files were opened: the one that was asked for is 0.
    rank: usize,
    /// Where what the file names is: beside what it leads to, if it is a link, and beside itself.
    directories: Vec<PathBuf>,
    name: String,
    text: String,
    /// The byte with which each line begins.
    line_starts: Vec<usize>,
}

impl SourceFile {
    pub(super) fn new(rank: usize, path: &Path, text: String) -> Self {
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        SourceFile {
            rank,
            directories: directories(path),
            name: path.display().to_string(),
            line_starts: std::iter::once(0).chain(breaks).collect(),
            text,
        }
    }

    pub(super) fn rank(&self) -> usize {
        self.rank
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Its path, as it was given.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The path of what this file names: relative to the file. If the file is a link, relative to what it leads to, where
    /// something of this name is there.
    pub(super) fn beside(&self, named: &Path) -> PathBuf {
        let named = expand_home(named);
        let mut places = self.directories.iter().map(|directory| directory.join(&named));
        let there = places.clone().find(|path| path.exists());
        there.or_else(|| places.next()).unwrap_or(named)
    }

    /// How many lines it has; the last one may be empty.
    pub(super) fn lines(&self) -> usize {
        self.line_starts.len()
    }

    /// The bytes of a line, counted from 0, without its end.
    pub(super) fn line(&self, number: usize) -> Range<usize> {
        let start = self.line_starts.get(number).copied().unwrap_or(self.text.len());
        let end = self.line_starts.get(number + 1).map_or(self.text.len(), |next| next - 1);
        let line = self.text.get(start..end).unwrap_or_default();
        start..start + line.strip_suffix('\r').unwrap_or(line).len()
    }

    /// The line, from 1, of this byte.
    pub(super) fn line_of(&self, byte: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= byte.min(self.text.len()))
    }

    /// The line and column, both from 1, of this byte.
    pub fn position(&self, byte: usize) -> (usize, usize) {
        let line = self.line_of(byte);
        let before = self.text.get(self.line_starts[line - 1]..byte.min(self.text.len())).unwrap_or_default();
        (line, before.chars().count() + 1)
    }
}

/// Specs are found by links from other places, and what they name lies beside them, as a rule.
fn directories(path: &Path) -> Vec<PathBuf> {
    let beside = path.parent().unwrap_or(Path::new("")).to_owned();
    let is_link = std::fs::symlink_metadata(path).is_ok_and(|data| data.is_symlink());
    let target = is_link.then(|| std::fs::canonicalize(path).ok()).flatten();
    target.and_then(|target| target.parent().map(Path::to_owned)).into_iter().chain([beside]).collect()
}

/// The path with the home directory in place of a `~` at its beginning: a shell leaves it as it is after `=`, and in a
/// spec there is no shell. Without a home directory, the path as it is.
pub fn expand_home(path: &Path) -> PathBuf {
    match (path.strip_prefix("~"), std::env::home_dir()) {
        (Ok(rest), Some(home)) if home.is_absolute() => home.join(rest),
        _ => path.to_owned(),
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

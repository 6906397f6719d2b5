//! The files that the checks look at: what git has, and what it does not ignore, read once.

use super::source::Source;
use crate::error::{Error, Result};
use std::fs;
use std::path::Path;
use std::process::Command;

/// A file of the workspace.
pub(crate) struct File<'a> {
    /// Its path from the workspace's root, with `/`.
    pub(crate) path: &'a str,
    /// What is in it; empty if it is no text.
    pub(crate) text: &'a str,
    /// Its tokens, if it is Rust, C or C++.
    pub(crate) source: Option<Source<'a>>,
}

impl File<'_> {
    /// What follows the last `.` of its name.
    pub(crate) fn extension(&self) -> &str {
        let name = self.path.rsplit('/').next().unwrap_or(self.path);
        name.rsplit_once('.').map_or("", |(_, extension)| extension)
    }

    /// The folder it lies in, without a `/` at its end; empty for the root.
    pub(crate) fn folder(&self) -> &str {
        self.path.rsplit_once('/').map_or("", |(folder, _)| folder)
    }
}

/// All files.
pub(crate) struct Tree<'a> {
    pub(crate) files: Vec<File<'a>>,
}

impl<'a> Tree<'a> {
    /// A tree of paths and texts.
    pub(crate) fn new(texts: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let files = texts.into_iter().map(|(path, text)| {
            let mut file = File { path, text, source: None };
            file.source = matches!(file.extension(), "rs" | "cpp" | "h").then(|| Source::new(path, text));
            file
        });
        Tree { files: files.collect() }
    }

    /// The Rust files with their tokens.
    pub(crate) fn rust(&self) -> impl Iterator<Item = (&File<'a>, &Source<'a>)> {
        let rust = self.files.iter().filter(|file| file.extension() == "rs");
        rust.filter_map(|file| Some((file, file.source.as_ref()?)))
    }
}

/// Paths and texts of what git has in a workspace, and of new files that it does not ignore, by path.
pub(crate) fn read(root: &Path) -> Result<Vec<(String, String)>> {
    let mut git = Command::new("git");
    git.current_dir(root).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let output = git.output().map_err(|e| Error::new(format!("cannot start git: {e}")))?;
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(Error::new(format!("`git ls-files` failed: {message}")));
    }
    let paths = output.stdout.split(|byte| *byte == 0);
    let mut paths: Vec<&str> = paths.filter_map(|path| std::str::from_utf8(path).ok()).collect();
    paths.sort_unstable();
    paths.dedup();
    let mut texts = Vec::new();
    for path in paths {
        // A file may be deleted and that not yet staged; what a link leads to is read under its own name.
        let whole = root.join(path);
        if !path.is_empty() && fs::symlink_metadata(&whole).is_ok_and(|meta| meta.is_file()) {
            let bytes = fs::read(&whole).map_err(|e| Error::file("read", &whole, &e))?;
            texts.push((path.to_owned(), String::from_utf8(bytes).unwrap_or_default()));
        }
    }
    Ok(texts)
}

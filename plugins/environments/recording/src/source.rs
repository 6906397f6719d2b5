//! Where rows come from: what all formats have in common.
use efference_sdk::serde::{Deserialize, Serialize};
use efference_sdk::{Error, Result};
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

/// A place in a source, from which it can go on. What the numbers beside the row mean is the format's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(crate = "efference_sdk::serde", deny_unknown_fields)]
pub(crate) struct Place {
    /// Rows before it.
    pub(crate) row: u64,
    /// Bytes before it.
    pub(crate) byte: u64,
    /// Lines before it.
    pub(crate) line: u64,
}

/// Rows of values, one after the other.
pub(crate) trait Source: Send {
    /// Fills in the next row; false: there is none.
    fn next(&mut self, row: &mut [f64]) -> Result<bool>;
    /// Where the next row is.
    fn place(&self) -> Place;
    /// Goes to where a row is.
    fn go(&mut self, place: Place) -> Result<()>;
    /// What tells its contents from others.
    fn checksum(&self) -> u64;
    /// How many rows there are, if that is known beforehand.
    fn rows(&self) -> Option<u64>;
}

/// A source a stream.
pub(crate) type Sources = Vec<Box<dyn Source>>;

/// Opens a file.
///
/// # Errors
/// A sentence with its path, and what to do.
pub(crate) fn open(path: &Path) -> Result<File> {
    let shown = path.display();
    let opened = File::open(path).and_then(|file| {
        let is_dir = file.metadata()?.is_dir();
        Ok((file, is_dir))
    });
    let (file, is_dir) = opened.map_err(|error| in_files(cannot_open(path, &error)))?;
    if is_dir {
        return Err(in_files(format!(
            "{shown} is a folder: set environment.files to the files in it, such as \"{shown}/*.csv\"; a folder of \
             pictures has environment.format = \"pictures\""
        )));
    }
    Ok(file)
}

/// What is said of a file that cannot be opened.
fn cannot_open(path: &Path, error: &std::io::Error) -> String {
    let shown = path.display();
    match error.kind() {
        ErrorKind::NotFound => match std::env::current_dir() {
            Ok(from) if path.is_relative() => format!(
                "there is no file {shown} in {}, where this was started: set environment.files to files that are there",
                from.display()
            ),
            _ => format!("there is no file {shown}: set environment.files to files that are there"),
        },
        _ => format!("{shown} cannot be read: {error}"),
    }
}

/// An error in the option that names the files.
pub(crate) fn in_files(message: String) -> Error {
    Error::msg(message).in_option("files")
}

/// What is said where a file has other contents than at the start.
pub(crate) fn has_changed(path: &Path) -> String {
    format!("{} has changed since it was first read", path.display())
}

/// The files that the option names, in order: what is a pattern, with what it stands for.
///
/// # Errors
/// A pattern that is none or stands for nothing; too many files.
pub(crate) fn find(files: &[String]) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for file in files {
        // A file whose name has such characters in it is meant as it is.
        if !file.contains(['*', '?', '[']) || Path::new(file).exists() {
            found.push(PathBuf::from(file));
            continue;
        }
        let paths = glob::glob(file)
            .map_err(|e| in_files(format!("the pattern {file:?} cannot be understood: {e}")))?;
        let before = found.len();
        for path in paths {
            match path {
                Ok(path) => found.push(path),
                Err(error) => return Err(in_files(cannot_open(error.path(), error.error()))),
            }
            check_count(found.len())?;
        }
        if found.len() == before {
            return Err(in_files(format!(
                "nothing is called like {file:?}: set environment.files to files that are there"
            )));
        }
    }
    check_count(found.len())?;
    Ok(found)
}

fn check_count(files: usize) -> Result<()> {
    let most = crate::options::MOST_STREAMS;
    if files <= most {
        return Ok(());
    }
    Err(in_files(format!("these are more than {most} files, each of which is a stream: name fewer")))
}

/// Reads, and computes a checksum of what was read.
pub(crate) struct Summed<R> {
    from: R,
    sum: crc32fast::Hasher,
    read: u64,
}

impl<R: Read> Summed<R> {
    pub(crate) fn new(from: R) -> Self {
        Summed { from, sum: crc32fast::Hasher::new(), read: 0 }
    }

    /// The checksum of all that was read, with its length.
    pub(crate) fn checksum(&self) -> u64 {
        (self.read << 32) ^ u64::from(self.sum.clone().finalize())
    }
}

impl<R: Read> Read for Summed<R> {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        let count = self.from.read(to)?;
        self.sum.update(&to[..count]);
        self.read += count as u64;
        Ok(count)
    }
}

/// The checksum of a file.
///
/// # Errors
/// If it cannot be read.
pub(crate) fn checksum_of(path: &Path) -> Result<u64> {
    let mut summed = Summed::new(open(path)?);
    let copied = std::io::copy(&mut summed, &mut std::io::sink());
    copied.map_err(|error| in_files(format!("{} cannot be read: {error}", path.display())))?;
    Ok(summed.checksum())
}

/// The name that is most like one that does not exist, as the end of a sentence.
pub(crate) fn did_you_mean<'a>(said: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    let like = |name: &&str| (strsim::jaro_winkler(&said.to_lowercase(), &name.to_lowercase()) * 1e6) as u64;
    let nearest = names.into_iter().take(10_000).max_by_key(like).filter(|name| like(name) >= 700_000);
    nearest.map_or_else(String::new, |name| format!(" (is {name:?} meant?)"))
}

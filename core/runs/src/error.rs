//! Errors of what is written to disk.
use std::io;
use std::path::{Path, PathBuf};

/// A file or directory of a run that could not be made, written or read.
///
/// It can be cloned, as one failed write is reported to everyone who asks afterwards.
#[derive(Debug, Clone, thiserror::Error)]
#[error("cannot {doing} '{}': {cause}{}", file.display(), help.map(|c| format!("; {c}")).unwrap_or_default())]
pub struct FileError {
    /// What was tried: a verb, as in "cannot *write* '…'".
    pub doing: &'static str,
    /// The file or directory that it was tried on.
    pub file: PathBuf,
    /// Which kind of error the system gave.
    pub kind: io::ErrorKind,
    /// What the system said.
    pub cause: String,
    /// What can be done about it, where that is known.
    pub help: Option<&'static str>,
}

impl FileError {
    /// What the system said when `doing` was tried on `file`.
    pub fn new(doing: &'static str, file: &Path, error: &io::Error) -> Self {
        use io::ErrorKind::{
            AlreadyExists, FileTooLarge, IsADirectory, NotADirectory, NotFound, PermissionDenied,
            QuotaExceeded, ReadOnlyFilesystem, StorageFull,
        };
        let help = match error.kind() {
            StorageFull => Some("free some space on that disk, or put the runs on another one"),
            QuotaExceeded => Some("free some of your quota, or put the runs on another disk"),
            FileTooLarge => Some("raise the limit on the size of a file (`ulimit -f`), or record less"),
            PermissionDenied => Some("make it writable for you, or put the runs where you may write"),
            ReadOnlyFilesystem => Some("put the runs on a disk that can be written to"),
            NotADirectory | AlreadyExists => {
                Some("a file is in the way: move it, or put the runs somewhere else")
            }
            IsADirectory => Some("a directory is in the way: move it, or put the runs somewhere else"),
            NotFound => Some("a directory above it is missing: was it removed or renamed meanwhile?"),
            _ => None,
        };
        FileError { doing, file: file.to_owned(), kind: error.kind(), cause: error.to_string(), help }
    }
}

/// Why something could not be recorded.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RecordError {
    /// A file could not be made or written. Everything that was recorded before is kept.
    #[error(transparent)]
    File(#[from] FileError),
    /// More lines wait for the disk than may.
    #[error(
        "what is recorded can't be written, and {limit} of lines wait in memory, which is all that may: {why}"
    )]
    Full {
        /// Bytes of lines that may wait.
        limit: String,
        /// What the disk says, and since when.
        why: String,
    },
    /// The end has come, and what was recorded is not all in its files.
    #[error("{what}: {error}; it was tried since {since} on {disk}")]
    NotWritten {
        /// What is missing.
        what: String,
        /// Why.
        error: Box<FileError>,
        /// Which disk.
        disk: String,
        /// Since when it takes nothing.
        since: String,
    },
    /// A picture's bytes do not make the picture that it says it is.
    #[error(
        "the {which} picture of stream {stream} says {width}×{height} but brings {bytes} bytes, where such a \
         picture has {}; this is the environment's `picture` to mend", 3 * width * height
    )]
    Picture {
        /// The observation's picture or the prediction's.
        which: &'static str,
        /// The stream that it was drawn of.
        stream: u64,
        /// Pixels in a row.
        width: usize,
        /// Rows.
        height: usize,
        /// Bytes that came.
        bytes: usize,
    },
    /// A picture without pixels, or one too large to be worth keeping.
    #[error(
        "the {which} picture of stream {stream} is {width}×{height}; pictures have 1 to {limit} pixels a side; \
         this is the environment's `picture` to mend"
    )]
    PictureSize {
        /// The observation's picture or the prediction's.
        which: &'static str,
        /// The stream that it was drawn of.
        stream: u64,
        /// Pixels in a row.
        width: usize,
        /// Rows.
        height: usize,
        /// Most pixels a side.
        limit: usize,
    },
    /// The recording thread ended by a panic: a bug in efference itself.
    #[error("recording stopped by a bug of efference: {0}; please report it")]
    Panicked(String),
}

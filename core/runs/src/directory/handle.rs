//! A run's directory that may be moved while the run goes on.
use super::RunDirectory;
use crate::FileError;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A hold on a run's directory: it is found again where someone has moved it to, or a directory above it.
#[derive(Debug)]
pub struct RunHandle {
    directory: RunDirectory,
    file: File,
}

impl RunDirectory {
    /// Takes hold of the directory.
    ///
    /// # Errors
    /// If it is not there, or cannot be opened.
    pub fn handle(&self) -> Result<RunHandle, FileError> {
        let file = File::open(&self.path).map_err(|e| FileError::new("open", &self.path, &e))?;
        Ok(RunHandle { directory: self.clone(), file })
    }
}

impl RunHandle {
    /// The directory as it was when this was taken.
    pub fn directory(&self) -> &RunDirectory {
        &self.directory
    }

    /// Where the directory is now.
    ///
    /// # Errors
    /// If it was removed.
    pub fn now(&self) -> Result<RunDirectory, FileError> {
        if self.is_at(&self.directory.path) {
            return Ok(self.directory.clone());
        }
        let link = PathBuf::from(format!("/proc/self/fd/{}", self.file.as_raw_fd()));
        match fs::read_link(link) {
            Ok(moved) if self.is_at(&moved) => Ok(RunDirectory::at(moved)),
            _ => {
                let error = io::Error::new(io::ErrorKind::NotFound, "it was removed while the run went on");
                let path = &self.directory.path;
                Err(FileError { help: None, ..FileError::new("find", path, &error) })
            }
        }
    }

    fn is_at(&self, path: &Path) -> bool {
        let id = |metadata: &fs::Metadata| (metadata.dev(), metadata.ino());
        matches!((fs::metadata(path), self.file.metadata()), (Ok(there), Ok(own)) if id(&there) == id(&own))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    #[test]
    fn a_directory_is_found_where_it_was_moved_to_and_its_place_is_not_taken_for_it() {
        let root = tempfile::tempdir().unwrap();
        let run = RunDirectory::claim(&root.path().join("runs"), "x", UNIX_EPOCH, "").unwrap();
        let handle = run.handle().unwrap();
        assert_eq!(handle.now().unwrap(), run);
        fs::rename(root.path().join("runs"), root.path().join("old")).unwrap();
        fs::create_dir_all(run.path()).unwrap();
        let moved = handle.now().unwrap();
        assert_eq!(moved.path(), root.path().canonicalize().unwrap().join("old/x").join(run.id()));
        fs::remove_dir_all(moved.path()).unwrap();
        let error = handle.now().unwrap_err().to_string();
        assert!(error.ends_with("it was removed while the run went on"), "{error}");
    }
}

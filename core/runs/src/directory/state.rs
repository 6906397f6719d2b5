//! Whether a run goes on, and how it ended if it does not.
use super::{Ending, RunDirectory};
use crate::checkpoint::CheckpointFiles;
use crate::{FileError, Fingerprints};
use std::fs::{File, OpenOptions, TryLockError};
use std::io;

/// Held by the process that writes a run, for as long as it does: a lock of the system's on the file `lock`, which goes
/// with the process however that ends.
#[derive(Debug)]
pub struct RunLock {
    _file: File,
}

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunState {
    /// A process is at it.
    Running,
    /// All steps were done.
    Finished,
    /// Someone stopped it.
    Stopped,
    /// It failed.
    Failed,
    /// It ended without a word: the process was killed, or the machine went down.
    Killed,
}

impl RunState {
    /// In one word.
    pub fn name(self) -> &'static str {
        match self {
            RunState::Running => "running",
            RunState::Finished => "finished",
            RunState::Stopped => "stopped",
            RunState::Failed => "failed",
            RunState::Killed => "killed",
        }
    }
}

impl RunDirectory {
    /// Takes the run for this process; `None` if another process has it.
    ///
    /// # Errors
    /// If there can be no lock.
    pub fn lock(&self) -> Result<Option<RunLock>, FileError> {
        let path = self.path.join("lock");
        let open = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let file = open.map_err(|e| FileError::new("make", &path, &e))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(RunLock { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(e)) => Err(FileError::new("lock", &path, &e)),
        }
    }

    /// Steps that the run has done, as far as its record tells: by its end, its fingerprints and its checkpoints.
    ///
    /// # Errors
    /// If one of them is there and can't be read.
    pub fn steps_done(&self) -> Result<u64, FileError> {
        let ended = self.end()?.map_or(0, |end| end.step);
        let saved = CheckpointFiles::new(self.checkpoints()).steps()?.last().copied().unwrap_or(0);
        Ok(ended.max(saved).max(Fingerprints::last_step(&self.fingerprints())?))
    }

    /// Where the run stands.
    ///
    /// # Errors
    /// If a file that says so is there and can't be read.
    pub fn state(&self) -> Result<RunState, FileError> {
        let path = self.path.join("lock");
        match File::open(&path) {
            // Shared, so that two who look do not take each other for the run.
            Ok(file) => match file.try_lock_shared() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(RunState::Running),
                Err(TryLockError::Error(e)) => return Err(FileError::new("lock", &path, &e)),
            },
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(FileError::new("read", &path, &e)),
        }
        Ok(match self.end()? {
            None => RunState::Killed,
            Some(end) => match end.how {
                Ending::Finished => RunState::Finished,
                Ending::Stopped => RunState::Stopped,
                Ending::Failed { .. } => RunState::Failed,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::End;
    use std::time::UNIX_EPOCH;

    #[test]
    fn a_run_belongs_to_one_process_and_says_how_it_ended() {
        let root = tempfile::tempdir().unwrap();
        let run = RunDirectory::claim(root.path(), "x", UNIX_EPOCH, "").unwrap();
        assert_eq!(run.state().unwrap(), RunState::Killed);
        let lock = run.lock().unwrap();
        assert!(lock.is_some() && run.lock().unwrap().is_none());
        assert_eq!(run.state().unwrap(), RunState::Running);
        drop(lock);
        let end =
            End { how: Ending::Stopped, step: 3, seconds: 1.0, ended: String::new(), notes: Vec::new() };
        run.write_end(&end).unwrap();
        assert_eq!(run.state().unwrap(), RunState::Stopped);
        assert!(run.lock().unwrap().is_some());
    }

    #[test]
    fn an_id_is_taken_once() {
        let root = tempfile::tempdir().unwrap();
        let run = RunDirectory::claim_as(root.path(), "x", "member-1", "").unwrap();
        assert_eq!(run.id(), "member-1");
        let error = RunDirectory::claim_as(root.path(), "x", "member-1", "").unwrap_err().to_string();
        assert!(error.contains("member-1"), "{error}");
        assert!(RunDirectory::claim_as(root.path(), "x", "../up", "").is_err());
        assert!(run.spec().is_file(), "the one that was there stays");
    }
}

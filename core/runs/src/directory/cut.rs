//! Cutting a run's record back to a checkpoint, so that it can go on from there without a seam.
use super::RunDirectory;
use crate::checkpoint::CheckpointFiles;
use crate::{FileError, fingerprints, lines, pictures, tensorboard};
use std::{fs, io};

impl RunDirectory {
    /// Cuts what was recorded after a step: all but the first `lines` lines of metrics, and what of evaluations,
    /// fingerprints, TensorBoard's events and pictures is of later steps; also how the run ended. What an earlier process
    /// left unfinished is removed. Only for the process that has the run's lock.
    ///
    /// # Errors
    /// If a file cannot be read or cut.
    pub fn cut(&self, step: u64, lines: u64) -> Result<(), FileError> {
        // First: what is cut in part has not ended.
        let end = self.path.join("end.json");
        match fs::remove_file(&end) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(FileError::new("remove", &end, &e)),
            _ => {}
        }
        let recorded = lines::cut(&self.path.join("metrics.jsonl"), lines)?;
        lines::cut_after(&self.evaluations(), step)?;
        fingerprints::cut(&self.fingerprints(), step)?;
        tensorboard::cut(&self.path.join("tensorboard"), step, recorded)?;
        pictures::cut(&self.path.join("pictures"), step)?;
        self.remove_unfinished();
        Ok(())
    }

    /// Removes files that an earlier process was writing when it died, and unfinished checkpoints. Only for the process that
    /// has the run's lock; best effort: what stays costs room and nothing else.
    pub fn remove_unfinished(&self) {
        for entry in fs::read_dir(&self.path).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with('.') && name.ends_with(".tmp") {
                let _ = fs::remove_file(entry.path());
            }
        }
        CheckpointFiles::new(self.checkpoints()).sweep();
    }
}

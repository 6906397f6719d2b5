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
    /// If a file cannot be read or cut, or as [`check_lines`](Self::check_lines): then nothing is changed.
    pub fn cut(&self, step: u64, lines: u64) -> Result<(), FileError> {
        self.check_lines(lines)?;
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

    /// Fails if there are fewer lines of metrics than a checkpoint rests on: what came then would stand in their place.
    ///
    /// # Errors
    /// If there are, or the file cannot be read.
    pub fn check_lines(&self, lines: u64) -> Result<(), FileError> {
        let found = lines::count(&self.metrics())?;
        if found >= lines {
            return Ok(());
        }
        let why = format!(
            "it has {found} lines, and the checkpoint rests on {lines}: others have removed or cut it. `efference fork` makes \
             a new run of the checkpoint"
        );
        Err(FileError::new("go on with", &self.metrics(), &io::Error::other(why)))
    }

    /// Removes files that an earlier process was writing when it died, and unfinished checkpoints. Only for the process that
    /// has the run's lock; best effort: what stays costs room and nothing else.
    pub fn remove_unfinished(&self) {
        for directory in [&self.path, &self.pictures()] {
            for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                if name.starts_with('.') && name.ends_with(".tmp") {
                    let _ = fs::remove_file(entry.path());
                }
            }
        }
        CheckpointFiles::new(self.checkpoints()).sweep();
    }
}

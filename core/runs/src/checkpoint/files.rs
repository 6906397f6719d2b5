//! The checkpoints of one run, as files.
use super::{Array, Checkpoint, CheckpointError, Manifest, Written};
use crate::FileError;
use crate::directory::write_atomically;
use safetensors::SafeTensors;
use safetensors::tensor::TensorView;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::{fs, io};

/// The directory `checkpoints/` of a run.
#[derive(Debug, Clone)]
pub struct CheckpointFiles {
    directory: PathBuf,
}

/// A manifest in its file, with the SHA-256 of its text.
#[derive(Serialize, Deserialize)]
struct Sealed {
    manifest: Box<RawValue>,
    sha256: String,
}

impl CheckpointFiles {
    /// Those of a directory, which need not be there yet.
    pub fn new(directory: PathBuf) -> Self {
        CheckpointFiles { directory }
    }

    /// The steps that there are checkpoints of, in order.
    ///
    /// # Errors
    /// If the directory is there and cannot be read.
    pub fn steps(&self) -> Result<Vec<u64>, FileError> {
        let mut steps: Vec<u64> = self.names()?.iter().filter_map(|name| step_of(name, ".json")).collect();
        steps.sort_unstable();
        Ok(steps)
    }

    /// Writes a checkpoint, whose manifest gets length and hash of the arrays' file, in place of an older one of the same
    /// step. It is there whole or not at all, even if the machine stops meanwhile.
    ///
    /// # Errors
    /// If that is not possible.
    pub fn write(&self, mut manifest: Manifest, arrays: &[Array]) -> Result<(), CheckpointError> {
        match fs::create_dir(&self.directory) {
            // Not those above it: if they are gone, the run was moved, and its checkpoints are not for where it was.
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => {
                return Err(FileError::new("make", &self.directory, &e).into());
            }
            _ => {}
        }
        let views = arrays
            .iter()
            .map(|a| Ok((a.name.as_str(), TensorView::new(a.dtype, a.shape.clone(), &a.data)?)))
            .collect::<Result<Vec<_>, safetensors::SafeTensorError>>();
        let bytes = views.and_then(|views| safetensors::serialize(views, None));
        let bytes = bytes.map_err(|e| CheckpointError::Arrays(e.to_string()))?;
        (manifest.bytes, manifest.sha256) = (bytes.len() as u64, sha256(&bytes));
        let text = serde_json::to_string_pretty(&manifest)
            .and_then(|text| Ok((sha256(text.as_bytes()), RawValue::from_string(text)?)))
            .and_then(|(sha256, manifest)| serde_json::to_string(&Sealed { manifest, sha256 }));
        let text = text.map_err(|e| CheckpointError::Arrays(e.to_string()))?;
        // An older one of this step is none any more while its arrays change.
        self.remove(manifest.step)?;
        write_atomically(&self.arrays(manifest.step), &bytes)?;
        write_atomically(&self.manifest_file(manifest.step), text.as_bytes())?;
        Ok(())
    }

    /// The manifest of a checkpoint.
    ///
    /// # Errors
    /// If there is none of this step, or it is damaged or newer than this program.
    pub fn manifest(&self, step: u64) -> Result<Manifest, CheckpointError> {
        let file = self.manifest_file(step);
        let text = match fs::read_to_string(&file) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let (directory, steps) = (self.directory.clone(), self.steps()?);
                return Err(CheckpointError::None { step, directory, steps });
            }
            Err(e) if e.kind() == io::ErrorKind::InvalidData => {
                return Err(self.damaged(step, file, "it is no text".to_owned()));
            }
            Err(e) => return Err(FileError::new("read", &file, &e).into()),
        };
        let sealed: Sealed = match serde_json::from_str(&text) {
            Ok(sealed) => sealed,
            Err(e) => return Err(self.damaged(step, file, format!("it is no manifest ({e})"))),
        };
        // The version first: a newer layout may look different in everything else.
        #[derive(Deserialize)]
        struct Version {
            version: u64,
        }
        let version = serde_json::from_str(sealed.manifest.get()).map(|Version { version }| version);
        if let Ok(version) = version
            && version > u64::from(Manifest::VERSION)
            && sha256(sealed.manifest.get().as_bytes()) == sealed.sha256
        {
            return Err(CheckpointError::Newer { file, version, before: self.before(step) });
        }
        if sha256(sealed.manifest.get().as_bytes()) != sealed.sha256 {
            let what = "its manifest is not the one that was written (SHA-256)";
            return Err(self.damaged(step, file, what.to_owned()));
        }
        match serde_json::from_str::<Manifest>(sealed.manifest.get()) {
            Ok(manifest) if manifest.step != step => {
                Err(self.damaged(step, file, format!("its manifest says step {}", manifest.step)))
            }
            Ok(manifest) if manifest.version != Manifest::VERSION => {
                let what = format!("its layout {} is of an older efference", manifest.version);
                Err(self.damaged(step, file, what))
            }
            Ok(manifest) => Ok(manifest),
            Err(e) => Err(self.damaged(step, file, format!("it is no manifest ({e})"))),
        }
    }

    /// A checkpoint, all of it.
    ///
    /// # Errors
    /// As [`manifest`](Self::manifest); and if the arrays are not what was written.
    pub fn read(&self, step: u64) -> Result<Checkpoint, CheckpointError> {
        let manifest = self.manifest(step)?;
        let file = self.arrays(step);
        let bytes = match fs::read(&file) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Err(self.damaged(step, file, "the file is gone".to_owned()));
            }
            Err(e) => return Err(FileError::new("read", &file, &e).into()),
        };
        if bytes.len() as u64 != manifest.bytes {
            let what = format!("it has {} bytes, and was written with {}", bytes.len(), manifest.bytes);
            return Err(self.damaged(step, file, what));
        }
        if sha256(&bytes) != manifest.sha256 {
            return Err(self.damaged(
                step,
                file,
                "its bytes are not those that were written (SHA-256)".to_owned(),
            ));
        }
        let arrays = match SafeTensors::deserialize(&bytes) {
            Ok(tensors) => tensors.iter().map(|(name, view)| array(name, &view)).collect(),
            Err(e) => return Err(self.damaged(step, file, e.to_string())),
        };
        Ok(Checkpoint { manifest, arrays })
    }

    /// Removes a checkpoint, if it is there.
    ///
    /// # Errors
    /// If it is there and cannot be removed.
    pub fn remove(&self, step: u64) -> Result<(), FileError> {
        for file in [self.manifest_file(step), self.arrays(step)] {
            match fs::remove_file(&file) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => {
                    return Err(FileError::new("remove", &file, &e));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The newest checkpoint from which a run loses least, up to a step: one that lost nothing, else one of its end, else one of a
    /// failure. `None`: there is none.
    ///
    /// # Errors
    /// If one that would have come first is damaged or newer than this program.
    pub fn newest(&self, until: Option<u64>) -> Result<Option<u64>, CheckpointError> {
        let steps = self.steps()?.into_iter().rev().filter(|step| until.is_none_or(|until| *step <= until));
        let (mut end, mut failure) = (None, None);
        for step in steps {
            let manifest = self.manifest(step)?;
            if manifest.is_whole() {
                return Ok(Some(step));
            }
            let place = if manifest.written == Written::Failure { &mut failure } else { &mut end };
            place.get_or_insert(step);
        }
        Ok(end.or(failure))
    }

    /// Removes the checkpoints of later steps, which a run that goes on from here makes anew.
    ///
    /// # Errors
    /// If one cannot be removed.
    pub fn remove_after(&self, step: u64) -> Result<(), FileError> {
        self.steps()?.into_iter().filter(|own| *own > step).try_for_each(|own| self.remove(own))
    }

    /// Removes what an earlier process left unfinished. Only for the process that has the run's lock.
    pub fn sweep(&self) {
        let Ok(names) = self.names() else { return };
        for name in &names {
            let without_manifest =
                step_of(name, ".safetensors").is_some_and(|step| !self.manifest_file(step).exists());
            if without_manifest || (name.starts_with('.') && name.ends_with(".tmp")) {
                let _ = fs::remove_file(self.directory.join(name));
            }
        }
    }

    fn names(&self) -> Result<Vec<String>, FileError> {
        let entries = match fs::read_dir(&self.directory) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(FileError::new("read", &self.directory, &e)),
        };
        Ok(entries.flatten().filter_map(|e| e.file_name().into_string().ok()).collect())
    }

    fn before(&self, step: u64) -> Option<u64> {
        self.steps().ok()?.into_iter().rfind(|other| *other < step)
    }

    fn damaged(&self, step: u64, file: PathBuf, what: String) -> CheckpointError {
        CheckpointError::Damaged { file, what, before: self.before(step) }
    }

    fn arrays(&self, step: u64) -> PathBuf {
        self.directory.join(format!("step-{step:012}.safetensors"))
    }

    fn manifest_file(&self, step: u64) -> PathBuf {
        self.directory.join(format!("step-{step:012}.json"))
    }

    /// Where they are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

fn array(name: &str, view: &TensorView<'_>) -> Array {
    let (dtype, shape) = (view.dtype(), view.shape().to_vec());
    Array { name: name.to_owned(), dtype, shape, data: view.data().to_vec() }
}

fn step_of(name: &str, ending: &str) -> Option<u64> {
    name.strip_prefix("step-")?.strip_suffix(ending)?.parse().ok()
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

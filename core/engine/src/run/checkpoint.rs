//! Checkpoints: everything that a run would need to go on, in a directory that is there whole or not at all.
use super::experiment::Experiment;
use efference_abi::Kind;
use efference_runs::FileError;
use efference_runs::directory::{RunDirectory, write_atomically};
use efference_sdk::tch::Tensor;
use efference_sdk::{ParamStore, Restores, Result, ResultExt, Saved};
use efference_spec::Checkpoint as Settings;
use serde::Serialize;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// What `manifest.json` says.
#[derive(Debug, Serialize)]
struct Manifest {
    /// Of this layout.
    version: u32,
    step: u64,
    /// What comes back of the environment: `exact`, `replay` or `fresh`.
    environment: &'static str,
    files: Vec<String>,
}

/// The checkpoints of a run.
#[derive(Debug)]
pub struct Checkpoints {
    directory: PathBuf,
    settings: Settings,
}

impl Checkpoints {
    /// Those of this run, as its spec wants them.
    pub fn new(run: &RunDirectory, settings: &Settings) -> Checkpoints {
        Checkpoints { directory: run.checkpoints(), settings: settings.clone() }
    }

    /// Writes a checkpoint if one is due after this step.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn step(&self, experiment: &Experiment) -> Result<()> {
        let every = self.settings.every;
        if every > 0 && experiment.step().is_multiple_of(every) { self.write(experiment) } else { Ok(()) }
    }

    /// Writes `step-<number>`, unless it is there, and removes all but the last checkpoints.
    ///
    /// # Errors
    /// If a plugin can't save its state, or something can't be written.
    pub fn write(&self, experiment: &Experiment) -> Result<()> {
        let name = format!("step-{:012}", experiment.step());
        let directory = &self.directory;
        let (unfinished, finished) = (directory.join(format!(".{name}")), directory.join(&name));
        if finished.exists() {
            return Ok(());
        }
        let file = |doing, path: &Path, e: std::io::Error| FileError::new(doing, path, &e);
        // What an earlier process left unfinished under this name.
        let _ = fs::remove_dir_all(&unfinished);
        fs::create_dir_all(&unfinished).map_err(|e| file("make", &unfinished, e))?;
        fill(&unfinished, experiment)
            .with_context(|| format!("the checkpoint {} could not be written", finished.display()))?;
        fs::rename(&unfinished, &finished).map_err(|e| file("rename", &unfinished, e))?;
        File::open(directory).and_then(|d| d.sync_all()).map_err(|e| file("sync", directory, e))?;
        forget_old(directory, self.settings.keep);
        Ok(())
    }
}

fn fill(directory: &Path, experiment: &Experiment) -> Result<()> {
    let model = experiment.model();
    let mut files = Vec::new();
    let mut tensors = |name: &str, saved: Saved| -> Result<()> {
        if saved.is_empty() {
            return Ok(());
        }
        let name = format!("{name}.safetensors");
        let path = directory.join(&name);
        let saved: Vec<(String, Tensor)> = saved
            .into_iter()
            .map(|(n, t)| Ok((n, t.f_detach()?.f_to_device(tch::Device::Cpu)?.f_contiguous()?)))
            .collect::<Result<_>>()?;
        Tensor::write_safetensors(&saved, &path)?;
        File::open(&path).and_then(|f| f.sync_all()).map_err(|e| FileError::new("sync", &path, &e))?;
        files.push(name);
        Ok(())
    };
    tensors("parameters", model.store().list("")?)?;
    tensors("optimizers", model.save_optimizers())?;
    tensors(Kind::Goal.name(), model.save_goal()?)?;
    tensors(Kind::Trainer.name(), experiment.trainer().save()?)?;
    let environment = experiment.environment();
    let bytes = environment.save()?;
    if !bytes.is_empty() {
        write_atomically(&directory.join("environment.bin"), &bytes)?;
        files.push("environment.bin".into());
    }
    let manifest = Manifest {
        version: 1,
        step: experiment.step(),
        environment: restores_name(environment.restores()?),
        files,
    };
    write_atomically(&directory.join("manifest.json"), &serde_json::to_vec_pretty(&manifest)?)?;
    Ok(())
}

/// Best effort: an old checkpoint that stays costs room and nothing else.
fn forget_old(directory: &Path, keep: u64) {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten().map(|e| e.path());
    let named = |p: &PathBuf| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with("step-"));
    let mut there: Vec<_> = entries.filter(named).collect();
    there.sort();
    let old = there.len().saturating_sub(keep as usize);
    for path in &there[..old] {
        if let Err(e) = fs::remove_dir_all(path) {
            tracing::warn!("the old checkpoint {} stays: {e}", path.display());
        }
    }
}

/// How exactly an environment comes back, in one word.
pub fn restores_name(restores: Restores) -> &'static str {
    match restores {
        Restores::Exact => "exact",
        Restores::Replay => "replay",
        Restores::Fresh => "fresh",
    }
}

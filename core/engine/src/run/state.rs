//! Everything that the next step depends on, taken out of an experiment and put back.
//!
//! | part | what it is |
//! |---|---|
//! | `parameters` | parameters and buffers, by name |
//! | `optimizers` | their moments and counts |
//! | `goal`, `trainer` | what the plugins save |
//! | `environment` | the same, as bytes |
//! | `host` | streams, last predictions and actions, episodes, what baselines remember |
use super::arrays::{to_arrays, to_tensors};
use super::episodes::Episode;
use super::experiment::Experiment;
use efference_runs::checkpoint::{Array, Arrays, Checkpoint, Restored, Written};
use efference_sdk::tch::Device;
use efference_sdk::{Restores, Result, ResultExt, bail};
use std::collections::HashMap;

/// What is done about what does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// It is an error: nothing may be lost.
    All,
    /// It begins anew, and is reported.
    WhatFits,
}

/// What a run that goes on restores, and why it is no more than that.
pub(super) fn restored(experiment: &Experiment) -> Result<(Restored, &'static str)> {
    Ok(match experiment.environment.restores()? {
        Restores::Fresh => (Restored::Fresh, "the environment cannot be saved, and would begin anew"),
        Restores::Replay => (Restored::Replay, "the environment plays again what had happened"),
        Restores::Exact if experiment.model.device() != Device::Cpu => {
            (Restored::Replay, "on a GPU sums are not made in the same order each time")
        }
        Restores::Exact => {
            (Restored::Exact, "all plugins save their whole state, and the CPU computes the same again")
        }
    })
}

impl Experiment {
    /// The parts of a checkpoint.
    ///
    /// # Errors
    /// If a plugin cannot save its state.
    pub fn save(&self) -> Result<Vec<Array>> {
        let mut arrays = self.save_learned()?;
        to_arrays("goal", self.model.save_goal()?, &mut arrays)?;
        to_arrays("trainer", self.trainer.save()?, &mut arrays)?;
        let bytes = self.environment.save()?;
        if !bytes.is_empty() {
            arrays.push(Array::of("environment/state".into(), &bytes));
        }
        self.save_host(&mut arrays);
        Ok(arrays)
    }

    /// Parameters and optimizers alone, which are good even where a step was left half done.
    ///
    /// # Errors
    /// If a tensor cannot be copied.
    pub fn save_learned(&self) -> Result<Vec<Array>> {
        let mut arrays = Vec::new();
        to_arrays("parameters", self.model.save_parameters()?, &mut arrays)?;
        to_arrays("optimizers", self.model.save_optimizers(), &mut arrays)?;
        Ok(arrays)
    }

    fn save_host(&self, arrays: &mut Vec<Array>) {
        let mut add = |name: &str, array: Array| arrays.push(Array { name: format!("host/{name}"), ..array });
        let floats = |x: &[f32]| Array::of(String::new(), x);
        let [known, episode_over] = self.frames.known();
        add("streams", Array::of(String::new(), &known));
        add("episode_over", Array::of(String::new(), &episode_over));
        self.predictions.iter().for_each(|(stream, x)| add(&format!("predictions/{stream}"), floats(x)));
        self.compared.iter().for_each(|(stream, x)| add(&format!("compared/{stream}"), floats(x)));
        self.last_actions.all().for_each(|(stream, x)| add(&format!("actions/{stream}"), floats(x)));
        for (stream, Episode { total, length }) in self.episodes.all() {
            add(&format!("episodes/{stream}"), Array::of(String::new(), &[total, length as f64]));
        }
        for (stream, all) in self.baselines.iter().flat_map(|b| b.save()) {
            all.into_iter().for_each(|(what, x)| add(&format!("baselines/{stream}/{what}"), floats(x)));
        }
    }

    /// Goes on from a checkpoint. Returns what of it was not taken over, in words.
    ///
    /// # Errors
    /// If something does not fit, where all of it must; or if a plugin fails.
    pub fn restore(&mut self, checkpoint: &Checkpoint, fit: Fit) -> Result<Vec<String>> {
        let Checkpoint { manifest, arrays } = checkpoint;
        let mut left = Vec::new();
        let misfits = self.model.restore_parameters(&to_tensors(arrays, "parameters")?)?;
        settle("parameters", misfits, fit, &mut left)?;
        let misfits = self.model.restore_optimizers(&to_tensors(arrays, "optimizers")?)?;
        settle("optimizers", misfits, fit, &mut left)?;
        self.step = manifest.step;
        if let Some(last) = self.step.checked_sub(1) {
            // What the environment does before the next step begins belongs to this one.
            self.model.set_step(last);
        }
        if manifest.written == Written::Failure {
            // Parameters are all that it has.
            return Ok(left);
        }
        let goal = to_tensors(arrays, "goal")?;
        if !goal.is_empty() {
            let misfit = self.model.restore_goal(goal).err().map(|e| format!("{e:#}"));
            settle("goal", misfit.into_iter().collect(), fit, &mut left)?;
        }
        let misfit = self.trainer.restore(to_tensors(arrays, "trainer")?).err().map(|e| format!("{e:#}"));
        let trainer_restored = misfit.is_none();
        settle("trainer", misfit.into_iter().collect(), fit, &mut left)?;
        let environment_restored = manifest.restores != Restored::Fresh && {
            let bytes: Vec<u8> = Arrays::part(arrays, "environment").elements("state");
            let misfit = self.environment.restore(&bytes).err().map(|e| format!("{e:#}"));
            let restored = misfit.is_none();
            settle("environment", misfit.into_iter().collect(), fit, &mut left)?;
            restored
        };
        self.restore_host(&Arrays::part(arrays, "host")).context("restoring what the host keeps")?;
        if !environment_restored {
            self.frames.end_all();
        } else if !trainer_restored {
            // It is to hear of them as of new ones.
            self.frames.restore([Vec::new(), self.frames.known()[1].clone()]);
        }
        Ok(left)
    }

    fn restore_host(&mut self, host: &Arrays<'_>) -> Result<()> {
        self.frames.restore([host.elements("streams"), host.elements("episode_over")]);
        let by_stream = |folder: &str| -> Result<HashMap<u64, Vec<f32>>> {
            let of = host.folder(folder).into_iter();
            of.map(|(stream, array)| Ok((stream.parse()?, array.elements().unwrap_or_default()))).collect()
        };
        if self.baselines.is_some() {
            self.predictions = by_stream("predictions")?;
            self.compared = by_stream("compared")?;
        }
        for (stream, action) in by_stream("actions")? {
            self.last_actions.keep(stream, &action);
        }
        for (stream, array) in host.folder("episodes") {
            if let Some(&[total, length]) = array.elements::<f64>().as_deref() {
                self.episodes.restore(stream.parse()?, Episode { total, length: length as u64 });
            }
        }
        if let Some(baselines) = &mut self.baselines {
            for stream in host.elements::<u64>("streams") {
                baselines.restore(stream, |what| host.elements(&format!("baselines/{stream}/{what}")));
            }
        }
        Ok(())
    }
}

/// Reports what did not fit, or fails.
fn settle(part: &str, misfits: Vec<String>, fit: Fit, left: &mut Vec<String>) -> Result<()> {
    const SHOWN: usize = 3;
    if misfits.is_empty() {
        return Ok(());
    }
    let more = misfits.len().saturating_sub(SHOWN);
    let mut text = misfits[..misfits.len().min(SHOWN)].join("; ");
    if more > 0 {
        text += &format!("; and {more} more");
    }
    match fit {
        Fit::All => bail!("the {part} of the checkpoint do not fit this agent: {text}"),
        Fit::WhatFits => left.push(format!("{part}: {text}")),
    }
    Ok(())
}

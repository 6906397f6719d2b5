//! What a checkpoint has of the agent, and taking it up again.
use super::model::Model;
use efference_sdk::{ParamStore, Result, ResultExt, Saved};
use tch::Tensor;

impl Model {
    /// Parameters and buffers.
    pub fn save_parameters(&self) -> Result<Saved> {
        self.store.list("")
    }

    /// What the optimizers keep.
    pub fn save_optimizers(&self) -> Saved {
        self.optimizers.borrow().save()
    }

    /// What the goal keeps beside its parameters.
    pub fn save_goal(&self) -> Result<Saved> {
        self.goal.borrow().save()
    }

    /// Takes over parameters and buffers, as far as they fit; returns what did not.
    pub fn restore_parameters(&self, saved: &[(String, Tensor)]) -> Result<Vec<String>> {
        self.store.restore(saved)
    }

    /// Takes over what the optimizers kept, as far as it fits; returns what did not.
    pub fn restore_optimizers(&self, saved: &[(String, Tensor)]) -> Result<Vec<String>> {
        self.optimizers.borrow_mut().restore(saved, &self.store).context("restoring the optimizers")
    }

    /// Takes up what the goal kept.
    pub fn restore_goal(&self, saved: Saved) -> Result<()> {
        self.goal.borrow_mut().restore(saved)
    }
}

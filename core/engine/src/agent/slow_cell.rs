//! A slow copy of the cell: `slow ← decay · slow + (1 − decay) · cell` after each update of the cell.
use super::shared_cell::SharedCell;
use super::store::ParameterStore;
use efference_sdk::{ParamStore, Result, ensure};
use tch::Tensor;

/// Where its parameters are kept.
pub(super) const SCOPE: &str = "slow";

/// The copy.
pub(super) struct SlowCell {
    pub(super) cell: SharedCell,
    decay: f64,
    /// The copy's tensors, each with the cell's own.
    tensors: Vec<(Tensor, Tensor)>,
}

impl SlowCell {
    /// Of a cell that was made with buffers in [`SCOPE`], which now get the values of the cell's tensors.
    pub(super) fn new(cell: SharedCell, decay: f64, store: &ParameterStore) -> Result<Self> {
        let (slow, own) = (store.list(&format!("{SCOPE}.cell."))?, store.list("cell.")?);
        ensure!(
            slow.len() == own.len(),
            "the slow copy of the cell has {} parameters, and the cell {}: a cell must make the same ones each time",
            slow.len(),
            own.len()
        );
        let pairs = slow.into_iter().map(|(_, t)| t).zip(own.into_iter().map(|(_, t)| t));
        let slow = SlowCell { cell, decay: 0.0, tensors: pairs.collect() };
        if !store.only_counts()? {
            slow.follow()?;
        }
        Ok(SlowCell { decay, ..slow })
    }

    /// One step towards the cell.
    pub(super) fn follow(&self) -> Result<()> {
        tch::no_grad(|| {
            for (slow, own) in &self.tensors {
                let mut slow = slow.shallow_clone();
                if slow.kind() == tch::Kind::Float {
                    let _ = slow.f_lerp_(own, 1.0 - self.decay)?;
                } else {
                    slow.f_copy_(own)?;
                }
            }
            Ok(())
        })
    }
}

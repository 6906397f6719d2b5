//! What a cell sees from outside.
use crate::{CellSetup, Result};
use std::ops::Range;
use tch::Tensor;

/// The part of a cell's input that comes from outside: the reward, what was observed, the action that was done before.
///
/// It carries no gradient. Where a value is missing, the state's own prediction stands in its place, and so does that of
/// the reward where none came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    parts: Vec<Range<i64>>,
}

impl Observed {
    /// Of a cell made from `setup`; `None` if the trainer does not say where the observation stands: it mixes state and
    /// observation, or it does not know how long an observation is.
    pub fn new(setup: &CellSetup<'_>) -> Option<Self> {
        let CellSetup { size, observation, action, .. } = setup;
        if observation.is_empty() {
            return None;
        }
        // Reserved slots lie between the state and the observation; the first of them is the reward.
        let reward = size.outs..if observation.start > size.outs { size.outs + 1 } else { size.outs };
        let parts = [reward, observation.clone(), action.clone()];
        Some(Observed { parts: parts.into_iter().filter(|part| !part.is_empty()).collect() })
    }

    /// How many features there are.
    pub fn width(&self) -> i64 {
        self.parts.iter().map(|part| part.end - part.start).sum()
    }

    /// Of the cell's input `x` (batch, ins): (batch, width), without gradient.
    pub fn of(&self, x: &Tensor) -> Result<Tensor> {
        let x = x.f_detach()?;
        let parts = self.parts.iter().map(|part| Ok(x.f_narrow(1, part.start, part.end - part.start)?));
        let parts = parts.collect::<Result<Vec<_>>>()?;
        Ok(Tensor::f_cat(&parts, 1)?)
    }
}

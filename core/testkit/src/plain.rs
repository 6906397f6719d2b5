//! The plainest cell and goal, for tests of trainers.
use efference_sdk::tch::Tensor;
use efference_sdk::{
    Cell, CellSetup, Goal, Loss, LossInput, Nonlinearity, ObservationLoss, Prediction, Result, Stack,
    StackSpec,
};
use std::ops::Range;

/// A cell of one stack and a tanh.
pub struct StackCell(pub Stack);

impl StackCell {
    /// Of a single layer.
    pub fn new(setup: &CellSetup<'_>) -> Result<Self> {
        let spec =
            StackSpec { size: setup.size, layers: 1, nonlinearity: Nonlinearity::None, zero_at_start: false };
        Ok(StackCell(Stack::new(spec, setup.layers, &setup.params)?))
    }
}

impl Cell for StackCell {
    fn forward(&self, x: &Tensor, outs: Range<i64>) -> Result<Tensor> {
        Ok(self.0.forward_range(x, outs)?.f_tanh()?)
    }
}

/// A goal that predicts.
pub struct Predicts;

impl Goal for Predicts {
    fn loss(&mut self, input: &LossInput<'_>) -> Result<Loss> {
        let prediction = Prediction { observation_importance: 1.0, observation_loss: ObservationLoss::L2 };
        let mut loss = Loss::default();
        prediction.add(input, &mut loss)?;
        Ok(loss)
    }

    fn replayable(&self) -> Result<bool> {
        Ok(true)
    }
}

//! A cell evaluated once for each gradient path.
use efference_sdk::tch::Tensor;
use efference_sdk::{Cell, GradPath, ParamStore, Result, Transition, evaluate_path};

/// A [`Transition`] that evaluates a cell once for each gradient path.
pub struct PlainTransition<'a> {
    /// The cell.
    pub cell: &'a dyn Cell,
    /// The size of its state.
    pub outs: i64,
    /// The cell's parameters, which get no gradient from frozen paths.
    pub parameters: &'a dyn ParamStore,
}

impl Transition for PlainTransition<'_> {
    fn evaluate(&self, x: &Tensor, paths: &[GradPath]) -> Result<Vec<Tensor>> {
        evaluate_paths(self.cell, x, paths, self.parameters)
    }

    fn outs(&self) -> Result<i64> {
        Ok(self.outs)
    }
}

/// What [`Transition::evaluate`] returns, by one [evaluation](evaluate_path) a path.
pub fn evaluate_paths(
    cell: &dyn Cell,
    x: &Tensor,
    paths: &[GradPath],
    parameters: &dyn ParamStore,
) -> Result<Vec<Tensor>> {
    let trained = parameters.list("")?.into_iter().map(|(_, t)| t).filter(Tensor::requires_grad);
    let trained = trained.collect::<Vec<_>>();
    let trained: Vec<&Tensor> = trained.iter().collect();
    paths.iter().map(|path| evaluate_path(x, path, &trained, |x, outs| cell.forward(x, outs))).collect()
}

//! A cell evaluated once for each gradient path.
use crate::{AnyCell, GradMask, GradPath, ParamStore, Result, Transition, ensure};
use tch::Tensor;

/// A [`Transition`] that evaluates a cell once for each gradient path.
pub struct PlainTransition<'a> {
    /// The cell.
    pub cell: &'a dyn AnyCell,
    /// The size of its state.
    pub outs: i64,
    /// The cell's parameters, which get no gradient from frozen paths.
    pub parameters: &'a dyn ParamStore,
}

impl Transition for PlainTransition<'_> {
    fn evaluate(&self, x: &Tensor, paths: &[GradPath]) -> Result<Vec<Tensor>> {
        evaluate_paths(self.cell, x, paths, self.parameters)
    }

    fn outs(&self) -> i64 {
        self.outs
    }
}

/// What [`Transition::evaluate`] promises, by one evaluation a path.
pub fn evaluate_paths(
    cell: &dyn AnyCell,
    x: &Tensor,
    paths: &[GradPath],
    parameters: &dyn ParamStore,
) -> Result<Vec<Tensor>> {
    let evaluate = |path: &GradPath| {
        let x = masked(x, path.mask)?;
        if !path.frozen {
            return cell.forward(&x, path.outs.clone());
        }
        // What is computed while a parameter needs no gradient never reaches it, whatever it needs later.
        let trained = parameters.list("")?.into_iter().map(|(_, t)| t).filter(Tensor::requires_grad);
        let trained = trained.collect::<Vec<_>>();
        for parameter in &trained {
            let _ = parameter.f_set_requires_grad(false)?;
        }
        let y = cell.forward(&x, path.outs.clone());
        for parameter in &trained {
            let _ = parameter.f_set_requires_grad(true)?;
        }
        y
    };
    paths.iter().map(evaluate).collect()
}

/// `x` with its gradient stopped outside the mask.
fn masked(x: &Tensor, mask: GradMask) -> Result<Tensor> {
    let (size, first) = match mask {
        GradMask::All => return Ok(x.shallow_clone()),
        GradMask::EvenChunks { size } => (size, 0),
        GradMask::OddChunks { size } => (size, 1),
    };
    let width = x.size()[1];
    ensure!(
        size >= 1 && width % size == 0,
        "an input of {width} numbers cannot be cut into chunks of {size}"
    );
    let mut chunks = x.f_split(size, 1)?;
    for (i, chunk) in chunks.iter_mut().enumerate() {
        if i % 2 != first {
            *chunk = chunk.f_detach()?;
        }
    }
    Ok(Tensor::f_cat(&chunks, 1)?)
}

//! The cell as a goal sees it: one evaluation, several gradient paths.
use super::shared_cell::SharedCell;
use super::store::Store;
use super::transition_by_autograd::TransitionByAutograd;
use super::transition_by_vjp::TransitionByVjp;
use efference_sdk::autograd::apply;
use efference_sdk::{GradMask, GradPath, Result, Transition, ensure, evaluate_path};
use tch::{Device, Kind, Tensor};

/// Evaluates the cell once, however many gradient paths there are: their values are equal. Their gradients are then
/// computed together where the cell has a custom VJP, and else path by path through the same graph.
pub struct CellTransition<'a> {
    /// The cell.
    pub cell: &'a SharedCell,
    /// Where its parameters are, under `cell.`.
    pub store: &'a Store,
    /// Its number of outputs.
    pub state_size: i64,
    /// How much the paths share.
    pub sharing: GraphSharing,
}

/// The graph-sharing mode: how much of an evaluation the gradient paths of a goal share. Results are the same but for
/// rounding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GraphSharing {
    /// One forward pass, and one backward pass where the cell has a custom VJP.
    ForwardBackward,
    /// One forward pass by autograd, through whose graph each path's gradient goes by itself.
    Forward,
    /// One forward and one backward pass a path, as a yardstick.
    None,
}

impl Transition for CellTransition<'_> {
    fn evaluate(&self, x: &Tensor, paths: &[GradPath]) -> Result<Vec<Tensor>> {
        let (all, width) = (0..self.state_size, x.size()[1]);
        for GradPath { outs, mask, .. } in paths {
            let within = all.start <= outs.start && outs.start <= outs.end && outs.end <= all.end;
            ensure!(within, "the cell has the outputs {all:?}, and {outs:?} were asked for");
            mask.check(width)?;
        }
        let parameters = self.store.trained("cell.");
        let trained = parameters.iter().map(|(_, p)| p);
        if self.sharing == GraphSharing::None {
            let trained: Vec<&Tensor> = trained.collect();
            let forward = |x: &Tensor, outs| self.cell.lock().forward(x, outs);
            return paths.iter().map(|path| evaluate_path(x, path, &trained, forward)).collect();
        }
        let mut inputs = vec![x];
        inputs.extend(trained);
        let cell = self.cell.lock();
        let on_cpu = x.device() == Device::Cpu && x.kind() == Kind::Float;
        if self.sharing == GraphSharing::ForwardBackward && on_cpu && cell.vjp().is_some() {
            drop(cell);
            let (cell, paths) = (self.cell.clone(), paths.to_vec());
            return apply(TransitionByVjp { cell, state_size: self.state_size, paths }, &inputs);
        }
        if let [GradPath { outs, mask: GradMask::All, frozen: false }] = paths {
            return Ok(vec![cell.forward(x, outs.clone())?]);
        }
        // This graph is built here, where cell and parameters are at hand; outside, one operation stands for it.
        let within = tch::with_grad(|| -> Result<_> {
            let leaf = x.f_detach()?.f_set_requires_grad(true)?;
            let y = cell.forward(&leaf, all)?;
            Ok((leaf, y))
        })?;
        apply(TransitionByAutograd::new(paths.to_vec(), within), &inputs)
    }

    fn outs(&self) -> i64 {
        self.state_size
    }
}

//! The cell as a goal sees it: one evaluation, several gradient paths.
use super::shared_cell::SharedCell;
use super::store::ParameterStore;
use super::transition_by_autograd::TransitionByAutograd;
use super::transition_by_vjp::TransitionByVjp;
use efference_sdk::autograd::{apply, shape2};
use efference_sdk::{GradMask, GradPath, Result, Transition, bail, ensure, evaluate_path};
use tch::{Device, Kind, Tensor};

/// Evaluates the cell once, however many gradient paths there are: their values are equal. Their gradients are then
/// computed together where the cell has a custom VJP, and else path by path through the same graph.
pub struct CellTransition<'a> {
    /// The cell.
    pub cell: &'a SharedCell,
    /// Where its parameters are, under `cell.`.
    pub store: &'a ParameterStore,
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
        let Some([_, width]) = shape2(x) else { bail!("an input of shape {:?} has no rows", x.size()) };
        let all = 0..self.state_size;
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

    fn outs(&self) -> Result<i64> {
        Ok(self.state_size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use efference_sdk::autograd::Vjp;
    use efference_sdk::{Cell, Layer, LayerFactory, Params, Random, Size};
    use efference_testkit::{LayersOf, Matrix};
    use std::ops::Range;

    /// A cell that is one layer.
    struct OneLayer(Box<dyn Layer>);

    impl Cell for OneLayer {
        fn forward(&self, x: &Tensor, outs: Range<i64>) -> Result<Tensor> {
            self.0.forward(x, outs)
        }

        fn vjp(&self) -> Option<&dyn Vjp> {
            self.0.vjp()
        }
    }

    /// Values along all paths, then the gradients of input and parameters of their weighted sum.
    fn evaluated(sharing: GraphSharing, paths: &[GradPath]) -> Vec<Tensor> {
        let store = ParameterStore::new(3, Device::Cpu);
        let layers = LayersOf::<Matrix>::new(r#"{"vjp": true}"#).unwrap();
        let layer = layers.make(Size { ins: 12, outs: 6 }, &Params::new(&store).scope("cell")).unwrap();
        let cell = SharedCell::new(Box::new(OneLayer(layer)));
        let transition = CellTransition { cell: &cell, store: &store, state_size: 6, sharing };
        let mut random = Random::new(5);
        let x = random.normal(&[2, 12], 1.0).set_requires_grad(true);
        let mut found = transition.evaluate(&x, paths).unwrap();
        let weighted = found.iter().map(|y| (y * random.normal(&y.size(), 1.0)).sum(Kind::Float));
        Tensor::stack(&weighted.collect::<Vec<_>>(), 0).sum(Kind::Float).backward();
        let trained = store.trained("cell.");
        let grad = |t: &Tensor| if t.grad().defined() { t.grad() } else { t.detach().zeros_like() };
        found.push(grad(&x));
        found.extend(trained.iter().map(|(_, p)| grad(p)));
        found
    }

    #[test]
    fn values_and_gradients_are_the_same_whatever_is_shared() {
        let path = |outs, mask, frozen| GradPath { outs, mask, frozen };
        let (all, even, odd) =
            (GradMask::All, GradMask::EvenChunks { size: 3 }, GradMask::OddChunks { size: 3 });
        for paths in [
            vec![path(0..6, all, false)],
            vec![path(0..6, all, true)],
            vec![path(1..4, all, false)],
            vec![path(0..3, even, false), path(3..6, odd, false)],
            vec![path(0..3, even, false), path(3..6, odd, false), path(0..2, odd, true)],
            vec![path(0..3, even, true), path(2..6, even, false), path(0..6, all, true)],
        ] {
            let expected = evaluated(GraphSharing::None, &paths);
            for sharing in [GraphSharing::Forward, GraphSharing::ForwardBackward] {
                for (i, (a, b)) in evaluated(sharing, &paths).iter().zip(&expected).enumerate() {
                    assert!(a.allclose(b, 1e-5, 1e-6, false), "{i} of {sharing:?}, {paths:?}");
                }
            }
        }
    }

    #[test]
    fn outputs_and_chunks_that_do_not_fit_are_errors() {
        let said = |outs, mask| {
            let path = GradPath { outs, mask, frozen: false };
            let store = ParameterStore::new(3, Device::Cpu);
            let layers = LayersOf::<Matrix>::new("{}").unwrap();
            let layer = layers.make(Size { ins: 12, outs: 6 }, &Params::new(&store).scope("cell")).unwrap();
            let cell = SharedCell::new(Box::new(OneLayer(layer)));
            let sharing = GraphSharing::ForwardBackward;
            let transition = CellTransition { cell: &cell, store: &store, state_size: 6, sharing };
            transition.evaluate(&Random::new(5).normal(&[2, 12], 1.0), &[path]).unwrap_err().to_string()
        };
        assert_eq!(said(2..7, GradMask::All), "the cell has the outputs 0..6, and 2..7 were asked for");
        let expected = "an input of 12 features cannot be cut into chunks of 5";
        assert_eq!(said(0..6, GradMask::OddChunks { size: 5 }), expected);
    }
}

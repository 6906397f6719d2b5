//! What evaluating a cell along a gradient path means: one forward pass a path, by autograd.
//!
//! This is the definition of what [`Transition::evaluate`](crate::Transition::evaluate) returns; the engine computes the
//! same with fewer passes.
use crate::{GradMask, GradPath, Result, ensure};
use std::ops::Range;
use tch::Tensor;

impl GradMask {
    /// The chunks' size, and which chunk of a pair the gradient reaches: 0 or 1; `None`: it reaches everything.
    fn chunks(self) -> Option<(i64, i64)> {
        match self {
            GradMask::All => None,
            GradMask::EvenChunks { size } => Some((size, 0)),
            GradMask::OddChunks { size } => Some((size, 1)),
        }
    }

    /// Checks that an input of `width` features can be cut into the mask's chunks.
    pub fn check(self, width: i64) -> Result<()> {
        let fits = self.chunks().is_none_or(|(size, _)| size >= 1 && width % size == 0);
        let size = self.chunks().map_or(width, |(size, _)| size);
        ensure!(fits, "an input of {width} features cannot be cut into chunks of {size}");
        Ok(())
    }

    /// The ranges of features, of an input of `width` features that [fits](Self::check), that the gradient reaches.
    pub fn reached(self, width: i64) -> impl Iterator<Item = Range<i64>> {
        let (size, first, step) =
            self.chunks().map_or((width.max(1), 0, 1), |(size, first)| (size, first, 2));
        (first..width / size).step_by(step).map(move |chunk| chunk * size..(chunk + 1) * size)
    }

    /// `x` (batch, features), through which the gradient reaches the mask's features alone.
    pub fn stop_gradient(self, x: &Tensor) -> Result<Tensor> {
        let width = x.size()[1];
        self.check(width)?;
        let Some((size, reached)) = self.chunks() else { return Ok(x.shallow_clone()) };
        let stopped = x.f_detach()?;
        let chunks = (0..width / size).map(|chunk| {
            let from = if chunk % 2 == reached { x } else { &stopped };
            Ok(from.f_narrow(1, chunk * size, size)?)
        });
        Ok(Tensor::f_cat(&chunks.collect::<Result<Vec<_>>>()?, 1)?)
    }
}

/// The outputs of one gradient path, (batch, path.outs.len()), by a forward pass of its own: `forward(x, outs)` is the
/// cell's, and `trained` are its trained parameters, which a frozen path gives no gradient to.
pub fn evaluate_path(
    x: &Tensor,
    path: &GradPath,
    trained: &[&Tensor],
    forward: impl FnOnce(&Tensor, Range<i64>) -> Result<Tensor>,
) -> Result<Tensor> {
    let x = path.mask.stop_gradient(x)?;
    if !path.frozen {
        return forward(&x, path.outs.clone());
    }
    // What is computed while a parameter requires no gradient never reaches it, whatever it requires later.
    let require_grad = |on: bool| -> Result<()> {
        trained.iter().try_for_each(|p| Ok(p.f_set_requires_grad(on).map(drop)?))
    };
    require_grad(false)?;
    let y = forward(&x, path.outs.clone());
    require_grad(true)?;
    y
}

#[cfg(test)]
#[allow(clippy::single_range_in_vec_init)] // the ranges themselves are meant
mod tests {
    use super::*;
    use tch::Kind;

    #[test]
    fn a_mask_stops_the_gradient_elsewhere_and_keeps_the_value() {
        let x =
            Tensor::from_slice(&[1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0]).reshape([1, 6]).set_requires_grad(true);
        for (mask, reached, expected) in [
            (GradMask::All, vec![0..6], [1.0, 1.0, 1.0, 1.0, 1.0, 1.0]),
            (GradMask::EvenChunks { size: 2 }, vec![0..2, 4..6], [1.0, 1.0, 0.0, 0.0, 1.0, 1.0]),
            (GradMask::OddChunks { size: 2 }, vec![2..4], [0.0, 0.0, 1.0, 1.0, 0.0, 0.0]),
            (GradMask::OddChunks { size: 3 }, vec![3..6], [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]),
        ] {
            assert_eq!(mask.reached(6).collect::<Vec<_>>(), reached);
            let masked = mask.stop_gradient(&x).unwrap();
            assert_eq!(masked, x);
            let g = Tensor::run_backward(&[masked.sum(Kind::Float)], &[&x], false, false).remove(0);
            assert_eq!(Vec::<f32>::try_from(g.reshape([6])).unwrap(), expected);
        }
        for mask in [GradMask::EvenChunks { size: 4 }, GradMask::OddChunks { size: 0 }] {
            let said = mask.stop_gradient(&x).unwrap_err().to_string();
            assert!(said.starts_with("an input of 6 features cannot be cut into chunks of"), "{said}");
        }
    }

    #[test]
    fn a_frozen_path_gives_its_parameters_no_gradient() {
        let x = Tensor::from_slice(&[1.0f32, 2.0]).reshape([1, 2]).set_requires_grad(true);
        let weight = Tensor::from_slice(&[3.0f32, 4.0]).set_requires_grad(true);
        for frozen in [true, false] {
            let path = GradPath { outs: 0..2, mask: GradMask::All, frozen };
            let y = evaluate_path(&x, &path, &[&weight], |x, _| Ok(x.f_mul(&weight)?)).unwrap();
            y.sum(Kind::Float).backward();
            assert_eq!(weight.grad().defined(), !frozen);
            assert!(weight.requires_grad() && x.grad().defined());
        }
    }
}

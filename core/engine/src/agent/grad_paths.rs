//! Gradients along several paths: which masks there are, and sums. The ground of the two ways to evaluate a transition.
use efference_sdk::{GradMask, GradPath, Result};
use tch::Tensor;

/// The distinct masks of some gradient paths, in the order in which they come.
pub(super) fn distinct_masks(paths: &[GradPath]) -> Vec<GradMask> {
    let mut masks = Vec::new();
    for path in paths {
        if !masks.contains(&path.mask) {
            masks.push(path.mask);
        }
    }
    masks
}

/// Adds the gradient of a path's outputs, if there is one, to that of all outputs, (batch, outs).
pub(super) fn add_grad(to: &Tensor, path: &GradPath, grad: Option<&Tensor>) -> Result<()> {
    if let Some(g) = grad {
        let _ = to.f_narrow(1, path.outs.start, path.outs.end - path.outs.start)?.f_add_(g)?;
    }
    Ok(())
}

/// The gradient of the input, (batch, ins): the sum of those along the masks, each of which is 0 where its mask stops it.
pub(super) fn sum_masked(grads: Vec<(GradMask, Tensor)>) -> Result<Option<Tensor>> {
    if let [(GradMask::All, g)] = &grads[..] {
        return Ok(Some(g.shallow_clone()));
    }
    let mut sum: Option<Tensor> = None;
    for (mask, g) in grads {
        let into = match &sum {
            Some(sum) => sum.shallow_clone(),
            None => g.f_zeros_like()?,
        };
        for reached in mask.reached(g.size()[1]) {
            let (start, length) = (reached.start, reached.end - reached.start);
            let _ = into.f_narrow(1, start, length)?.f_add_(&g.f_narrow(1, start, length)?)?;
        }
        sum = Some(into);
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use efference_sdk::Random;
    use tch::{Device, Kind};

    #[test]
    fn each_gradient_is_added_to_the_chunks_that_it_reaches() {
        let (even, odd) = (GradMask::EvenChunks { size: 2 }, GradMask::OddChunks { size: 2 });
        for masks in [
            vec![even, odd],
            vec![odd, even],
            vec![odd],
            vec![GradMask::All, even],
            vec![even, GradMask::All],
        ] {
            let all = Random::new(3).normal(&[masks.len() as i64 * 2, 8], 1.0);
            let expected = Tensor::zeros([2, 8], (Kind::Float, Device::Cpu));
            for (path, mask) in masks.iter().enumerate() {
                for chunk in 0..4 {
                    let reached = match mask {
                        GradMask::All => true,
                        GradMask::EvenChunks { .. } => chunk % 2 == 0,
                        GradMask::OddChunks { .. } => chunk % 2 == 1,
                    };
                    if reached {
                        let g = all.narrow(0, 2 * path as i64, 2).narrow(1, 2 * chunk, 2);
                        let _ = expected.narrow(1, 2 * chunk, 2).f_add_(&g).unwrap();
                    }
                }
            }
            let each = masks.iter().copied().zip(all.split(2, 0)).collect();
            assert!(sum_masked(each).unwrap().unwrap().equal(&expected), "{masks:?}");
        }
        let all = Random::new(3).normal(&[2, 8], 1.0);
        assert!(sum_masked(vec![(GradMask::All, all.copy())]).unwrap().unwrap().equal(&all));
    }
}

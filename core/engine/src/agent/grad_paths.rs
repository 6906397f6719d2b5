//! Gradients along several paths: which masks there are, and sums. The ground of the two ways to evaluate a transition.
use efference_sdk::autograd::{OutputBuffer, shape2, slice};
use efference_sdk::{GradMask, GradPath, Result, elementwise};
use std::ops::Range;
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

/// [`add_grad`], to rows of so many elements on the CPU, without an operation of libtorch's.
pub(super) fn add_grad_to_rows(
    rows: &mut [f32],
    width: usize,
    outs: &Range<i64>,
    grad: &Tensor,
) -> Result<()> {
    let grad = grad.f_contiguous()?;
    let outs = outs.start as usize..outs.end as usize;
    if !outs.is_empty() {
        let all = rows.chunks_exact_mut(width).zip(slice(&grad)?.chunks_exact(outs.len()));
        all.for_each(|(row, g)| add(&mut row[outs.clone()], g));
    }
    Ok(())
}

/// [`sum_masked`], of rows on the CPU that lie one mask after the other, `batch` of each.
pub(super) fn sum_masked_rows(masks: &[GradMask], rows: &Tensor, batch: i64) -> Result<Tensor> {
    let width = shape2(rows).map_or(0, |[_, width]| width);
    if masks == [GradMask::All] || batch * width == 0 {
        return Ok(rows.shallow_clone());
    }
    let mut sum = zeros(&[batch, width])?;
    let rows = rows.f_contiguous()?;
    let of_masks = slice(&rows)?.chunks_exact((batch * width) as usize);
    for (mask, rows) in masks.iter().zip(of_masks) {
        for (sum, row) in sum.chunks_exact_mut(width as usize).zip(rows.chunks_exact(width as usize)) {
            for reached in mask.reached(width) {
                let reached = reached.start as usize..reached.end as usize;
                add(&mut sum[reached.clone()], &row[reached]);
            }
        }
    }
    Ok(sum.into_tensor())
}

/// Zeros, which all threads write.
pub(super) fn zeros(shape: &[i64]) -> Result<OutputBuffer> {
    let mut zeros = OutputBuffer::empty(shape)?;
    elementwise!(zeros.len(), [&mut zeros[..]], |_, [zeros]| {
        zeros.fill(0.0);
        0.0
    });
    Ok(zeros)
}

fn add(to: &mut [f32], from: &[f32]) {
    elementwise!(from.len(), [to], |range, [to]| {
        to.iter_mut().zip(&from[range]).for_each(|(to, from)| *to += from);
        0.0
    });
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
            assert!(sum_masked_rows(&masks, &all, 2).unwrap().equal(&expected), "{masks:?}");
        }
        let all = Random::new(3).normal(&[2, 8], 1.0);
        assert!(sum_masked(vec![(GradMask::All, all.copy())]).unwrap().unwrap().equal(&all));
        assert!(sum_masked_rows(&[GradMask::All], &all, 2).unwrap().equal(&all));
    }

    #[test]
    fn a_gradient_is_added_to_its_columns_in_either_way() {
        for outs in [0..5, 1..4, 2..2] {
            let path = GradPath { outs: outs.clone(), mask: GradMask::All, frozen: false };
            // Not contiguous.
            let grad = Random::new(4).normal(&[outs.end - outs.start, 3], 1.0).tr();
            let expected = Tensor::ones([3, 5], (Kind::Float, Device::Cpu));
            let mut rows = [1.0f32; 15];
            add_grad(&expected, &path, Some(&grad)).unwrap();
            add_grad_to_rows(&mut rows, 5, &outs, &grad).unwrap();
            assert!(Tensor::from_slice(&rows).view_as(&expected).equal(&expected), "{outs:?}");
        }
    }
}

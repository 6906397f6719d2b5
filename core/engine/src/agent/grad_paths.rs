//! Gradients along several paths: which masks there are, and sums. The ground of the two ways to evaluate a transition.
use efference_sdk::autograd::{OutputBuffer, copy_elements, shape2, slice};
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

/// Rows of `width` elements on the CPU that are the sum of some paths' gradients, each at its outputs, and 0 elsewhere: what
/// [`add_grad`] makes of zeros, without an operation of libtorch's, and without a walk over all elements before the sums.
pub(super) fn fill_rows(rows: &mut [f32], width: usize, grads: &[(&Range<i64>, &Tensor)]) -> Result<()> {
    let grads =
        grads.iter().map(|(outs, grad)| Ok((outs.start as usize..outs.end as usize, grad.f_contiguous()?)));
    let mut grads = grads.collect::<Result<Vec<_>>>()?;
    grads.retain(|(outs, _)| !outs.is_empty());
    grads.sort_by_key(|(outs, _)| outs.start);
    // What a gradient shares with those before it is added there, the rest is written.
    let mut written = 0;
    for (outs, grad) in &grads {
        let (shared, gap) = (outs.end.min(written).saturating_sub(outs.start), written..outs.start);
        for (row, g) in rows.chunks_exact_mut(width).zip(slice(grad)?.chunks_exact(outs.len())) {
            if !gap.is_empty() {
                clear(&mut row[gap.clone()]);
            }
            let (before, own) = row[outs.clone()].split_at_mut(shared);
            add(before, &g[..shared]);
            copy_elements(&g[shared..], own);
        }
        written = written.max(outs.end);
    }
    if written < width {
        rows.chunks_exact_mut(width).for_each(|row| clear(&mut row[written..]));
    }
    Ok(())
}

/// [`sum_masked`], of rows on the CPU that lie one mask after the other, `batch` of each.
pub(super) fn sum_masked_rows(masks: &[GradMask], rows: Tensor, batch: i64) -> Result<Tensor> {
    let width = shape2(&rows).map_or(0, |[_, width]| width);
    if masks == [GradMask::All] || batch * width == 0 {
        return Ok(rows);
    }
    if let [GradMask::EvenChunks { size: a }, other @ GradMask::OddChunks { size: b }]
    | [GradMask::OddChunks { size: a }, other @ GradMask::EvenChunks { size: b }] = masks
        && a == b
    {
        // Each chunk is reached along one of the two: those of the second are brought to where the first one's end.
        let mut rows = OutputBuffer::reuse(rows)?;
        let (sum, second) = rows.split_at_mut((batch * width) as usize);
        let of_rows = sum.chunks_exact_mut(width as usize).zip(second.chunks_exact(width as usize));
        for (sum, row) in of_rows {
            for reached in other.reached(width) {
                let reached = reached.start as usize..reached.end as usize;
                copy_elements(&row[reached.clone()], &mut sum[reached]);
            }
        }
        return Ok(rows.into_tensor().f_narrow(0, 0, batch)?);
    }
    let mut sum = OutputBuffer::empty(&[batch, width])?;
    clear(&mut sum);
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

/// Makes all elements 0, on all threads.
fn clear(elements: &mut [f32]) {
    elementwise!(elements.len(), [elements], |_, [elements]| {
        elements.fill(0.0);
        0.0
    });
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
            assert!(sum_masked_rows(&masks, all.copy(), 2).unwrap().equal(&expected), "{masks:?}");
        }
        let all = Random::new(3).normal(&[2, 8], 1.0);
        assert!(sum_masked(vec![(GradMask::All, all.copy())]).unwrap().unwrap().equal(&all));
        assert!(sum_masked_rows(&[GradMask::All], all.copy(), 2).unwrap().equal(&all));
    }

    #[test]
    #[allow(clippy::single_range_in_vec_init, reason = "the ranges themselves are meant")]
    fn gradients_are_summed_in_their_columns_in_either_way() {
        for all in [
            vec![],
            vec![0..5],
            vec![1..4],
            vec![2..2],
            vec![3..5, 0..2],
            vec![0..3, 2..5],
            vec![0..5, 1..3, 4..5],
            vec![2..3, 1..4, 1..4],
        ] {
            let expected = Tensor::zeros([3, 5], (Kind::Float, Device::Cpu));
            // Nothing may be taken over from what stands there before; gradients are not contiguous.
            let mut rows = [f32::NAN; 15];
            let mut random = Random::new(4);
            let grads: Vec<_> =
                all.iter().map(|outs| random.normal(&[outs.end - outs.start, 3], 1.0).tr()).collect();
            for (outs, grad) in all.iter().zip(&grads) {
                let path = GradPath { outs: outs.clone(), mask: GradMask::All, frozen: false };
                add_grad(&expected, &path, Some(grad)).unwrap();
            }
            fill_rows(&mut rows, 5, &all.iter().zip(&grads).collect::<Vec<_>>()).unwrap();
            let rows = Tensor::from_slice(&rows).view_as(&expected);
            assert!(rows.allclose(&expected, 1e-6, 1e-6, false), "{all:?}");
        }
    }
}

//! LayerNorm without parameters, then LeakyReLU, in one pass forward and one backward.
use crate::autograd::{OutputBuffer, shape2, slice};
use crate::{Result, ensure, simd};
use tch::Tensor;

/// Added to the variance in LayerNorm.
pub(super) const EPSILON: f32 = 1e-5;
/// The slope of LeakyReLU below zero.
const SLOPE: f32 = 0.01;

/// `a = LeakyReLU(n)` with `n = (y − mean) · s`, `s = 1/√(variance + ε)` of each row; and `s`, one a row.
pub(super) fn activate(y: Tensor) -> Result<(Tensor, Vec<f32>)> {
    let width = shape2(&y).map_or(1, |[_, width]| width.max(1)) as usize;
    let mut y = OutputBuffer::reuse(y)?;
    let mut scales = Vec::with_capacity(y.len() / width);
    activate_rows(&mut y, width, &mut scales);
    Ok((y.into_tensor(), scales))
}

/// The same of rows of so many elements, which are written over; each row's `s` is added to `scales`.
pub(super) fn activate_rows(y: &mut [f32], width: usize, scales: &mut Vec<f32>) {
    simd!(y.chunks_exact_mut(width).for_each(|row| scales.push(activate_row(row))));
}

#[inline(always)]
fn activate_row(row: &mut [f32]) -> f32 {
    let mean = sum(row, |y| y) / row.len() as f32;
    let variance = sum(row, |y| (y - mean) * (y - mean)) / row.len() as f32;
    let scale = 1.0 / (variance + EPSILON).sqrt();
    for y in row {
        let n = (*y - mean) * scale;
        *y = n.max(SLOPE * n);
    }
    scale
}

/// The gradient of `y` from that of `a`: `s · (h − mean(h) − n · mean(h · n))` with `h = g · LeakyReLU′(n)`.
pub(super) fn activate_backward(g: Tensor, activation: &Tensor, scales: &[f32]) -> Result<Tensor> {
    let found = shape2(&g);
    ensure!(
        found.is_some() && found == shape2(activation),
        "the gradient of a layer's input has the shape {:?}",
        g.size()
    );
    let mut g = OutputBuffer::reuse(g)?;
    let width = found.map_or(1, |[_, width]| width.max(1)) as usize;
    activate_rows_backward(&mut g, slice(activation)?, scales, width);
    Ok(g.into_tensor())
}

/// The same of rows of so many elements; the gradient of `a` is written over.
pub(super) fn activate_rows_backward(g: &mut [f32], activation: &[f32], scales: &[f32], width: usize) {
    simd!({
        let rows = g.chunks_exact_mut(width).zip(activation.chunks_exact(width));
        rows.zip(scales).for_each(|((g, a), scale)| activate_row_backward(g, a, *scale));
    });
}

#[inline(always)]
fn activate_row_backward(g: &mut [f32], a: &[f32], scale: f32) {
    let (mut sum_h, mut sum_hn) = ([0.0f32; LANES], [0.0f32; LANES]);
    let mut add = |place: usize, g: &mut f32, a: f32| {
        *g *= slope(a);
        sum_h[place] += *g;
        sum_hn[place] += *g * a / slope(a);
    };
    let (mut of_g, of_a) = (g.chunks_exact_mut(LANES), a.chunks_exact(LANES));
    let rest = of_a.remainder();
    for (g, a) in of_g.by_ref().zip(of_a) {
        for place in 0..LANES {
            add(place, &mut g[place], a[place]);
        }
    }
    of_g.into_remainder().iter_mut().zip(rest).enumerate().for_each(|(place, (g, a))| add(place, g, *a));
    let width = a.len() as f32;
    let (mean_h, mean_hn) = (sum_h.iter().sum::<f32>() / width, sum_hn.iter().sum::<f32>() / width);
    for (g, a) in g.iter_mut().zip(a) {
        *g = scale * (*g - mean_h - a / slope(*a) * mean_hn);
    }
}

#[inline(always)]
fn slope(a: f32) -> f32 {
    if a > 0.0 { 1.0 } else { SLOPE }
}

/// So many sums at once compile to SIMD.
const LANES: usize = 8;

#[inline(always)]
fn sum(row: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let mut sums = [0.0f32; LANES];
    let whole = row.chunks_exact(LANES);
    let rest = whole.remainder();
    for chunk in whole {
        for place in 0..LANES {
            sums[place] += f(chunk[place]);
        }
    }
    rest.iter().zip(&mut sums).for_each(|(y, sum)| *sum += f(*y));
    sums.iter().sum()
}

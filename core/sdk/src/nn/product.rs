//! Products with a small matrix, in plain loops on one thread: what a library spends to choose a kernel for them, to allocate
//! and to wake threads takes longer than they do.
use crate::autograd::matrix_vector;
use crate::simd;

/// Multiply-accumulates up to which a product is computed here. Above, libtorch's kernels are as quick or quicker.
const MOST: usize = 1 << 16;

/// Whether a product of this many rows with a matrix of (outs, ins) is one for this file.
pub(super) fn is_small(rows: usize, ins: usize, outs: usize) -> bool {
    rows > 0 && ins > 0 && outs > 0 && rows.saturating_mul(ins).saturating_mul(outs) <= MOST
}

/// `y = x · weightᵀ + bias`: `x` (rows, ins), `weight` (outs, ins), `bias` (outs), `y` (rows, outs).
pub(super) fn forward(x: &[f32], weight: &[f32], bias: Option<&[f32]>, y: &mut [f32], ins: usize) {
    let outs = weight.len() / ins;
    for (x, y) in x.chunks_exact(ins).zip(y.chunks_exact_mut(outs)) {
        matrix_vector(weight, x, y);
        if let Some(bias) = bias {
            simd!(add(y, bias));
        }
    }
}

/// `x = g · weight`: `g` (rows, outs), `weight` (outs, ins), `x` (rows, ins).
pub(super) fn to_input(g: &[f32], weight: &[f32], x: &mut [f32], ins: usize) {
    let outs = weight.len() / ins;
    for (g, x) in g.chunks_exact(outs).zip(x.chunks_exact_mut(ins)) {
        simd!(vector_matrix(g, weight, x));
    }
}

/// Adds `gᵀ · x` to `weight` and `Σ g` to `bias`: `g` (rows, outs), `x` (rows, ins), `weight` (outs, ins), `bias` (outs) or
/// empty. `first`: they are written, and not added to.
pub(super) fn to_parameters(
    g: &[f32],
    x: &[f32],
    ins: usize,
    weight: &mut [f32],
    bias: &mut [f32],
    first: bool,
) {
    let outs = weight.len() / ins;
    for (row, (g, x)) in g.chunks_exact(outs).zip(x.chunks_exact(ins)).enumerate() {
        if first && row == 0 {
            simd!(outer(g, x, weight));
            bias.iter_mut().zip(g).for_each(|(b, g)| *b = *g);
        } else {
            simd!(add_outer(g, x, weight));
            simd!(add(bias, g));
        }
    }
}

/// Rows of the matrix that are taken at once, so that a sum is loaded and stored once for all of them.
const GROUP: usize = 4;

#[inline(always)]
fn add(y: &mut [f32], x: &[f32]) {
    y.iter_mut().zip(x).for_each(|(y, x)| *y += x);
}

/// `x = g · weight`
#[inline(always)]
fn vector_matrix(g: &[f32], weight: &[f32], x: &mut [f32]) {
    let ins = x.len();
    x.fill(0.0);
    let (gs, rows) = (g.chunks_exact(GROUP), weight.chunks_exact(GROUP * ins));
    let rest = gs.remainder().iter().zip(rows.remainder().chunks_exact(ins));
    for (g, rows) in gs.zip(rows) {
        let (a, rows) = rows.split_at(ins);
        let (b, rows) = rows.split_at(ins);
        let (c, d) = rows.split_at(ins);
        let (b, c, d) = (&b[..ins], &c[..ins], &d[..ins]);
        for i in 0..ins {
            x[i] += (g[0] * a[i] + g[1] * b[i]) + (g[2] * c[i] + g[3] * d[i]);
        }
    }
    for (g, row) in rest {
        x.iter_mut().zip(row).for_each(|(x, w)| *x += g * w);
    }
}

/// `weight = gᵀ · x`
#[inline(always)]
fn outer(g: &[f32], x: &[f32], weight: &mut [f32]) {
    for (weight, g) in weight.chunks_exact_mut(x.len()).zip(g) {
        weight.iter_mut().zip(x).for_each(|(w, x)| *w = g * x);
    }
}

/// `weight += gᵀ · x`
#[inline(always)]
fn add_outer(g: &[f32], x: &[f32], weight: &mut [f32]) {
    for (weight, g) in weight.chunks_exact_mut(x.len()).zip(g) {
        weight.iter_mut().zip(x).for_each(|(w, x)| *w += g * x);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Random;

    fn random(n: usize, seed: u64) -> Vec<f32> {
        let mut random = Random::new(seed);
        (0..n).map(|_| (random.unit() - 0.5) as f32).collect()
    }

    fn close(found: &[f32], expected: &[f64]) {
        assert_eq!(found.len(), expected.len());
        for (f, e) in found.iter().zip(expected) {
            assert!((f64::from(*f) - e).abs() < 1e-5, "{f} {e}");
        }
    }

    /// Element (i, j) of a product by its definition, in 64 bits.
    fn sum(n: usize, term: impl Fn(usize) -> (f32, f32)) -> f64 {
        (0..n).map(term).map(|(a, b)| f64::from(a) * f64::from(b)).sum()
    }

    #[test]
    fn products_are_what_their_definition_says_whatever_the_shape() {
        for (rows, ins, outs) in [(1, 1, 1), (1, 4, 64), (2, 64, 64), (3, 17, 9), (1, 100, 2), (5, 3, 7)] {
            let (x, w, b) = (random(rows * ins, 1), random(outs * ins, 2), random(outs, 3));
            let g = random(rows * outs, 4);
            let mut y = vec![f32::NAN; rows * outs];
            forward(&x, &w, Some(&b), &mut y, ins);
            let at = |r: usize, o: usize| f64::from(b[o]) + sum(ins, |i| (x[r * ins + i], w[o * ins + i]));
            close(&y, &(0..rows * outs).map(|k| at(k / outs, k % outs)).collect::<Vec<_>>());

            let mut back = vec![f32::NAN; rows * ins];
            to_input(&g, &w, &mut back, ins);
            let at = |r: usize, i: usize| sum(outs, |o| (g[r * outs + o], w[o * ins + i]));
            close(&back, &(0..rows * ins).map(|k| at(k / ins, k % ins)).collect::<Vec<_>>());

            let (mut of_w, mut of_b) = (vec![f32::NAN; outs * ins], vec![f32::NAN; outs]);
            to_parameters(&g, &x, ins, &mut of_w, &mut of_b, true);
            to_parameters(&g, &x, ins, &mut of_w, &mut of_b, false);
            let at = |o: usize, i: usize| 2.0 * sum(rows, |r| (g[r * outs + o], x[r * ins + i]));
            close(&of_w, &(0..outs * ins).map(|k| at(k / ins, k % ins)).collect::<Vec<_>>());
            close(&of_b, &(0..outs).map(|o| 2.0 * sum(rows, |r| (g[r * outs + o], 1.0))).collect::<Vec<_>>());
        }
    }
}

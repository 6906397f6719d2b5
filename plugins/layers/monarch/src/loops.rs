//! The product of a few rows and its gradients, in plain loops on one thread: blocks are small, and what a library spends to choose
//! a kernel for each takes longer than they do.
use super::blocks::Blocks;

/// Rows up to which products are computed here. Above, libtorch's kernels use a weight for several rows at once.
pub(super) const MOST_ROWS: i64 = 4;

/// Of `x` (rows, ins): the outputs `y` (rows, outs), and what each matrix's blocks were multiplied with, `taken` (count, rows, ins
/// of a block) and `between` (count, rows, between).
#[inline(always)]
pub(super) fn forward(
    blocks: Blocks,
    x: &[f32],
    [first, second]: [&[f32]; 2],
    [taken, between]: [&mut [f32]; 2],
    y: &mut [f32],
) {
    let Sizes { count, ins, middle, outs, all_ins, all_outs, share } = blocks.into();
    let rows = x.len() / all_ins;
    let mut made = vec![0.0f32; middle];
    for (r, (x, y)) in x.chunks_exact(all_ins).zip(y.chunks_exact_mut(all_outs)).enumerate() {
        for (i, weight) in first.chunks_exact(ins * middle).enumerate() {
            let (from, to) = ((i * ins).min(all_ins), ((i + 1) * ins).min(all_ins));
            let own = &mut taken[(i * rows + r) * ins..][..ins];
            own.fill(0.0);
            own[..to - from].copy_from_slice(&x[from..to]);
            vector_matrix(&x[from..to], weight, middle, &mut made);
            for (a, dealt) in made.chunks_exact(count).enumerate() {
                for (j, value) in dealt.iter().enumerate() {
                    between[(j * rows + r) * middle + i * share + a] = *value;
                }
            }
        }
        for (j, weight) in second.chunks_exact(middle * outs).enumerate() {
            let (from, to) = ((j * outs).min(all_outs), ((j + 1) * outs).min(all_outs));
            let seen = &between[(j * rows + r) * middle..][..middle];
            vector_matrix(seen, weight, outs, &mut y[from..to]);
        }
    }
}

/// Of `g` (rows, outs): what arrives at the outputs of the first matrix, `g_made` (count, rows, between).
#[inline(always)]
pub(super) fn to_made(blocks: Blocks, g: &[f32], second: &[f32], g_made: &mut [f32]) {
    let Sizes { count, middle, outs, all_outs, share, .. } = blocks.into();
    let rows = g.len() / all_outs;
    for (r, g) in g.chunks_exact(all_outs).enumerate() {
        for (j, weight) in second.chunks_exact(middle * outs).enumerate() {
            let g = &g[(j * outs).min(all_outs)..((j + 1) * outs).min(all_outs)];
            for (feature, weight) in weight.chunks_exact(outs).enumerate() {
                let (i, a) = (feature / share, feature % share);
                g_made[(i * rows + r) * middle + a * count + j] = dot(g, &weight[..g.len()]);
            }
        }
    }
}

/// Of `g_made` (count, rows, between), of which the first rows are wanted: `g_x` (rows wanted, ins).
#[inline(always)]
pub(super) fn to_input(blocks: Blocks, g_made: &[f32], first: &[f32], g_x: &mut [f32]) {
    let Sizes { count, ins, middle, all_ins, .. } = blocks.into();
    let rows = g_made.len() / (count * middle);
    for (r, g_x) in g_x.chunks_exact_mut(all_ins).enumerate() {
        for ((i, weight), g_x) in first.chunks_exact(ins * middle).enumerate().zip(g_x.chunks_mut(ins)) {
            let g = &g_made[(i * rows + r) * middle..][..middle];
            for (g_x, weight) in g_x.iter_mut().zip(weight.chunks_exact(middle)) {
                *g_x = dot(g, weight);
            }
        }
    }
}

/// Adds to the gradients of both matrices what the rows `from ..` of `g` and `g_made` do, as many as `taken` and `between` have.
#[inline(always)]
pub(super) fn to_parameters(
    blocks: Blocks,
    from: usize,
    [g, g_made]: [&[f32]; 2],
    [taken, between]: [&[f32]; 2],
    [first, second]: [&mut [f32]; 2],
) {
    let Sizes { count, ins, middle, outs, all_outs, .. } = blocks.into();
    let (batch, rows) = (taken.len() / (count * ins), g.len() / all_outs);
    for r in 0..batch {
        for (i, weight) in first.chunks_exact_mut(ins * middle).enumerate() {
            let (x, g) = (&taken[(i * batch + r) * ins..][..ins], &g_made[(i * rows + from + r) * middle..]);
            for (x, weight) in x.iter().zip(weight.chunks_exact_mut(middle)) {
                weight.iter_mut().zip(g).for_each(|(weight, g)| *weight += x * g);
            }
        }
        let g = &g[(from + r) * all_outs..][..all_outs];
        for (j, weight) in second.chunks_exact_mut(middle * outs).enumerate() {
            let g = &g[(j * outs).min(all_outs)..((j + 1) * outs).min(all_outs)];
            let seen = &between[(j * batch + r) * middle..][..middle];
            for (x, weight) in seen.iter().zip(weight.chunks_exact_mut(outs)) {
                weight.iter_mut().zip(g).for_each(|(weight, g)| *weight += x * g);
            }
        }
    }
}

/// [`Blocks`] as lengths of slices.
struct Sizes {
    count: usize,
    ins: usize,
    middle: usize,
    outs: usize,
    all_ins: usize,
    all_outs: usize,
    share: usize,
}

impl From<Blocks> for Sizes {
    fn from(blocks: Blocks) -> Self {
        Sizes {
            count: blocks.count as usize,
            ins: blocks.ins as usize,
            middle: blocks.between as usize,
            outs: blocks.outs as usize,
            all_ins: blocks.size.ins as usize,
            all_outs: blocks.size.outs as usize,
            share: blocks.share as usize,
        }
    }
}

/// `y = x · weight`, of whose rows of `columns` elements the first y.len() are used.
#[inline(always)]
fn vector_matrix(x: &[f32], weight: &[f32], columns: usize, y: &mut [f32]) {
    y.fill(0.0);
    let n = y.len();
    let (fours, rows) = (x.chunks_exact(4), weight.chunks_exact(4 * columns));
    let rest = fours.remainder();
    let done = x.len() - rest.len();
    for (x, rows) in fours.zip(rows) {
        let (a, b) = (&rows[..n], &rows[columns..columns + n]);
        let (c, d) = (&rows[2 * columns..2 * columns + n], &rows[3 * columns..3 * columns + n]);
        for t in 0..n {
            y[t] += (x[0] * a[t] + x[1] * b[t]) + (x[2] * c[t] + x[3] * d[t]);
        }
    }
    for (x, row) in rest.iter().zip(weight[done * columns..].chunks_exact(columns)) {
        y.iter_mut().zip(row).for_each(|(y, w)| *y += x * w);
    }
}

/// `Σ a · b`, in eight sums.
#[inline(always)]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; 8];
    let (eights, others) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f32 = eights.remainder().iter().zip(others.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in eights.zip(others) {
        for n in 0..8 {
            sums[n] += a[n] * b[n];
        }
    }
    rest + ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]))
}

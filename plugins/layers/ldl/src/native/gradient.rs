//! What the units of a backward pass share: the tensors of a sub-layer, and the gradients of one matrix.
//!
//! `unsafe` is allowed in this file, as in [`super::forward`].
//!
//! The gradient comes along several *paths*: rows of gradients that belong to the same samples. Row `r` belongs to sample
//! `r % samples` and path `r / samples`. What a path gives the parameters is linear in its gradient, so the gradients of
//! the paths that reach them are summed first, and the parameters' gradient is computed once.
#![allow(unsafe_code)]
use super::dispatch::Kernels;
use super::forward::matrix_tile;
use super::geometry::Mix;
use super::kernels::{Gather, Scatter, SumRows, Tile};
use super::prefetch::Next;
use super::products::{Derivative, Product, Start};
use super::simd::LINE;
use efference_sdk::Nonlinearity;
use std::ptr;

/// The tensors of one sub-layer. Rows lie one after the other.
#[derive(Clone, Copy)]
pub(super) struct Backward<'a> {
    pub(super) samples: usize,
    /// Of each path: whether it reaches the parameters.
    pub(super) paths: &'a [bool],
    pub(super) size_in: usize,
    pub(super) size_out: usize,
    /// The gradient of the output: paths × samples rows.
    pub(super) gradient_out: *const f32,
    /// The gradient of the input: `input_paths` × samples rows; may be the same memory if sizes are the same.
    pub(super) gradient_in: *mut f32,
    /// Along how many paths, from the first on, it is needed.
    pub(super) input_paths: usize,
    /// What the nonlinearity was applied to: `samples` rows.
    pub(super) input: *const f32,
    pub(super) weight: *const f32,
    /// Null: not needed.
    pub(super) weight_gradient: *mut f32,
    /// Null: not needed, or no bias.
    pub(super) bias_gradient: *mut f32,
    pub(super) nonlinearity: Nonlinearity,
    /// How many paths reach the parameters, if their gradients are needed; else 0.
    pub(super) summed: usize,
    /// Whether the layer is larger than the caches, so that what comes next is to be prefetched.
    pub(super) ahead: bool,
    /// Whether the gradients of its weights are, so that those that are written once are written by non-temporal stores.
    pub(super) streams: bool,
}

// SAFETY: plain pointers; whoever uses them promises disjoint places.
unsafe impl Send for Backward<'_> {}
// SAFETY: as above.
unsafe impl Sync for Backward<'_> {}

impl Backward<'_> {
    pub(super) fn rows(&self) -> usize {
        self.samples * self.paths.len()
    }

    /// What comes after the product that makes a matrix's gradient, of inputs that go on at `input`.
    fn next_gradient(&self, mix: &Mix, matrix: usize, input: *const f32) -> Next {
        if !self.ahead {
            return Next::NOTHING;
        }
        let gradient = self.weight_gradient.wrapping_add((matrix + 1) * mix.ins * mix.outs);
        Next::lines(input, if self.streams { ptr::null() } else { gradient })
    }

    /// What a skip connection adds to the gradient at this place of `gradient_in`.
    pub(super) fn skip(&self, mix: &Mix, place: usize) -> *const f32 {
        // With a skip connection, both sides have the same shape.
        if mix.skip { self.gradient_out.wrapping_add(place) } else { ptr::null() }
    }

    /// A product whose results may stand where the gradients stand that it reads: where it is not one block, it goes by `scratch`, in
    /// which its activations lie with the same distance between rows.
    ///
    /// # Safety
    /// See [`super::kernels`].
    pub(super) unsafe fn product<K: Kernels>(&self, p: &Product, scratch: *mut f32, scratch_row: usize) {
        let is_apart = self.gradient_in.cast_const() != self.gradient_out;
        // SAFETY: by the caller's promise.
        unsafe {
            if is_apart || K::is_one_block(p.rows, p.columns) {
                return K::product(p);
            }
            K::product(&p.alone(scratch, scratch_row));
            K::scatter(&Scatter {
                tile: matrix_tile(p.rows, p.columns, p.out_row, scratch_row),
                from: scratch,
                to: p.out,
                skip: p.skip,
                activation: p.derivative.activation,
                nonlinearity: p.derivative.nonlinearity,
            });
        }
    }

    /// What the results for a tile are multiplied with, whose activations lie so in scratch memory.
    pub(super) fn derivative(&self, activation: *const f32, row: usize, column: usize) -> Derivative {
        let activation = if self.nonlinearity == Nonlinearity::None { ptr::null() } else { activation };
        Derivative { nonlinearity: self.nonlinearity, activation, row, column }
    }

    /// The end of the pass for a tile of results at `from`, which begins at this place of `gradient_in`.
    /// `activation` is the nonlinearity of the input, and lies as `from` does.
    pub(super) fn end(
        &self,
        mix: &Mix,
        tile: Tile,
        from: *const f32,
        activation: *const f32,
        place: usize,
    ) -> Scatter {
        Scatter {
            tile,
            from,
            to: self.gradient_in.wrapping_add(place),
            skip: self.skip(mix, place),
            activation: self.derivative(activation, 0, 0).activation,
            nonlinearity: self.nonlinearity,
        }
    }

    /// The sum of a sample's gradients that reach the parameters, of a tile that is one matrix and begins at `of_row(row)`; where it
    /// lies, and the distance between its rows. One is its own sum; of several the sum is made at `scratch`.
    ///
    /// # Safety
    /// See [`super::kernels`]. There is at least one.
    pub(super) unsafe fn sum<K: Kernels>(
        &self,
        tile: Tile,
        sample: usize,
        of_row: impl Fn(usize) -> *const f32,
        scratch: *mut f32,
    ) -> (*const f32, usize) {
        let mut sum: (*const f32, usize) = (ptr::null(), tile.row_stride);
        // What is added lies as in scratch memory: in whole lines.
        let mut is_whole = tile.row_stride == tile.scratch_row && tile.width.is_multiple_of(LINE);
        self.each_reaching(sample, |row, first| {
            let from = of_row(row);
            if first {
                sum.0 = from;
                return;
            }
            // SAFETY: by the caller's promise.
            unsafe {
                if !is_whole {
                    copy::<K>(tile, sum.0, scratch, false);
                    sum.0 = scratch;
                }
                sum_of_two::<K>(tile, from, sum.0, scratch, 0);
            }
            (sum, is_whole) = ((scratch.cast_const(), tile.scratch_row), true);
        });
        sum
    }

    /// Calls `f(row, is the first)` for the rows of a sample whose paths reach the parameters.
    pub(super) fn each_reaching(&self, sample: usize, mut f: impl FnMut(usize, bool)) {
        let mut first = true;
        for path in (0..self.paths.len()).filter(|path| self.paths[*path]) {
            f(path * self.samples + sample, first);
            first = false;
        }
    }
}

pub(super) fn add_if(add: bool) -> Start {
    if add { Start::Output } else { Start::Zero }
}

/// A copy of a tile in scratch memory, or its sum with what stands there.
pub(super) unsafe fn copy<K: Kernels>(tile: Tile, from: *const f32, to: *mut f32, add: bool) {
    // SAFETY: handed on.
    unsafe { sum_of_two::<K>(tile, from, if add { to } else { ptr::null() }, to, 0) }
}

/// A copy of a tile plus `added`, which lies as the copy does, or null; the tile `next` elements behind it is prefetched.
pub(super) unsafe fn sum_of_two<K: Kernels>(
    tile: Tile,
    from: *const f32,
    added: *const f32,
    to: *mut f32,
    next: usize,
) {
    // SAFETY: by the caller's promise.
    unsafe { K::gather(&Gather { tile, from, to, added, nonlinearity: Nonlinearity::None, next }) }
}

/// The sum over `k` that a matrix's gradient is: `Σ_k input[i, k] · sum[k][o]`.
pub(super) struct Contraction {
    pub(super) input: *const f32,
    pub(super) input_row: usize,
    pub(super) input_k: usize,
    pub(super) sum: *const f32,
    pub(super) sum_k: usize,
    pub(super) k: usize,
    /// Whether to add to what stands there.
    pub(super) add: bool,
    /// Where the input lies of what comes next.
    pub(super) next_input: *const f32,
}

/// The gradients of one matrix and of its bias.
/// # Safety
/// See [`super::kernels`].
pub(super) unsafe fn parameters<K: Kernels>(mix: &Mix, b: &Backward<'_>, matrix: usize, c: &Contraction) {
    // SAFETY: by the caller's promise.
    unsafe {
        if !b.weight_gradient.is_null() {
            K::product(&Product {
                a: c.input,
                a_row: c.input_row,
                a_k: c.input_k,
                b: c.sum,
                b_k: c.sum_k,
                out: b.weight_gradient.add(matrix * mix.ins * mix.outs),
                out_row: mix.outs,
                rows: mix.ins,
                columns: mix.outs,
                k: c.k,
                start: add_if(c.add),
                derivative: Derivative::NONE,
                skip: ptr::null(),
                next: b.next_gradient(mix, matrix, c.next_input),
                streams: b.streams && c.k == 1 && !c.add,
            });
        }
        if !b.bias_gradient.is_null() {
            K::sum_rows(&SumRows {
                from: c.sum,
                row: c.sum_k,
                rows: c.k,
                columns: mix.outs,
                out: b.bias_gradient.add(matrix * mix.outs),
                add: c.add,
            });
        }
    }
}

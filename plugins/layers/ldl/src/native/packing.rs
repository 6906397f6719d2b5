//! Matrices between how they lie as parameters and how vectors along `l` meet them.
//!
//! `unsafe` is allowed in this file, as in [`super::forward`].
#![allow(unsafe_code)]
use super::dispatch::Kernels;
use super::fold::LINE;
use super::geometry::Mix;
use super::kernels::Transpose;
use std::ops::Range;

/// Parts of matrices of neighbouring `l`, to be packed so that lane `i` of vector `v` is number `v` of the matrix of
/// `l = i`.
pub(super) struct Packing {
    /// The first matrix, and the distance to that of the next `l`.
    pub(super) first: usize,
    pub(super) step: usize,
    /// Rows of a matrix, how long each is, and which part of it is meant.
    pub(super) rows: usize,
    pub(super) row: usize,
    pub(super) columns: Range<usize>,
    /// How many `l` there are.
    pub(super) count: usize,
}

impl Packing {
    /// For matrices of `rows × row` elements.
    pub(super) fn new(
        mix: &Mix,
        (prefix, mid, first): (usize, usize, usize),
        rows: usize,
        lanes: usize,
    ) -> Self {
        let numbers = rows * mix.outs;
        Packing {
            first: mix.matrix(prefix, mid, 0, first) * numbers,
            step: mix.l_step * numbers,
            rows,
            row: mix.outs,
            columns: 0..mix.outs,
            count: (mix.l - first).min(lanes),
        }
    }

    /// # Safety
    /// See [`super::kernels`].
    pub(super) unsafe fn pack<K: Kernels>(&self, from: *const f32, to: *mut f32) {
        // Whole matrices are one row.
        let whole = self.columns.len() == self.row;
        let (rows, length) = if whole { (1, self.rows * self.row) } else { (self.rows, self.columns.len()) };
        for row in 0..rows {
            // SAFETY: by the caller's promise.
            unsafe {
                K::transpose(&Transpose {
                    from: from.add(self.first + row * self.row + self.columns.start),
                    from_row: self.step,
                    rows: self.count,
                    columns: length,
                    to: to.add(row * length * LINE),
                    to_row: LINE,
                });
            }
        }
    }

    /// The way back, for whole matrices.
    ///
    /// # Safety
    /// See [`super::kernels`].
    pub(super) unsafe fn unpack<K: Kernels>(&self, packed: *const f32, to: *mut f32) {
        // SAFETY: by the caller's promise.
        unsafe {
            K::transpose(&Transpose {
                from: packed,
                from_row: LINE,
                rows: self.rows * self.row,
                columns: self.count,
                to: to.add(self.first),
                to_row: self.step,
            });
        }
    }
}

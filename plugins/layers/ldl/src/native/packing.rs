//! Matrices between how they lie as parameters and how vectors along `l` meet them.
//!
//! `unsafe` is allowed in this file, as in [`super::forward`].
#![allow(unsafe_code)]
use super::dispatch::Kernels;
use super::geometry::{LINE, Mix};
use super::kernels::{SumRows, Transpose};
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
    /// How many `l` there are, and how often they are repeated.
    pub(super) count: usize,
    pub(super) repeat: usize,
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
            repeat: if mix.folds(lanes) { lanes / mix.l } else { 1 },
        }
    }

    /// # Safety
    /// See [`super::kernels`].
    pub(super) unsafe fn pack<K: Kernels>(&self, from: *const f32, to: *mut f32) {
        // Whole matrices are one row.
        let whole = self.columns.len() == self.row;
        let (rows, length) = if whole { (1, self.rows * self.row) } else { (self.rows, self.columns.len()) };
        for copy in 0..self.repeat {
            for row in 0..rows {
                // SAFETY: by the caller's promise.
                unsafe {
                    K::transpose(&Transpose {
                        from: from.add(self.first + row * self.row + self.columns.start),
                        from_row: self.step,
                        rows: self.count,
                        columns: length,
                        to: to.add(row * length * LINE + copy * self.count),
                        to_row: LINE,
                    });
                }
            }
        }
    }

    /// The way back, for whole matrices; repeated lanes are summed.
    ///
    /// # Safety
    /// See [`super::kernels`]. `scratch` has room for a vector of matrices.
    pub(super) unsafe fn unpack<K: Kernels>(&self, packed: *const f32, to: *mut f32, scratch: *mut f32) {
        let numbers = self.rows * self.row;
        // SAFETY: by the caller's promise.
        unsafe {
            let to = to.add(self.first);
            let transpose = |columns, to, to_row| {
                K::transpose(&Transpose { from: packed, from_row: LINE, rows: numbers, columns, to, to_row });
            };
            if self.repeat == 1 {
                return transpose(self.count, to, self.step);
            }
            transpose(LINE, scratch, numbers);
            for l in 0..self.count {
                K::sum_rows(&SumRows {
                    from: scratch.add(l * numbers),
                    row: self.count * numbers,
                    rows: self.repeat,
                    columns: numbers,
                    out: to.add(l * self.step),
                    add: false,
                });
            }
        }
    }
}

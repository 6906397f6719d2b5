//! Matrices between how they lie as parameters and how vectors along `l` meet them: lane `i` of a packed vector belongs to the
//! matrix of the vector's place `i`.
//!
//! `unsafe` is allowed in this file, as in [`super::forward`].
#![allow(unsafe_code)]
use super::dispatch::Kernels;
use super::geometry::Mix;
use super::kernels::{Repeated, Transpose};
use super::simd::LINE;
use std::ops::Range;

/// The matrices, of so many rows, that a vector meets.
pub(super) enum Packing<'a> {
    /// Each lies by its shape.
    Apart {
        /// Where the first one begins, and the distance to that of the next `l`.
        first: usize,
        step: usize,
        /// Rows of a matrix, and how long each is.
        rows: usize,
        row: usize,
        /// How many `l` there are.
        count: usize,
    },
    /// They lie by `(prefix, ins, outs, mid, l)`, so that those of a vector are neighbours: a vector of them is one load and one
    /// permutation. See [`Fold`](super::fold::Fold).
    Neighbours { repeated: Repeated<'a>, first: usize },
}

impl<'a> Packing<'a> {
    /// For matrices of `rows` rows, of the places from `(prefix, mid, first l)` on.
    pub(super) fn new(mix: &'a Mix, (prefix, mid, first): (usize, usize, usize), rows: usize) -> Self {
        if let Some(fold) = &mix.fold {
            let column = mix.mid * mix.l;
            return Packing::Neighbours {
                repeated: Repeated { fold, column, row: mix.outs * column, rows, columns: mix.outs },
                first: prefix * rows * mix.outs * column + mid * mix.l,
            };
        }
        let numbers = rows * mix.outs;
        Packing::Apart {
            first: mix.matrix(prefix, mid, 0, first) * numbers,
            step: mix.l_step * numbers,
            rows,
            row: mix.outs,
            count: (mix.l - first).min(LINE),
        }
    }

    /// Packs these columns of all rows.
    ///
    /// # Safety
    /// See [`super::kernels`].
    pub(super) unsafe fn pack<K: Kernels>(&self, from: *const f32, to: *mut f32, columns: Range<usize>) {
        match *self {
            Packing::Neighbours { repeated, first } => {
                let from = from.wrapping_add(first + columns.start * repeated.column);
                // SAFETY: by the caller's promise.
                unsafe { K::repeat(&Repeated { columns: columns.len(), ..repeated }, from, to) }
            }
            Packing::Apart { first, step, rows, row, count } => {
                // Whole matrices are one row.
                let whole = columns.len() == row;
                let (rows, length) = if whole { (1, rows * row) } else { (rows, columns.len()) };
                for i in 0..rows {
                    // SAFETY: by the caller's promise.
                    unsafe {
                        K::transpose(&Transpose {
                            from: from.add(first + i * row + columns.start),
                            from_row: step,
                            rows: count,
                            columns: length,
                            to: to.add(i * length * LINE),
                            to_row: LINE,
                        });
                    }
                }
            }
        }
    }

    /// The way back, for whole matrices; what belongs to one of them is summed.
    ///
    /// # Safety
    /// See [`super::kernels`].
    pub(super) unsafe fn unpack<K: Kernels>(&self, packed: *const f32, to: *mut f32) {
        // SAFETY: by the caller's promise.
        unsafe {
            match *self {
                Packing::Neighbours { ref repeated, first } => {
                    K::sum_repeated(repeated, packed, to.add(first))
                }
                Packing::Apart { first, step, rows, row, count } => K::transpose(&Transpose {
                    from: packed,
                    from_row: LINE,
                    rows: rows * row,
                    columns: count,
                    to: to.add(first),
                    to_row: step,
                }),
            }
        }
    }
}

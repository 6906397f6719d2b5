//! Where `l` is a part of a vector, several places along `s`, and along `mid`, share one. Their matrices lie in memory by
//! `(prefix, ins, outs, mid, l)`, so that those of a vector are neighbours: a vector of them is one load and one permutation.
//!
//! `unsafe` is allowed in this file, as in [`super::forward`].
#![allow(unsafe_code)]
use super::dispatch::Kernels;
use super::fold::Fold;
use super::geometry::Mix;
use super::kernels::Repeated;
use std::ops::Range;

/// The matrices that a vector meets.
pub(super) struct Folding<'a> {
    repeated: Repeated<'a>,
    /// Where their first elements begin.
    first: usize,
}

impl<'a> Folding<'a> {
    /// For matrices of `rows` rows, of the places along `mid` from this one on.
    pub(super) fn new(mix: &Mix, fold: &'a Fold, (prefix, mid): (usize, usize), rows: usize) -> Self {
        let column = mix.mid * mix.l;
        Folding {
            repeated: Repeated { fold, column, row: mix.outs * column, rows, columns: mix.outs },
            first: prefix * rows * mix.outs * column + mid * mix.l,
        }
    }

    /// Fills vectors with these columns of all rows.
    ///
    /// # Safety
    /// See [`super::kernels`].
    pub(super) unsafe fn pack<K: Kernels>(&self, from: *const f32, to: *mut f32, columns: Range<usize>) {
        let repeated = Repeated { columns: columns.len(), ..self.repeated };
        // SAFETY: by the caller's promise.
        unsafe { K::repeat(&repeated, from.add(self.first + columns.start * repeated.column), to) };
    }

    /// The way back: what belongs to one matrix is summed.
    ///
    /// # Safety
    /// See [`super::kernels`].
    pub(super) unsafe fn unpack<K: Kernels>(&self, packed: *const f32, to: *mut f32) {
        // SAFETY: by the caller's promise.
        unsafe { K::sum_repeated(&self.repeated, packed, to.add(self.first)) };
    }
}

//! What sub-layers are made of beside [products](super::products): tiles on their way, transposes, sums. Generic in
//! the vectors; [`super::dispatch`] compiles them once for each kind of processor.
//!
//! `unsafe` is allowed in this file. The functions take raw pointers and strides, all counted in numbers, not
//! bytes. The caller promises that every place that they name lies in memory that is alive and, if it is written,
//! that nobody else touches; and that the processor has the features of `V`.
#![allow(unsafe_code)]
use super::fold::Fold;
use super::simd::{LINE, Square, Vector, activate, derivative};
use efference_sdk::Nonlinearity;

/// How a tile lies in a tensor and in scratch memory: `outer × rows × width`, where the last row may be shorter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tile {
    pub(super) outer: usize,
    pub(super) rows: usize,
    pub(super) width: usize,
    pub(super) last_width: usize,
    /// Strides in the tensor.
    pub(super) outer_stride: usize,
    pub(super) row_stride: usize,
    /// Strides in scratch memory.
    pub(super) scratch_outer: usize,
    pub(super) scratch_row: usize,
}

impl Tile {
    /// Whether each of its rows is one full vector.
    pub(super) fn is_full(&self, lanes: usize) -> bool {
        self.width == lanes && self.last_width == lanes
    }
}

/// A tile on its way from scratch memory to a tensor: `to = from (+ skip)`, or, of a backward pass,
/// `to = from · nonlinearity'(x) (+ skip)`.
#[derive(Clone, Copy)]
pub(super) struct Scatter {
    pub(super) tile: Tile,
    pub(super) from: *const f32,
    pub(super) to: *mut f32,
    /// Lies as `to` does; null: none.
    pub(super) skip: *const f32,
    /// The nonlinearity of `x`, which lies as `from` does; null: none.
    pub(super) activation: *const f32,
    pub(super) nonlinearity: Nonlinearity,
}

/// A tile on its way from a tensor to scratch memory. Lanes beyond a row's width become 0, up to a line.
#[derive(Clone, Copy)]
pub(super) struct Gather {
    pub(super) tile: Tile,
    pub(super) from: *const f32,
    pub(super) to: *mut f32,
    /// What is added to it, which lies as `to` does; null: nothing.
    pub(super) added: *const f32,
    /// What is applied on the way.
    pub(super) nonlinearity: Nonlinearity,
    /// How far the next tile is, which is prefetched on the way; 0: not.
    pub(super) next: usize,
}

/// Sums the rows of a matrix: `out[c] = (out[c] +) Σ_r from[r][c]`.
#[derive(Clone, Copy)]
pub(super) struct SumRows {
    pub(super) from: *const f32,
    pub(super) row: usize,
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) out: *mut f32,
    pub(super) add: bool,
}

/// A matrix of vectors, each made of the neighbours that begin at `row · i + column · j`, which are repeated in it. The vectors
/// themselves lie one after the other.
#[derive(Clone, Copy)]
pub(super) struct Repeated<'a> {
    pub(super) fold: &'a Fold,
    pub(super) row: usize,
    pub(super) column: usize,
    pub(super) rows: usize,
    pub(super) columns: usize,
}

impl Repeated<'_> {
    /// Where the neighbours of each vector begin, and which vector it is.
    #[inline(always)]
    fn places(&self) -> impl Iterator<Item = (usize, usize)> {
        let (rows, columns, row, column) = (self.rows, self.columns, self.row, self.column);
        (0..rows).flat_map(move |i| (0..columns).map(move |j| (i * row + j * column, i * columns + j)))
    }
}

/// A transpose: `to[c][r] = from[r][c]`.
#[derive(Clone, Copy)]
pub(super) struct Transpose {
    pub(super) from: *const f32,
    pub(super) from_row: usize,
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) to: *mut f32,
    pub(super) to_row: usize,
}

#[inline(always)]
pub(super) unsafe fn transpose<V: Square>(t: &Transpose) {
    let lanes = V::LANES;
    // SAFETY: by the caller's promise; only places within rows and columns are touched.
    unsafe {
        for row in (0..t.rows).step_by(lanes) {
            let rows = (t.rows - row).min(lanes);
            for column in (0..t.columns).step_by(lanes) {
                let columns = (t.columns - column).min(lanes);
                let from = t.from.add(row * t.from_row + column);
                let to = t.to.add(column * t.to_row + row);
                let mut square = V::square();
                if rows == lanes && columns == lanes {
                    for (i, v) in square.as_mut().iter_mut().enumerate() {
                        *v = V::load(from.add(i * t.from_row));
                    }
                    V::transpose(&mut square);
                    for (i, v) in square.as_ref().iter().enumerate() {
                        v.store(to.add(i * t.to_row));
                    }
                } else {
                    for (i, v) in square.as_mut().iter_mut().enumerate().take(rows) {
                        *v = load_some(from.add(i * t.from_row), columns);
                    }
                    V::transpose(&mut square);
                    for (i, v) in square.as_ref().iter().enumerate().take(columns) {
                        store_some(*v, to.add(i * t.to_row), rows);
                    }
                }
            }
        }
    }
}

#[inline(always)]
pub(super) unsafe fn load_some<V: Vector>(from: *const f32, count: usize) -> V {
    // SAFETY: handed on.
    unsafe { if count >= V::LANES { V::load(from) } else { V::load_first(from, count) } }
}

#[inline(always)]
pub(super) unsafe fn store_some<V: Vector>(v: V, to: *mut f32, count: usize) {
    // SAFETY: handed on.
    unsafe { if count >= V::LANES { v.store(to) } else { v.store_first(to, count) } }
}

/// Runs the last block for each vector of a tile, with its place in the tensor, its place in scratch memory, and
/// how many elements are left in its row; `$one`: each row is one full vector. (A macro, since a closure would not be
/// compiled for the processor.)
macro_rules! each_vector {
    ($tile:expr, $lanes:expr, $one:expr, |$place:ident, $scratch:ident, $count:ident| $body:block) => {
        for outer in 0..$tile.outer {
            let mut row_place = outer * $tile.outer_stride;
            let mut row_scratch = outer * $tile.scratch_outer;
            for row in 0..$tile.rows {
                if $one {
                    let ($place, $scratch, $count) = (row_place, row_scratch, $lanes);
                    $body
                } else {
                    let width = if row + 1 == $tile.rows { $tile.last_width } else { $tile.width };
                    for column in (0..width).step_by($lanes) {
                        let ($place, $scratch) = (row_place + column, row_scratch + column);
                        let $count = width - column;
                        $body
                    }
                }
                row_place += $tile.row_stride;
                row_scratch += $tile.scratch_row;
            }
        }
    };
}

#[inline(always)]
pub(super) unsafe fn scatter<V: Vector>(s: &Scatter) {
    // SAFETY: handed on. The match is outside of the loops, so each kind has loops of its own.
    unsafe {
        match s.nonlinearity {
            _ if s.activation.is_null() => scatter_with::<V, false>(s, Nonlinearity::None),
            Nonlinearity::None => scatter_with::<V, false>(s, Nonlinearity::None),
            Nonlinearity::Relu => scatter_with::<V, true>(s, Nonlinearity::Relu),
            Nonlinearity::Softsign => scatter_with::<V, true>(s, Nonlinearity::Softsign),
            Nonlinearity::Tanh => scatter_with::<V, true>(s, Nonlinearity::Tanh),
        }
    }
}

#[inline(always)]
unsafe fn scatter_with<V: Vector, const ACTIVATED: bool>(s: &Scatter, nonlinearity: Nonlinearity) {
    // SAFETY: handed on.
    unsafe {
        match (s.tile.is_full(V::LANES), s.skip.is_null()) {
            (true, true) => scatter_each::<V, ACTIVATED, false, true>(s, nonlinearity),
            (true, false) => scatter_each::<V, ACTIVATED, true, true>(s, nonlinearity),
            (false, true) => scatter_each::<V, ACTIVATED, false, false>(s, nonlinearity),
            (false, false) => scatter_each::<V, ACTIVATED, true, false>(s, nonlinearity),
        }
    }
}

#[inline(always)]
unsafe fn scatter_each<V: Vector, const ACTIVATED: bool, const SKIP: bool, const FULL: bool>(
    s: &Scatter,
    nonlinearity: Nonlinearity,
) {
    each_vector!(s.tile, V::LANES, FULL, |place, scratch, count| {
        // SAFETY: by the caller's promise.
        unsafe {
            let mut v: V = load_some(s.from.add(scratch), count);
            if ACTIVATED {
                v = v.mul(derivative(nonlinearity, load_some(s.activation.add(scratch), count)));
            }
            if SKIP {
                v = v.add(load_some(s.skip.add(place), count));
            }
            store_some(v, s.to.add(place), count);
        }
    });
}

#[inline(always)]
pub(super) unsafe fn gather<V: Vector>(g: &Gather) {
    // SAFETY: handed on, as in `scatter`.
    unsafe {
        match g.nonlinearity {
            Nonlinearity::None => gather_with::<V>(g, Nonlinearity::None),
            Nonlinearity::Relu => gather_with::<V>(g, Nonlinearity::Relu),
            Nonlinearity::Softsign => gather_with::<V>(g, Nonlinearity::Softsign),
            Nonlinearity::Tanh => gather_with::<V>(g, Nonlinearity::Tanh),
        }
    }
}

#[inline(always)]
unsafe fn gather_with<V: Vector>(g: &Gather, nonlinearity: Nonlinearity) {
    // SAFETY: handed on.
    unsafe {
        match (g.tile.is_full(V::LANES), !g.added.is_null()) {
            (true, false) => gather_each::<V, false, true>(g, nonlinearity),
            (true, true) => gather_each::<V, true, true>(g, nonlinearity),
            (false, false) => gather_each::<V, false, false>(g, nonlinearity),
            (false, true) => gather_each::<V, true, false>(g, nonlinearity),
        }
    }
}

#[inline(always)]
unsafe fn gather_each<V: Vector, const ADD: bool, const FULL: bool>(g: &Gather, nonlinearity: Nonlinearity) {
    each_vector!(g.tile, V::LANES, FULL, |place, scratch, count| {
        // SAFETY: by the caller's promise.
        unsafe {
            if FULL {
                V::prefetch(g.from.wrapping_add(place + g.next));
            }
            let mut v: V = activate(nonlinearity, load_some(g.from.add(place), count));
            if ADD {
                v = v.add(V::load(g.added.add(scratch)));
            }
            v.store(g.to.add(scratch));
        }
    });
}

#[inline(always)]
pub(super) unsafe fn sum_rows<V: Vector>(p: &SumRows) {
    for column in (0..p.columns).step_by(V::LANES) {
        let count = p.columns - column;
        // SAFETY: by the caller's promise.
        unsafe {
            let out = p.out.add(column);
            let mut sum = if p.add { load_some(out, count) } else { V::splat(0.0) };
            for row in 0..p.rows {
                sum = sum.add(load_some(p.from.add(row * p.row + column), count));
            }
            store_some(sum, out, count);
        }
    }
}

/// Fills the vectors.
#[inline(always)]
pub(super) unsafe fn repeat<V: Vector>(p: &Repeated<'_>, from: *const f32, to: *mut f32) {
    for (place, vector) in p.places() {
        // SAFETY: by the caller's promise.
        unsafe {
            V::permuted(from.add(place), p.fold.neighbours, &p.fold.which).store(to.add(vector * LINE))
        };
    }
}

/// Fills the neighbours with the sums of the elements that each of them is.
#[inline(always)]
pub(super) unsafe fn sum_repeated<V: Vector>(p: &Repeated<'_>, from: *const f32, to: *mut f32) {
    for (place, vector) in p.places() {
        // SAFETY: by the caller's promise.
        unsafe {
            let vector = from.add(vector * LINE);
            let mut sum = V::splat(0.0);
            for turn in &p.fold.turns {
                sum = sum.add(V::permuted(vector, LINE, turn));
            }
            sum.store_first(to.add(place), p.fold.neighbours);
        }
    }
}

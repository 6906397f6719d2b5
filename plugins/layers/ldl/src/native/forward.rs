//! One unit of a sub-layer's forward pass.
//!
//! `unsafe` is allowed in this file, for kernels on raw pointers: [`Forward`] says where its tensors lie, and the
//! [`Mix`] where a unit's numbers lie in them. Units write disjoint places.
#![allow(unsafe_code)]
use super::dispatch::Kernels;
use super::geometry::{Kind, Mix};
use super::kernels::{Gather, Scatter, Tile, Transpose};
use super::packing::Packing;
use super::prefetch::Next;
use super::products::{Derivative, LanesProduct, Product, Start};
use super::scratch::{Arena, rounded};
use super::simd::LINE;
use efference_sdk::Nonlinearity;
use std::ops::Range;
use std::ptr;

/// The tensors of one sub-layer. Samples lie one after the other, each as large as [`Mix`] and geometry say.
#[derive(Clone, Copy)]
pub(super) struct Forward {
    pub(super) samples: usize,
    /// Numbers of a sample before and after.
    pub(super) size_in: usize,
    pub(super) size_out: usize,
    /// What the nonlinearity is applied to, and what a skip connection adds.
    pub(super) input: *const f32,
    pub(super) weight: *const f32,
    /// Null: none.
    pub(super) bias: *const f32,
    pub(super) output: *mut f32,
    pub(super) nonlinearity: Nonlinearity,
    /// Whether the layer is larger than the caches, so that what comes next is to be prefetched.
    pub(super) ahead: bool,
}

// SAFETY: plain pointers; whoever uses them promises disjoint places.
unsafe impl Send for Forward {}
// SAFETY: as above.
unsafe impl Sync for Forward {}

impl Forward {
    /// What is added to the results that belong at `place`.
    fn skip(&self, mix: &Mix, place: usize) -> *const f32 {
        // With a skip connection, both sides have the same shape.
        if mix.skip { self.input.wrapping_add(place) } else { ptr::null() }
    }

    /// What comes after one of the last two dims' products, of rows that begin at `to`; `last`: its matrix is used no more.
    fn next(&self, mix: &Mix, matrix: usize, rows: usize, to: usize, last: bool) -> Next {
        if !self.ahead {
            return Next::NOTHING;
        }
        let read = matrix_ahead(self.weight, mix, matrix, rows);
        Next::lines(if last { read } else { ptr::null() }, self.output.wrapping_add(to + mix.block_out))
    }

    fn start(&self, place: usize, start: impl FnOnce(*const f32) -> Start) -> Start {
        if self.bias.is_null() { Start::Zero } else { start(self.bias.wrapping_add(place)) }
    }
}

/// Where a matrix lies that is used soon: a single row takes less time than it takes to bring the next matrix.
pub(super) fn matrix_ahead(weight: *const f32, mix: &Mix, matrix: usize, rows: usize) -> *const f32 {
    let ahead = if rows == 1 { 4 } else { 1 };
    weight.wrapping_add((matrix + ahead) * mix.ins * mix.outs)
}

/// How a unit of [`Kind::Lanes`] lies in the tensor, for `outer` places along the mixed dim.
pub(super) fn lanes_tile(mix: &Mix, outer: usize, first: usize, lanes: usize) -> Tile {
    let (rows, width, last_width, row_stride) = if let Some(fold) = &mix.fold {
        let all = fold.places * mix.s * mix.l;
        let rows = all.div_ceil(lanes);
        (rows, lanes, all - (rows - 1) * lanes, lanes)
    } else {
        let width = (mix.l - first).min(lanes);
        (mix.s, width, width, mix.l)
    };
    Tile {
        outer,
        rows,
        width,
        last_width,
        outer_stride: mix.inner(),
        row_stride,
        scratch_outer: rows * lanes,
        scratch_row: lanes,
    }
}

/// A tile that lies in the tensor as one matrix.
pub(super) fn matrix_tile(rows: usize, columns: usize, row_stride: usize, scratch_row: usize) -> Tile {
    Tile {
        outer: 1,
        rows,
        width: columns,
        last_width: columns,
        outer_stride: 0,
        row_stride,
        scratch_outer: 0,
        scratch_row,
    }
}

/// How many elements of a tile are worked on at once: with the weights of a few columns, they fit into the innermost cache.
const CHUNK: usize = 4096;

impl Tile {
    /// The rows from `first` on, so many that they make up a chunk, with where they begin in the tensor.
    pub(super) fn chunk(&self, first: usize) -> (Tile, usize) {
        let most = (CHUNK / (self.outer * self.scratch_row)).max(2);
        let rows = (self.rows - first).min(most);
        let last_width = if first + rows == self.rows { self.last_width } else { self.width };
        let scratch_outer = rows * self.scratch_row;
        (Tile { rows, last_width, scratch_outer, ..*self }, first * self.row_stride)
    }

    /// Whether a product of it has blocks enough to prefetch another such tile.
    pub(super) fn is_prefetched_by_products(&self) -> bool {
        self.rows >= 4 && self.is_full(LINE)
    }

    /// The same tile as it lies in scratch memory.
    pub(super) fn in_scratch(&self) -> Tile {
        Tile { outer_stride: self.scratch_outer, row_stride: self.scratch_row, ..*self }
    }

    /// The same tile with other places along the mixed dim, and another distance between them.
    pub(super) fn with_outer(&self, outer: usize, outer_stride: usize) -> Tile {
        Tile { outer, outer_stride, ..*self }
    }
}

/// Numbers of scratch memory that [`forward`] takes.
pub(super) fn scratch_forward(mix: &Mix, samples: usize, lanes: usize) -> usize {
    let padded = |n: usize| n.next_multiple_of(lanes);
    match mix.kind {
        Kind::Lanes => {
            let tile = lanes_tile(mix, mix.ins, 0, lanes).chunk(0).0;
            rounded(mix.ins * mix.outs * lanes)
                + rounded(mix.outs * lanes)
                + rounded(mix.ins * tile.rows * lanes)
        }
        Kind::Apart => {
            rounded(samples * mix.ins * lanes)
                + rounded(lanes * samples * padded(mix.outs))
                + rounded(mix.outs * lanes)
        }
        Kind::Columns => rounded(mix.ins * padded(mix.l)),
        Kind::Rows => rounded(mix.s.max(samples) * padded(mix.ins)),
    }
}

/// Runs a unit of a block, for the places `outs` along the mixed dim; [`Kind::Columns`] and [`Kind::Rows`] always
/// compute all.
///
/// # Safety
/// The pointers of `f` are those of tensors as large as `mix` says, alive; nobody else touches this unit's part of
/// what is written. The processor is the one that `K` is for.
pub(super) unsafe fn forward<K: Kernels>(
    mix: &Mix,
    f: &Forward,
    prefix: usize,
    unit: usize,
    outs: Range<usize>,
    arena: &mut Arena<'_>,
) {
    let (mid, s, first) = mix.unit(unit, LINE);
    // SAFETY: handed on.
    unsafe {
        match mix.kind {
            Kind::Lanes => lanes::<K>(mix, f, (prefix, mid, first), outs, arena),
            Kind::Apart => apart::<K>(mix, f, (prefix, mid, s, first), outs, arena),
            Kind::Columns => columns::<K>(mix, f, prefix, arena),
            Kind::Rows => rows::<K>(mix, f, prefix, arena),
        }
    }
}

unsafe fn lanes<K: Kernels>(
    mix: &Mix,
    f: &Forward,
    (prefix, mid, first): (usize, usize, usize),
    outs: Range<usize>,
    arena: &mut Arena<'_>,
) {
    let (lanes, ins) = (LINE, mix.ins);
    let tile = lanes_tile(mix, ins, first, lanes);
    let input = arena.take(ins * tile.chunk(0).0.rows * lanes);
    let place = mid * mix.s * mix.l + first;
    // SAFETY: the pieces are as large as the tiles; places by the caller's promise.
    unsafe {
        let (weight, bias, row_of_weights) = if mix.l_last {
            let place = |rows| mix.l_last_place(prefix, mid, rows * mix.outs) + outs.start * lanes;
            (f.weight.add(place(ins)), f.bias.wrapping_add(place(1)), mix.outs * lanes)
        } else {
            let (weight, bias) = (arena.take(ins * outs.len() * lanes), arena.take(outs.len() * lanes));
            for (rows, from, to) in [(ins, f.weight, weight), (1, f.bias, bias)] {
                if !from.is_null() {
                    Packing::new(mix, (prefix, mid, first), rows).pack::<K>(from, to, outs.clone());
                }
            }
            (weight.cast_const(), bias.cast_const(), outs.len() * lanes)
        };
        for sample in 0..f.samples {
            let mut row = 0;
            while row < tile.rows {
                let (chunk, at) = tile.chunk(row);
                row += chunk.rows;
                let from = sample * f.size_in + prefix * mix.block_in + place + at;
                let to = sample * f.size_out + prefix * mix.block_out + outs.start * mix.inner() + place + at;
                K::gather(&Gather {
                    tile: chunk,
                    from: f.input.add(from),
                    to: input,
                    added: ptr::null(),
                    nonlinearity: f.nonlinearity,
                    next: mix.to_next_tile(f.samples, f.size_in, mix.block_in),
                });
                let ends = sample + 1 == f.samples && row == tile.rows;
                // Of some of the columns only a single row, which goes through them as they lie, prefetches the right ones.
                let reads_ahead =
                    f.ahead && mix.l_last && ends && (outs.len() == mix.outs || chunk.rows == 1);
                let mut next = Next::NOTHING;
                if f.ahead {
                    let to = to + mix.to_next_tile(f.samples, f.size_out, mix.block_out);
                    (next.other, next.other_row) = (f.output.wrapping_add(to), mix.inner());
                }
                if reads_ahead {
                    next.one = weight.wrapping_add(ins * mix.outs * lanes);
                }
                // Without a nonlinearity, what a skip connection adds is in scratch memory already.
                let skip = match f.skip(mix, to) {
                    skip if skip.is_null() => (skip, 0, 0),
                    _ if f.nonlinearity == Nonlinearity::None => {
                        (input.add(outs.start * chunk.scratch_outer).cast_const(), lanes, chunk.scratch_outer)
                    }
                    skip => (skip, chunk.row_stride, mix.inner()),
                };
                K::lanes_product(&LanesProduct {
                    a: input,
                    a_row: lanes,
                    a_k: chunk.scratch_outer,
                    b: weight,
                    b_k: row_of_weights,
                    b_column: lanes,
                    out: f.output.add(to),
                    out_row: chunk.row_stride,
                    out_column: mix.inner(),
                    rows: chunk.rows,
                    columns: outs.len(),
                    k: ins,
                    start: f.start(0, |_| Start::Columns(bias)),
                    derivative: Derivative::NONE,
                    skip: skip.0,
                    skip_row: skip.1,
                    skip_column: skip.2,
                    next,
                    reads_ahead,
                    streams: false,
                    width: chunk.width,
                    last_width: chunk.last_width,
                });
            }
        }
    }
}

unsafe fn apart<K: Kernels>(
    mix: &Mix,
    f: &Forward,
    (prefix, mid, s, first): (usize, usize, usize, usize),
    outs: Range<usize>,
    arena: &mut Arena<'_>,
) {
    let (lanes, ins) = (LINE, mix.ins);
    let padded = outs.len().next_multiple_of(lanes);
    let count = (mix.l - first).min(lanes);
    let input = arena.take(f.samples * ins * lanes);
    let rows = arena.take(lanes * f.samples * padded);
    let output = arena.take(outs.len() * lanes);
    let place = (mid * mix.s + s) * mix.l + first;
    // SAFETY: the pieces are as large as the tiles; places by the caller's promise.
    unsafe {
        for sample in 0..f.samples {
            K::gather(&Gather {
                tile: matrix_tile(ins, count, mix.inner(), lanes),
                from: f.input.add(sample * f.size_in + prefix * mix.block_in + place),
                to: input.add(sample * ins * lanes),
                added: ptr::null(),
                nonlinearity: f.nonlinearity,
                next: 0,
            });
        }
        for lane in 0..count {
            let matrix = mix.matrix(prefix, mid, s, first + lane);
            K::product(&Product {
                a: input.add(lane),
                a_row: ins * lanes,
                a_k: lanes,
                b: f.weight.add(matrix * ins * mix.outs + outs.start),
                b_k: mix.outs,
                out: rows.add(lane * f.samples * padded),
                out_row: padded,
                rows: f.samples,
                columns: outs.len(),
                k: ins,
                start: f.start(matrix * mix.outs + outs.start, Start::Columns),
                derivative: Derivative::NONE,
                skip: ptr::null(),
                next: Next::NOTHING,
                streams: false,
            });
        }
        for sample in 0..f.samples {
            K::transpose(&Transpose {
                from: rows.add(sample * padded),
                from_row: f.samples * padded,
                rows: count,
                columns: outs.len(),
                to: output,
                to_row: lanes,
            });
            let to = sample * f.size_out + prefix * mix.block_out + outs.start * mix.inner() + place;
            K::scatter(&Scatter {
                tile: matrix_tile(outs.len(), count, mix.inner(), lanes),
                from: output,
                to: f.output.add(to),
                skip: f.skip(mix, to),
                activation: ptr::null(),
                nonlinearity: Nonlinearity::None,
            });
        }
    }
}

/// The nonlinearity of a matrix of numbers, with the distance between its rows; or the matrix itself, if there is no
/// nonlinearity.
///
/// # Safety
/// See [`super::kernels`]. There is room at `scratch` for rows padded to whole lines.
pub(super) unsafe fn activated<K: Kernels>(
    nonlinearity: Nonlinearity,
    from: *const f32,
    (rows, columns, row): (usize, usize, usize),
    scratch: *mut f32,
) -> (*const f32, usize) {
    if nonlinearity == Nonlinearity::None {
        return (from, row);
    }
    let padded = columns.next_multiple_of(LINE);
    let tile = matrix_tile(rows, columns, row, padded);
    // SAFETY: by the caller's promise.
    unsafe { K::gather(&Gather { tile, from, to: scratch, added: ptr::null(), nonlinearity, next: 0 }) };
    (scratch, padded)
}

unsafe fn columns<K: Kernels>(mix: &Mix, f: &Forward, prefix: usize, arena: &mut Arena<'_>) {
    let (ins, outs, l) = (mix.ins, mix.outs, mix.l);
    let input = arena.take(ins * l.next_multiple_of(LINE));
    let matrix = mix.matrix(prefix, 0, 0, 0);
    // SAFETY: the piece is as large as the tile; places by the caller's promise.
    unsafe {
        for sample in 0..f.samples {
            let from = f.input.add(sample * f.size_in + prefix * mix.block_in);
            let (b, b_k) = activated::<K>(f.nonlinearity, from, (ins, l, l), input);
            let to = sample * f.size_out + prefix * mix.block_out;
            K::product(&Product {
                a: f.weight.add(matrix * ins * outs),
                a_row: 1,
                a_k: outs,
                b,
                b_k,
                out: f.output.add(to),
                out_row: l,
                rows: outs,
                columns: l,
                k: ins,
                start: f.start(matrix * outs, Start::Rows),
                derivative: Derivative::NONE,
                skip: f.skip(mix, to),
                next: f.next(mix, matrix, outs, to, sample + 1 == f.samples),
                streams: false,
            });
        }
    }
}

/// How the rows that one matrix serves lie: those of one sample, or the same one of all samples.
pub(super) struct RowGroups {
    /// How many groups, the distance between them before and after, and how many matrices further each one is.
    pub(super) groups: usize,
    pub(super) group_in: usize,
    pub(super) group_out: usize,
    pub(super) matrix_step: usize,
    /// Rows of a group, and the distance between them.
    pub(super) rows: usize,
    pub(super) row_in: usize,
    pub(super) row_out: usize,
}

impl RowGroups {
    pub(super) fn new(mix: &Mix, samples: usize, size_in: usize, size_out: usize) -> Self {
        let (ins, outs) = (mix.ins, mix.outs);
        let by_sample = mix.s_step == 0 && mix.s > 1;
        let (groups, group_in, group_out) =
            if by_sample { (samples, size_in, size_out) } else { (mix.s, ins, outs) };
        let (rows, row_in, row_out) =
            if by_sample { (mix.s, ins, outs) } else { (samples, size_in, size_out) };
        RowGroups { groups, group_in, group_out, matrix_step: mix.s_step, rows, row_in, row_out }
    }
}

unsafe fn rows<K: Kernels>(mix: &Mix, f: &Forward, prefix: usize, arena: &mut Arena<'_>) {
    let (ins, outs) = (mix.ins, mix.outs);
    let g = RowGroups::new(mix, f.samples, f.size_in, f.size_out);
    let input = arena.take(g.rows * ins.next_multiple_of(LINE));
    // SAFETY: the piece is as large as the tile; places by the caller's promise.
    unsafe {
        for group in 0..g.groups {
            let from = f.input.add(prefix * mix.block_in + group * g.group_in);
            let (a, a_row) = activated::<K>(f.nonlinearity, from, (g.rows, ins, g.row_in), input);
            let matrix = mix.matrix(prefix, 0, 0, 0) + group * g.matrix_step;
            let to = prefix * mix.block_out + group * g.group_out;
            K::product(&Product {
                a,
                a_row,
                a_k: 1,
                b: f.weight.add(matrix * ins * outs),
                b_k: outs,
                out: f.output.add(to),
                out_row: g.row_out,
                rows: g.rows,
                columns: outs,
                k: ins,
                start: f.start(matrix * outs, Start::Columns),
                derivative: Derivative::NONE,
                skip: f.skip(mix, to),
                next: f.next(mix, matrix, g.rows, to, g.matrix_step > 0 || group + 1 == g.groups),
                streams: false,
            });
        }
    }
}

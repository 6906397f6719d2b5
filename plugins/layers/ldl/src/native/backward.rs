//! One unit of a sub-layer's backward pass; those of the last two dims are in [`super::leaf`].
//!
//! `unsafe` is allowed in this file, as in [`super::forward`]. About gradient paths see [`super::gradient`].
#![allow(unsafe_code)]
use super::dispatch::Kernels;
use super::forward::{lanes_tile, matrix_tile};
use super::geometry::{Kind, Mix};
use super::gradient::{Backward, Contraction, add_if, copy, parameters, sum_of_two};
use super::kernels::{Gather, SumRows, Transpose};
use super::leaf::{columns, rows};
use super::packing::Packing;
use super::prefetch::Next;
use super::products::{Derivative, LanesProduct, Product, Start};
use super::scratch::{Arena, rounded};
use super::simd::LINE;
use efference_sdk::Nonlinearity;
use std::ptr;

/// Elements of scratch memory that [`backward`] takes.
pub(super) fn scratch_backward(mix: &Mix, samples: usize, paths: usize, lanes: usize) -> usize {
    let padded = |n: usize| n.next_multiple_of(lanes);
    let (ins, outs) = (mix.ins, mix.outs);
    let rows = samples * paths;
    match mix.kind {
        Kind::Lanes => {
            let most = lanes_tile(mix, ins.max(outs), 0, lanes).chunk(0).0;
            2 * (rounded(ins * outs * lanes) + rounded(outs * lanes))
                + rounded(ins * most.rows * lanes)
                + (1 + paths) * rounded(outs * most.rows * lanes)
        }
        Kind::Apart => {
            rounded(samples * ins * lanes)
                + rounded(lanes * rows * padded(outs))
                + rounded(lanes * samples * padded(outs))
                + rounded(outs * padded(ins))
                + rounded(lanes * rows * padded(ins))
                + rounded(ins * lanes)
        }
        Kind::Columns => {
            2 * rounded(ins * padded(mix.l)) + rounded(outs * padded(mix.l)) + rounded(mix.l * padded(outs))
        }
        Kind::Rows => {
            let most = mix.s.max(samples);
            2 * rounded(most * padded(ins)) + rounded(most * padded(outs)) + rounded(outs * padded(ins))
        }
    }
}

/// Runs a unit of a block.
///
/// # Safety
/// As for [`super::forward::forward`].
pub(super) unsafe fn backward<K: Kernels>(
    mix: &Mix,
    b: &Backward<'_>,
    prefix: usize,
    unit: usize,
    arena: &mut Arena<'_>,
) {
    let (mid, s, first) = mix.unit(unit, LINE);
    // SAFETY: handed on.
    unsafe {
        match mix.kind {
            Kind::Lanes => lanes::<K>(mix, b, (prefix, mid, first), arena),
            Kind::Apart => apart::<K>(mix, b, (prefix, mid, s, first), arena),
            Kind::Columns => columns::<K>(mix, b, prefix, arena),
            Kind::Rows => rows::<K>(mix, b, prefix, arena),
        }
    }
}

unsafe fn lanes<K: Kernels>(
    mix: &Mix,
    b: &Backward<'_>,
    (prefix, mid, first): (usize, usize, usize),
    arena: &mut Arena<'_>,
) {
    let (lanes, ins, outs) = (LINE, mix.ins, mix.outs);
    let matrices = ins * outs * lanes;
    // Both sides are cut into the same rows.
    let tile = lanes_tile(mix, ins.max(outs), first, lanes);
    let most = tile.chunk(0).0.rows * lanes;
    let (weight, weight_gradient, bias_gradient) = if mix.l_last {
        let place = |rows| mix.l_last_place(prefix, mid, rows * outs);
        (
            b.weight.wrapping_add(place(ins)),
            b.weight_gradient.wrapping_add(place(ins)),
            b.bias_gradient.wrapping_add(place(1)),
        )
    } else {
        let (weight, weight_gradient) = (arena.take(matrices), arena.take(matrices));
        if b.input_paths > 0 {
            // SAFETY: the piece is as large as the matrices; places by the caller's promise.
            unsafe {
                Packing::new(mix, (prefix, mid, first), ins).pack::<K>(b.weight, weight, 0..outs);
            }
        }
        (weight.cast_const(), weight_gradient, arena.take(outs * lanes))
    };
    let input = arena.take(ins * most);
    let gradients = arena.take(b.paths.len() * outs * most);
    let gradient_of = |path: usize| gradients.wrapping_add(path * outs * most);
    let scratch = arena.take(outs * most);
    let place = mid * mix.s * mix.l + first;
    let summed = b.summed;
    let needed = b.input_paths > 0;
    // SAFETY: the pieces are as large as the tiles; places by the caller's promise.
    unsafe {
        for sample in 0..b.samples {
            let mut row = 0;
            while row < tile.rows {
                let add = add_if(sample + row > 0);
                let (chunk, at) = tile.chunk(row);
                row += chunk.rows;
                let (chunk_in, chunk_out) =
                    (chunk.with_outer(ins, mix.inner()), chunk.with_outer(outs, mix.inner()));
                let at_in = prefix * mix.block_in + place + at;
                let at_out = prefix * mix.block_out + place + at;
                let of_row = |row: usize| b.gradient_out.wrapping_add(row * b.size_out + at_out);
                let to_next_out = mix.to_next_tile(b.samples, b.size_out, mix.block_out);
                let to_next_in = mix.to_next_tile(b.samples, b.size_in, mix.block_in);
                let by_product = b.ahead && chunk.is_prefetched_by_products();
                let next_out = if by_product { 0 } else { to_next_out };
                // The matrices of the next unit follow those of this one.
                let ahead = b.ahead && mix.l_last && sample + 1 == b.samples && row == tile.rows;
                if summed > 0 || (needed && b.nonlinearity != Nonlinearity::None) {
                    K::gather(&Gather {
                        tile: chunk_in,
                        from: b.input.add(sample * b.size_in + at_in),
                        to: input,
                        added: ptr::null(),
                        nonlinearity: b.nonlinearity,
                        next: if by_product && !b.weight_gradient.is_null() { 0 } else { to_next_in },
                    });
                }
                for path in 0..b.input_paths {
                    let from = of_row(path * b.samples + sample);
                    sum_of_two::<K>(chunk_out, from, ptr::null(), gradient_of(path), next_out);
                }
                if summed > 0 {
                    let mut sum = ptr::null();
                    b.each_reaching(sample, |row, first| {
                        let path = row / b.samples;
                        let (from, tile, next) = match path < b.input_paths {
                            true => (gradient_of(path).cast_const(), chunk_out.in_scratch(), 0),
                            false => (of_row(row), chunk_out, next_out),
                        };
                        if first && path < b.input_paths {
                            sum = from;
                        } else {
                            sum_of_two::<K>(tile, from, sum, scratch, next);
                            sum = scratch;
                        }
                    });
                    if !b.weight_gradient.is_null() {
                        let mut next = Next::NOTHING;
                        if by_product {
                            next.one = b.input.wrapping_add(sample * b.size_in + at_in + to_next_in);
                            next.one_row = mix.inner();
                        }
                        if ahead && !b.streams {
                            next.other = weight_gradient.wrapping_add(matrices);
                        }
                        K::lanes_product(&LanesProduct {
                            a: input,
                            a_row: chunk.scratch_outer,
                            a_k: lanes,
                            b: sum,
                            b_k: lanes,
                            b_column: chunk.scratch_outer,
                            out: weight_gradient,
                            out_row: outs * lanes,
                            out_column: lanes,
                            rows: ins,
                            columns: outs,
                            k: chunk.rows,
                            start: add,
                            derivative: Derivative::NONE,
                            skip: ptr::null(),
                            skip_row: 0,
                            skip_column: 0,
                            next,
                            reads_ahead: false,
                            streams: b.streams && b.samples == 1 && tile.rows == 1 && mix.l_last,
                            width: lanes,
                            last_width: lanes,
                        });
                    }
                    if !b.bias_gradient.is_null() {
                        for out in 0..outs {
                            K::sum_rows(&SumRows {
                                from: sum.add(out * chunk.scratch_outer),
                                row: lanes,
                                rows: chunk.rows,
                                columns: lanes,
                                out: bias_gradient.add(out * lanes),
                                add: matches!(add, Start::Output),
                            });
                        }
                    }
                }
                for path in 0..b.input_paths {
                    let gradient = gradient_of(path).cast_const();
                    let to = (path * b.samples + sample) * b.size_in + at_in;
                    let mut next = Next::NOTHING;
                    if ahead && path == 0 {
                        next.one = weight.wrapping_add(matrices);
                    }
                    if by_product {
                        next.other = of_row(path * b.samples + sample).wrapping_add(to_next_out);
                        next.other_row = mix.inner();
                    }
                    K::lanes_product(&LanesProduct {
                        a: gradient,
                        a_row: lanes,
                        a_k: chunk.scratch_outer,
                        b: weight,
                        b_k: lanes,
                        b_column: outs * lanes,
                        out: b.gradient_in.add(to),
                        out_row: chunk.row_stride,
                        out_column: mix.inner(),
                        rows: chunk.rows,
                        columns: ins,
                        k: outs,
                        start: Start::Zero,
                        derivative: b.derivative(input, lanes, chunk.scratch_outer),
                        skip: if mix.skip { gradient } else { ptr::null() },
                        skip_row: lanes,
                        skip_column: chunk.scratch_outer,
                        next,
                        reads_ahead: ahead && path == 0,
                        streams: false,
                        width: chunk.width,
                        last_width: chunk.last_width,
                    });
                }
            }
        }
        if summed > 0 && !mix.l_last {
            for (packed, to, rows) in
                [(weight_gradient, b.weight_gradient, ins), (bias_gradient, b.bias_gradient, 1)]
            {
                if !to.is_null() {
                    Packing::new(mix, (prefix, mid, first), rows).unpack::<K>(packed, to);
                }
            }
        }
    }
}

unsafe fn apart<K: Kernels>(
    mix: &Mix,
    b: &Backward<'_>,
    (prefix, mid, s, first): (usize, usize, usize, usize),
    arena: &mut Arena<'_>,
) {
    let (lanes, ins, outs) = (LINE, mix.ins, mix.outs);
    let (padded_in, padded_out) = (ins.next_multiple_of(lanes), outs.next_multiple_of(lanes));
    let count = (mix.l - first).min(lanes);
    let (samples, rows, rows_in) = (b.samples, b.rows(), b.samples * b.input_paths);
    let input = arena.take(samples * ins * lanes);
    // Rows of one l after those of another: `[l][row]` and `[l][sample]`.
    let gradient = arena.take(lanes * rows * padded_out);
    let sum = arena.take(lanes * samples * padded_out);
    let transposed = arena.take(outs * padded_in);
    let result = arena.take(lanes * rows * padded_in);
    let output = arena.take(ins * lanes);
    let place = (mid * mix.s + s) * mix.l + first;
    let (at_in, at_out) = (prefix * mix.block_in + place, prefix * mix.block_out + place);
    let summed = b.summed;
    let needed = b.input_paths > 0;
    // SAFETY: the pieces are as large as the tiles; places by the caller's promise.
    unsafe {
        for sample in 0..samples {
            K::gather(&Gather {
                tile: matrix_tile(ins, count, mix.inner(), lanes),
                from: b.input.add(sample * b.size_in + at_in),
                to: input.add(sample * ins * lanes),
                added: ptr::null(),
                nonlinearity: b.nonlinearity,
                next: 0,
            });
        }
        for row in 0..rows {
            K::transpose(&Transpose {
                from: b.gradient_out.add(row * b.size_out + at_out),
                from_row: mix.inner(),
                rows: outs,
                columns: count,
                to: gradient.add(row * padded_out),
                to_row: rows * padded_out,
            });
        }
        for lane in 0..count {
            let matrix = mix.matrix(prefix, mid, s, first + lane);
            if summed > 0 {
                let sum = sum.add(lane * samples * padded_out);
                for sample in 0..samples {
                    b.each_reaching(sample, |row, first| {
                        let from = gradient.add((lane * rows + row) * padded_out);
                        copy::<K>(matrix_tile(1, outs, 0, 0), from, sum.add(sample * padded_out), !first);
                    });
                }
                parameters::<K>(
                    mix,
                    b,
                    matrix,
                    &Contraction {
                        input: input.add(lane),
                        input_row: lanes,
                        input_k: ins * lanes,
                        sum,
                        sum_k: padded_out,
                        k: samples,
                        next_input: ptr::null(),
                        add: false,
                    },
                );
            }
            if needed {
                K::transpose(&Transpose {
                    from: b.weight.add(matrix * ins * outs),
                    from_row: outs,
                    rows: ins,
                    columns: outs,
                    to: transposed,
                    to_row: padded_in,
                });
                K::product(&Product {
                    a: gradient.add(lane * rows * padded_out),
                    a_row: padded_out,
                    a_k: 1,
                    b: transposed,
                    b_k: padded_in,
                    out: result.add(lane * rows * padded_in),
                    out_row: padded_in,
                    rows: rows_in,
                    columns: ins,
                    k: outs,
                    start: Start::Zero,
                    derivative: Derivative::NONE,
                    skip: ptr::null(),
                    next: Next::NOTHING,
                    streams: false,
                });
            }
        }
        for row in 0..rows_in {
            K::transpose(&Transpose {
                from: result.add(row * padded_in),
                from_row: rows * padded_in,
                rows: count,
                columns: ins,
                to: output,
                to_row: lanes,
            });
            let to = row * b.size_in + at_in;
            let activation = input.add(row % samples * ins * lanes).cast_const();
            let tile = matrix_tile(ins, count, mix.inner(), lanes);
            K::scatter(&b.end(mix, tile, output, activation, to));
        }
    }
}

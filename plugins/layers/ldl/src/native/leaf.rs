//! The backward pass of the last two dims, which are mixed a leaf at a time.
//!
//! `unsafe` is allowed in this file, as in [`super::forward`].
#![allow(unsafe_code)]
use super::dispatch::Kernels;
use super::forward::{RowGroups, activated, matrix_ahead, matrix_tile};
use super::geometry::Mix;
use super::gradient::{Backward, Contraction, parameters};
use super::kernels::Transpose;
use super::prefetch::Next;
use super::products::{Product, Start};
use super::scratch::Arena;
use super::simd::LINE;
use std::ptr;

pub(super) unsafe fn columns<K: Kernels>(mix: &Mix, b: &Backward<'_>, prefix: usize, arena: &mut Arena<'_>) {
    let (ins, outs, l) = (mix.ins, mix.outs, mix.l);
    let (padded_l, padded_out) = (l.next_multiple_of(LINE), outs.next_multiple_of(LINE));
    let input = arena.take(ins * padded_l);
    let sum = arena.take(outs * padded_l);
    let transposed = arena.take(l * padded_out);
    let result = arena.take(ins * padded_l);
    let (at_in, at_out) = (prefix * mix.block_in, prefix * mix.block_out);
    let matrix = mix.matrix(prefix, 0, 0, 0);
    let summed = b.summed;
    let tile = matrix_tile(outs, l, l, padded_l);
    let of_row = |row: usize| b.gradient_out.wrapping_add(row * b.size_out + at_out);
    // SAFETY: the pieces are as large as the tiles; places by the caller's promise.
    unsafe {
        for sample in 0..b.samples {
            let from_input = b.input.add(sample * b.size_in + at_in);
            let (activation, activation_row) = activated::<K>(b.nonlinearity, from_input, (ins, l, l), input);
            if summed > 0 {
                let (from, from_row) = b.sum::<K>(tile, sample, of_row, sum);
                let (to, to_row) = (transposed, padded_out);
                K::transpose(&Transpose { from, from_row, rows: outs, columns: l, to, to_row });
                parameters::<K>(
                    mix,
                    b,
                    matrix,
                    &Contraction {
                        input: activation,
                        input_row: activation_row,
                        input_k: 1,
                        sum: transposed,
                        sum_k: padded_out,
                        k: l,
                        add: sample > 0,
                        next_input: from_input.wrapping_add(mix.block_in),
                    },
                );
            }
            for path in 0..b.input_paths {
                let row = path * b.samples + sample;
                let to = row * b.size_in + at_in;
                let product = &Product {
                    a: b.weight.add(matrix * ins * outs),
                    a_row: outs,
                    a_k: 1,
                    b: of_row(row),
                    b_k: l,
                    out: b.gradient_in.add(to),
                    out_row: l,
                    rows: ins,
                    columns: l,
                    k: outs,
                    start: Start::Zero,
                    derivative: b.derivative(activation, activation_row, 1),
                    skip: b.skip(mix, to),
                    next: match b.ahead && path == 0 && sample + 1 == b.samples {
                        true => Next::lines(matrix_ahead(b.weight, mix, matrix, ins), ptr::null()),
                        false => Next::NOTHING,
                    },
                    streams: false,
                };
                b.product::<K>(product, result, padded_l);
            }
        }
    }
}

pub(super) unsafe fn rows<K: Kernels>(mix: &Mix, b: &Backward<'_>, prefix: usize, arena: &mut Arena<'_>) {
    let (ins, outs) = (mix.ins, mix.outs);
    let (padded_in, padded_out) = (ins.next_multiple_of(LINE), outs.next_multiple_of(LINE));
    let g = RowGroups::new(mix, b.samples, b.size_in, b.size_out);
    let input = arena.take(g.rows * padded_in);
    let sum = arena.take(g.rows * padded_out);
    let transposed = arena.take(outs * padded_in);
    let result = arena.take(g.rows * padded_in);
    let (at_in, at_out) = (prefix * mix.block_in, prefix * mix.block_out);
    let summed = b.summed;
    let needed = b.input_paths > 0;
    let tile = matrix_tile(g.rows, outs, g.row_out, padded_out);
    // Rows of one path come after those of another.
    let of_path = |path: usize, group: usize| {
        b.gradient_out.wrapping_add(path * b.samples * b.size_out + at_out + group * g.group_out)
    };
    // SAFETY: the pieces are as large as the tiles; places by the caller's promise.
    unsafe {
        for group in 0..g.groups {
            let matrix = mix.matrix(prefix, 0, 0, 0) + group * g.matrix_step;
            let from_input = b.input.add(at_in + group * g.group_in);
            let (activation, activation_row) =
                activated::<K>(b.nonlinearity, from_input, (g.rows, ins, g.row_in), input);
            if summed > 0 {
                let (from, from_row) = b.sum::<K>(tile, 0, |row| of_path(row / b.samples, group), sum);
                parameters::<K>(
                    mix,
                    b,
                    matrix,
                    &Contraction {
                        input: activation,
                        input_row: 1,
                        input_k: activation_row,
                        sum: from,
                        sum_k: from_row,
                        k: g.rows,
                        next_input: from_input.wrapping_add(mix.block_in),
                        add: group > 0 && g.matrix_step == 0,
                    },
                );
            }
            if needed && (group == 0 || g.matrix_step != 0) {
                K::transpose(&Transpose {
                    from: b.weight.add(matrix * ins * outs),
                    from_row: outs,
                    rows: ins,
                    columns: outs,
                    to: transposed,
                    to_row: padded_in,
                });
            }
            for path in 0..b.input_paths {
                let to = path * b.samples * b.size_in + at_in + group * g.group_in;
                let mut next = Next::NOTHING;
                if b.ahead {
                    next.one = match path {
                        0 => matrix_ahead(b.weight, mix, matrix, g.rows),
                        _ => of_path(path, group).wrapping_add(mix.block_out),
                    };
                    next.other = b.gradient_in.wrapping_add(to + mix.block_in);
                }
                let product = &Product {
                    a: of_path(path, group),
                    a_row: g.row_out,
                    a_k: 1,
                    b: transposed,
                    b_k: padded_in,
                    out: b.gradient_in.add(to),
                    out_row: g.row_in,
                    rows: g.rows,
                    columns: ins,
                    k: outs,
                    start: Start::Zero,
                    derivative: b.derivative(activation, activation_row, 1),
                    skip: b.skip(mix, to),
                    next,
                    streams: false,
                };
                b.product::<K>(product, result, padded_in);
            }
        }
    }
}

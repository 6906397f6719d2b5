//! Small matrix products, with sums in registers. Generic in the vectors, as all [`super::kernels`].
//!
//! `unsafe` is allowed in this file, on the same conditions as there.
#![allow(unsafe_code)]
use super::blocks::{most_columns, most_rows};
use super::kernels::{load_some, store_some};
use super::prefetch::{Next, rounds};
use super::simd::{LINE, Vector, derivative};
use efference_sdk::Nonlinearity;
use std::ptr;

/// What a product starts from.
#[derive(Clone, Copy)]
pub(super) enum Start {
    Zero,
    /// What stands in the output.
    Output,
    /// One number for each row.
    Rows(*const f32),
    /// One row, for all rows.
    Columns(*const f32),
}

/// What the sums of a backward pass are multiplied with at last.
#[derive(Clone, Copy)]
pub(super) struct Derivative {
    pub(super) nonlinearity: Nonlinearity,
    /// The nonlinearity's values, from which its derivative is computed; null: nothing is multiplied.
    pub(super) activation: *const f32,
    pub(super) row: usize,
    /// Of a [`LanesProduct`]; the elements of a [`Product`]'s row are neighbours.
    pub(super) column: usize,
}

impl Derivative {
    pub(super) const NONE: Derivative =
        Derivative { nonlinearity: Nonlinearity::None, activation: ptr::null(), row: 0, column: 0 };
}

/// A matrix product: `out[r][c] = (start + Σ_k a[r, k] · b[k][c]) · derivative[r][c] + skip[r][c]`, where the numbers of a row
/// of `b`, `skip` and `out` are neighbours.
#[derive(Clone, Copy)]
pub(super) struct Product {
    pub(super) a: *const f32,
    pub(super) a_row: usize,
    pub(super) a_k: usize,
    pub(super) b: *const f32,
    pub(super) b_k: usize,
    pub(super) out: *mut f32,
    pub(super) out_row: usize,
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) k: usize,
    pub(super) start: Start,
    pub(super) derivative: Derivative,
    /// Lies as `out` does; null: none.
    pub(super) skip: *const f32,
    /// What is prefetched on the way.
    pub(super) next: Next,
    /// Whether `out` is written by non-temporal stores.
    pub(super) streams: bool,
}

impl Product {
    /// The sums alone, to be stored elsewhere.
    pub(super) fn alone(&self, out: *mut f32, out_row: usize) -> Self {
        Product { out, out_row, derivative: Derivative::NONE, skip: ptr::null(), ..*self }
    }
}

/// Multiplies sums with a [`Derivative`], whose first row is `$row`, and whose columns begin at `$first`, with a distance of
/// `$column`. (A macro, since a closure would not be compiled for the processor.)
macro_rules! multiply {
    ($vector:ty, $sums:expr, $derivative:expr, $row:expr, $first:expr, $column:expr, $part:expr) => {
        let (of, column) = ($derivative, $column);
        if !of.activation.is_null() {
            let mut from = of.activation.add($row * of.row + $first);
            macro_rules! by {
                ($nonlinearity:expr) => {
                    for sums in $sums.iter_mut() {
                        for (c, sum) in sums.iter_mut().enumerate() {
                            let y: $vector = load_some(from.add(c * column), $part);
                            *sum = sum.mul(derivative($nonlinearity, y));
                        }
                        from = from.wrapping_add(of.row);
                    }
                };
            }
            match of.nonlinearity {
                Nonlinearity::None => {}
                Nonlinearity::Relu => by!(Nonlinearity::Relu),
                Nonlinearity::Softsign => by!(Nonlinearity::Softsign),
                Nonlinearity::Tanh => by!(Nonlinearity::Tanh),
            }
        }
    };
}

/// As many matrix products at once as a vector has lanes:
/// `out[r, c] = (start[c] + Σ_k a[r, k] · b[k, c]) · derivative[r, c] + skip[r, c]`, where each element is a vector.
#[derive(Clone, Copy)]
pub(super) struct LanesProduct {
    pub(super) a: *const f32,
    pub(super) a_row: usize,
    pub(super) a_k: usize,
    pub(super) b: *const f32,
    pub(super) b_k: usize,
    pub(super) b_column: usize,
    pub(super) out: *mut f32,
    pub(super) out_row: usize,
    pub(super) out_column: usize,
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) k: usize,
    /// Zero, Output, or Columns: a vector for each column.
    pub(super) start: Start,
    pub(super) derivative: Derivative,
    /// Null: none.
    pub(super) skip: *const f32,
    pub(super) skip_row: usize,
    pub(super) skip_column: usize,
    /// What is prefetched on the way.
    pub(super) next: Next,
    /// Whether `b`, where its elements are used once, is prefetched too, and what lies behind it.
    pub(super) reads_ahead: bool,
    /// Whether `out` is written by non-temporal stores.
    pub(super) streams: bool,
    /// How many lanes of `out` and `skip` there are, in all rows but the last, and in the last one.
    pub(super) width: usize,
    pub(super) last_width: usize,
}

/// Cuts the rows into blocks for which the sums fit into registers: at most six rows of two vectors; where there are
/// twice the registers, eight rows of two or sixteen of one; where there are half of them, three of two. Blocks are of
/// about the same size, since a small one leaves the multipliers waiting for its own sums.
#[inline(always)]
pub(super) unsafe fn product<B: ProductBlocks, V: Vector>(p: &Product) {
    // Most products are of sixteen by sixteen. Apart from the others, they do not prepare what only their loops need.
    // SAFETY: handed on.
    unsafe {
        if V::REGISTERS >= 32 && p.rows == 16 && p.columns == V::LANES {
            return product_block::<V, 16, 1, false>(p, 0, 0);
        }
        if V::REGISTERS == 16 && p.rows == 16 && p.columns == 2 * V::LANES {
            product_block::<V, 6, 2, false>(p, 0, 0);
            product_block::<V, 5, 2, false>(p, 6, 0);
            return product_block::<V, 5, 2, false>(p, 11, 0);
        }
    }
    let mut row = 0;
    while row < p.rows {
        let left = p.rows - row;
        let most = most_rows::<V>();
        let block = match V::REGISTERS >= 32 && left >= 16 && p.columns < 2 * V::LANES {
            true => 16,
            false => left.div_ceil(left.div_ceil(most)),
        };
        // SAFETY: handed on.
        unsafe {
            match block {
                1 => B::product_columns::<1>(p, row),
                2 => B::product_columns::<2>(p, row),
                3 => B::product_columns::<3>(p, row),
                _ if V::REGISTERS < 16 => unreachable!("at most three rows at once"),
                4 => B::product_columns::<4>(p, row),
                5 => B::product_columns::<5>(p, row),
                6 => B::product_columns::<6>(p, row),
                _ if V::REGISTERS < 32 => unreachable!("at most six rows at once"),
                7 => B::product_columns::<7>(p, row),
                8 => B::product_columns::<8>(p, row),
                _ => B::product_columns::<16>(p, row),
            }
        }
        row += block;
    }
}

/// [`product_columns`] as a function for a kind of processor. As a part of [`product`] it would be there nine times, and what takes a
/// compiler longest is one long function.
pub(super) trait ProductBlocks {
    /// See there.
    unsafe fn product_columns<const R: usize>(p: &Product, row: usize);
}

/// `R` rows of a product.
#[inline(always)]
pub(super) unsafe fn product_columns<V: Vector, const R: usize>(p: &Product, row: usize) {
    let mut column = 0;
    // SAFETY: handed on.
    unsafe {
        while R <= 8 && column + 2 * V::LANES <= p.columns {
            product_block::<V, R, 2, false>(p, row, column);
            column += 2 * V::LANES;
        }
        if column + V::LANES <= p.columns {
            product_block::<V, R, 1, false>(p, row, column);
            column += V::LANES;
        }
        if column < p.columns {
            product_block::<V, R, 1, true>(p, row, column);
        }
    }
}

/// `R` rows and `C` vectors of columns; `PART`: the vector is not full.
#[inline(always)]
unsafe fn product_block<V: Vector, const R: usize, const C: usize, const PART: bool>(
    p: &Product,
    row: usize,
    column: usize,
) {
    let part = if PART { p.columns - column } else { V::LANES };
    // SAFETY: by the caller's promise; the block lies within rows and columns.
    unsafe {
        let out = p.out.wrapping_add(row * p.out_row + column);
        let mut sums = [[V::splat(0.0); C]; R];
        match p.start {
            Start::Zero => {}
            Start::Output => {
                let mut out = out;
                for sums in &mut sums {
                    for (c, sum) in sums.iter_mut().enumerate() {
                        *sum = load::<V, PART>(out.add(c * V::LANES), part);
                    }
                    out = out.wrapping_add(p.out_row);
                }
            }
            Start::Rows(bias) => {
                for r in 0..R {
                    sums[r] = [V::splat(*bias.add(row + r)); C];
                }
            }
            Start::Columns(bias) => {
                for c in 0..C {
                    let bias = load::<V, PART>(bias.add(column + c * V::LANES), part);
                    for r in 0..R {
                        sums[r][c] = bias;
                    }
                }
            }
        }
        let mut a = p.a.add(row * p.a_row);
        let mut b = p.b.add(column);
        // The last step past the end may point outside; it is not read there.
        macro_rules! step {
            () => {
                let mut columns = [V::splat(0.0); C];
                for (c, v) in columns.iter_mut().enumerate() {
                    *v = load::<V, PART>(b.add(c * V::LANES), part);
                }
                for (r, sums) in sums.iter_mut().enumerate() {
                    let factor = V::splat(*a.add(r * p.a_row));
                    for c in 0..C {
                        sums[c] = factor.mul_add(columns[c], sums[c]);
                    }
                }
                a = a.wrapping_add(p.a_k);
                b = b.wrapping_add(p.b_k);
            };
        }
        if V::REGISTERS >= 32 && (R >= 8 || R == 1) && !p.next.is_nothing() {
            rounds!(V, p.next, row / R, 0, p.k, p.k, {
                step!();
            });
        } else if V::REGISTERS < 32 && R >= 5 && C == 2 && !p.next.is_nothing() {
            // Three blocks prefetch one row.
            rounds!(V, p.next, 0, row / 5 * 5, 6, p.k, {
                step!();
            });
        } else {
            for _ in 0..p.k / 4 {
                step!();
                step!();
                step!();
                step!();
            }
            for _ in 0..p.k % 4 {
                step!();
            }
        }
        multiply!(V, sums, p.derivative, row, column, V::LANES, part);
        if !p.skip.is_null() {
            let mut skip = p.skip.add(row * p.out_row + column);
            for sums in &mut sums {
                for (c, sum) in sums.iter_mut().enumerate() {
                    *sum = sum.add(load::<V, PART>(skip.add(c * V::LANES), part));
                }
                skip = skip.wrapping_add(p.out_row);
            }
        }
        let streams = p.streams && !PART && begins_line(out) && p.out_row.is_multiple_of(LINE);
        let mut out = out;
        for sums in sums {
            for (c, sum) in sums.into_iter().enumerate() {
                let out = out.add(c * V::LANES);
                if streams { sum.stream(out) } else { store_some(sum, out, part) }
            }
            out = out.wrapping_add(p.out_row);
        }
    }
}

/// Cuts columns and rows into blocks of at most three by two, or four by four where there are registers for them: with
/// vectors that are pairs, the sums fit into those that there are. A block of columns goes through all rows before the next
/// one begins: places along the mixed dim may share lines of the cache, so few of them are open at once.
#[inline(always)]
pub(super) unsafe fn lanes_product<V: Vector>(p: &LanesProduct) {
    let is_full = p.width == V::LANES && p.last_width == V::LANES;
    if V::REGISTERS >= 32 && is_full && p.columns == 16 && (p.rows == 1 || p.k == 1) {
        // Each element of `b` or of `out` is touched once: in the order in which they lie.
        for row in 0..p.rows {
            // SAFETY: handed on.
            unsafe { lanes_block::<V, 1, 16, false>(p, row, 0) };
        }
        return;
    }
    let mut column = 0;
    while column < p.columns {
        let left = p.columns - column;
        let most = most_columns::<V>();
        // Two and two rather than three and one.
        let block = left.div_ceil(left.div_ceil(most));
        // SAFETY: handed on.
        unsafe {
            match block {
                1 => lanes_rows::<V, 1>(p, column),
                _ if V::REGISTERS < 8 => unreachable!("one column at once"),
                2 => lanes_rows::<V, 2>(p, column),
                4 if V::REGISTERS >= 32 => lanes_rows::<V, 4>(p, column),
                _ => lanes_rows::<V, 3>(p, column),
            }
        }
        column += block;
    }
}

#[inline(always)]
unsafe fn lanes_rows<V: Vector, const C: usize>(p: &LanesProduct, column: usize) {
    let mut row = 0;
    let full_rows = if p.width < V::LANES {
        0
    } else if p.last_width < V::LANES {
        p.rows - 1
    } else {
        p.rows
    };
    // SAFETY: handed on.
    unsafe {
        while V::REGISTERS >= 32 && row + 4 <= full_rows {
            lanes_block::<V, 4, C, false>(p, row, column);
            row += 4;
        }
        while row + 2 <= full_rows {
            lanes_block::<V, 2, C, false>(p, row, column);
            row += 2;
        }
        if row < full_rows {
            lanes_block::<V, 1, C, false>(p, row, column);
            row += 1;
        }
        while row < p.rows {
            lanes_block::<V, 1, C, true>(p, row, column);
            row += 1;
        }
    }
}

/// `R` rows and `C` columns; `PART`: not all lanes exist.
#[inline(always)]
unsafe fn lanes_block<V: Vector, const R: usize, const C: usize, const PART: bool>(
    p: &LanesProduct,
    row: usize,
    column: usize,
) {
    let part = match PART {
        false => V::LANES,
        true if row + 1 == p.rows => p.last_width,
        true => p.width,
    };
    // SAFETY: by the caller's promise; the block lies within rows and columns.
    unsafe {
        let place = row * p.out_row + column * p.out_column;
        let out = p.out.wrapping_add(place);
        let mut sums = [[V::splat(0.0); C]; R];
        match p.start {
            Start::Zero | Start::Rows(_) => {}
            Start::Output => {
                for r in 0..R {
                    for c in 0..C {
                        sums[r][c] = load_some(out.add(r * p.out_row + c * p.out_column), part);
                    }
                }
            }
            Start::Columns(bias) => {
                for c in 0..C {
                    let bias = V::load(bias.add((column + c) * V::LANES));
                    for r in 0..R {
                        sums[r][c] = bias;
                    }
                }
            }
        }
        // Where each of `b` is used once, there is not the time of other rows to prefetch the next ones.
        let prefetches = R == 1 && p.reads_ahead;
        let ahead = if p.b_column == LINE { 8 * p.b_k } else { 2 * C * p.b_column };
        let mut a = p.a.add(row * p.a_row);
        let mut b = p.b.add(column * p.b_column);
        macro_rules! step {
            () => {
                let mut columns = [V::splat(0.0); C];
                for (c, v) in columns.iter_mut().enumerate() {
                    *v = V::load(b.add(c * p.b_column));
                    if prefetches {
                        V::prefetch(b.wrapping_add(c * p.b_column + ahead));
                    }
                }
                for (r, sums) in sums.iter_mut().enumerate() {
                    let factor = V::load(a.add(r * p.a_row));
                    for c in 0..C {
                        sums[c] = factor.mul_add(columns[c], sums[c]);
                    }
                }
                // Past the last round these may point outside; they are not read there.
                a = a.wrapping_add(p.a_k);
                b = b.wrapping_add(p.b_k);
            };
        }
        if V::REGISTERS >= 32 && R == 4 && C == 4 {
            rounds!(V, p.next, column / C * (p.rows / R) + row / R, 0, p.k, p.k, {
                step!();
            });
        } else if V::REGISTERS < 32 && R == 2 && C == 3 && !p.next.is_nothing() {
            // There are twice as many blocks as rows to prefetch, and more.
            let block = column / C * (p.rows / R) + row / R;
            rounds!(V, p.next, block / 2, block % 2 * 8, if block < 32 { 8 } else { 0 }, p.k, {
                step!();
            });
        } else {
            for _ in 0..p.k {
                step!();
            }
        }
        let of = &p.derivative;
        multiply!(V, sums, of, row, column * of.column, of.column, part);
        if !p.skip.is_null() {
            let skip = p.skip.add(row * p.skip_row + column * p.skip_column);
            for r in 0..R {
                for c in 0..C {
                    let skip = load_some(skip.add(r * p.skip_row + c * p.skip_column), part);
                    sums[r][c] = sums[r][c].add(skip);
                }
            }
        }
        let streams =
            p.streams && !PART && begins_line(out) && (p.out_row | p.out_column).is_multiple_of(LINE);
        for r in 0..R {
            for c in 0..C {
                let out = out.add(r * p.out_row + c * p.out_column);
                if streams { sums[r][c].stream(out) } else { store_some(sums[r][c], out, part) }
            }
        }
    }
}

#[inline(always)]
fn begins_line(place: *mut f32) -> bool {
    place.addr().is_multiple_of(LINE * size_of::<f32>())
}

#[inline(always)]
unsafe fn load<V: Vector, const PART: bool>(from: *const f32, part: usize) -> V {
    // SAFETY: handed on.
    unsafe { if PART { V::load_first(from, part) } else { V::load(from) } }
}

//! What comes from memory while a product is computed.
use super::simd::LINE;
use std::ptr;

/// What is read and written after a product. It comes from memory, so it is prefetched while the product is computed: with each
/// of a block's rounds a line from each of two places, with each block a row of sixteen lines, or half a row where blocks are
/// small. Null: nothing.
#[derive(Clone, Copy)]
pub(super) struct Next {
    pub(super) one: *const f32,
    /// The distance between rows.
    pub(super) one_row: usize,
    pub(super) other: *const f32,
    pub(super) other_row: usize,
}

impl Next {
    pub(super) const NOTHING: Next = Next::lines(ptr::null(), ptr::null());

    pub(super) fn is_nothing(&self) -> bool {
        self.one.is_null() && self.other.is_null()
    }

    /// Of lines that lie one after the other: as many as sixteen rounds of sixteen blocks prefetch.
    pub(super) const fn lines(one: *const f32, other: *const f32) -> Self {
        Next { one, one_row: 16 * LINE, other, other_row: 16 * LINE }
    }
}

/// Runs the last block `$rounds` times, for the rounds of a product's block; with the first of them, it prefetches `$lines` lines
/// of a row, from number `$first` on. (A macro, since a closure would not be compiled for the processor.)
macro_rules! rounds {
    ($vector:ty, $next:expr, $row:expr, $first:expr, $lines:expr, $rounds:expr, $round:block) => {
        let mut one = $next.one.wrapping_add($row * $next.one_row + $first * LINE);
        let mut other = $next.other.wrapping_add($row * $next.other_row + $first * LINE);
        let lines = usize::min($lines, $rounds);
        match ($next.one.is_null(), $next.other.is_null()) {
            (true, true) => {
                for _ in 0..lines $round
            }
            (false, true) => {
                for _ in 0..lines {
                    <$vector>::prefetch(one);
                    one = one.wrapping_add(LINE);
                    $round
                }
            }
            (true, false) => {
                for _ in 0..lines {
                    <$vector>::prefetch(other);
                    other = other.wrapping_add(LINE);
                    $round
                }
            }
            (false, false) => {
                for _ in 0..lines {
                    <$vector>::prefetch(one);
                    <$vector>::prefetch(other);
                    (one, other) = (one.wrapping_add(LINE), other.wrapping_add(LINE));
                    $round
                }
            }
        }
        for _ in lines..$rounds $round
    };
}

pub(super) use rounds;

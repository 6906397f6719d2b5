//! Elementwise loops, spread over threads.
use super::parallel::parallel;
use super::simd;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

/// Elements of one part, about: with fewer, waking another thread costs more than it gains.
const GRAIN: usize = 16_384;

/// Elements that are computed along one path before the next path's turn: what all paths read is then still in the
/// innermost cache.
const BLOCK: usize = 2_048;

/// Calls a closure with ranges that make up `0..length`, each with its part of the outputs, on up to
/// [`threads`](crate::autograd::threads) threads, compiled for the instructions that the processor has; returns the sum
/// of what the calls return. Outputs are as long as `length`, or empty.
///
/// The ranges depend on `length` alone, so sums are the same to the bit, however many threads there are.
///
/// ```
/// let x = [1.0f32, 2.0, 3.0];
/// let mut y = [0.0; 3];
/// let sum = efference_sdk::elementwise!(3, [&mut y], |range, [y]| {
///     y.iter_mut().zip(&x[range]).for_each(|(y, x)| *y = 2.0 * x);
///     y.iter().map(|y| f64::from(*y)).sum()
/// });
/// assert_eq!((y, sum), ([2.0, 4.0, 6.0], 12.0));
/// ```
///
/// A macro, for it writes the closure down once for each kind of processor: the compiler then makes each one part of
/// the loop around it, and so uses that processor's instructions in it.
#[macro_export]
macro_rules! elementwise {
    ($length:expr, $outputs:expr, |$range:pat_param, $parts:pat_param| $body:expr $(,)?) => {
        $crate::elementwise_paths!(1, $length, $outputs, |_, $range, $parts| $body)
    };
}

/// [`elementwise!`](crate::elementwise) along several gradient paths, of `length` elements each: the closure is called
/// with a path, a range of its elements, and that part of the outputs, which are `paths · length` long, or empty.
#[macro_export]
macro_rules! elementwise_paths {
    ($paths:expr, $length:expr, $outputs:expr, |$path:pat_param, $range:pat_param, $parts:pat_param| $body:expr $(,)?) => {
        if $crate::autograd::has_simd() {
            $crate::autograd::elementwise_paths_by::<_, true>(
                $paths,
                $length,
                $outputs,
                |$path, $range, $parts| $body,
            )
        } else {
            $crate::autograd::elementwise_paths_by::<_, false>(
                $paths,
                $length,
                $outputs,
                |$path, $range, $parts| $body,
            )
        }
    };
}

/// What [`elementwise_paths!`](crate::elementwise_paths) calls; `SIMD`: whether `f` is compiled for the processor's own
/// instructions.
#[doc(hidden)]
pub fn elementwise_paths_by<const N: usize, const SIMD: bool>(
    paths: usize,
    length: usize,
    outputs: [&mut [f32]; N],
    f: impl Fn(usize, Range<usize>, [&mut [f32]; N]) -> f64 + Sync,
) -> f64 {
    let parts = (paths * length / GRAIN).max(1);
    if parts == 1 && paths == 1 {
        return call::<N, SIMD>(&f, 0, 0..length, outputs);
    }
    // A multiple of 16 elements each, so that no two threads write to one line of the cache.
    let size = length.div_ceil(parts).next_multiple_of(16);
    // By parts, then by paths.
    let mut tasks: Vec<_> = (0..length.div_ceil(size.max(1))).map(|_| Vec::with_capacity(paths)).collect();
    let mut rest = outputs;
    for _ in 0..paths {
        let mut path = front(&mut rest, length);
        for (part, task) in tasks.iter_mut().enumerate() {
            task.push(front(&mut path, size.min(length - part * size)));
        }
    }
    let tasks: Vec<_> = tasks.into_iter().map(|outputs| Mutex::new((outputs, 0.0))).collect();
    parallel(tasks.len(), |part| {
        let mut task = tasks[part].lock().unwrap_or_else(PoisonError::into_inner);
        let (outputs, sum) = &mut *task;
        let (mut start, end) = (part * size, ((part + 1) * size).min(length));
        let block = if paths == 1 { size } else { BLOCK };
        while start < end {
            let count = block.min(end - start);
            for (path, outputs) in outputs.iter_mut().enumerate() {
                let outputs = front(outputs, count);
                *sum += call::<N, SIMD>(&f, path, start..start + count, outputs);
            }
            start += count;
        }
    });
    tasks.into_iter().map(|t| t.into_inner().unwrap_or_else(PoisonError::into_inner).1).sum()
}

/// Copies elements, on all threads if there are many. Panics if there are not as many on both sides.
pub fn copy_elements(from: &[f32], to: &mut [f32]) {
    assert_eq!(from.len(), to.len(), "as many elements are written as are read");
    crate::elementwise!(from.len(), [to], |range, [to]| {
        to.copy_from_slice(&from[range]);
        0.0
    });
}

/// Adds elements to others, on all threads if there are many. Panics if there are not as many on both sides.
pub(super) fn add_elements(from: &[f32], to: &mut [f32]) {
    assert_eq!(from.len(), to.len(), "as many elements are added as there are");
    crate::elementwise!(from.len(), [to], |range, [to]| {
        to.iter_mut().zip(&from[range]).for_each(|(to, from)| *to += from);
        0.0
    });
}

/// The one place where `f` is called: the compiler then inlines it, however large it is.
#[inline(never)]
fn call<const N: usize, const SIMD: bool>(
    f: &impl Fn(usize, Range<usize>, [&mut [f32]; N]) -> f64,
    path: usize,
    range: Range<usize>,
    outputs: [&mut [f32]; N],
) -> f64 {
    simd::with::<SIMD, _>(|| f(path, range, outputs))
}

/// Takes the first `count` elements of each, or all there are.
fn front<'a, const N: usize>(rest: &mut [&'a mut [f32]; N], count: usize) -> [&'a mut [f32]; N] {
    std::array::from_fn(|i| {
        let taken = std::mem::take(&mut rest[i]);
        let (first, second) = taken.split_at_mut(count.min(taken.len()));
        rest[i] = second;
        first
    })
}

/// The sum of `f(a, b)` over the numbers of two slices of the same length. Sums are kept in 16 places, so that the
/// loop compiles to SIMD, and are added up in 64 bits every 1,024 elements.
#[inline(always)]
pub fn sum_of(a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> f32) -> f64 {
    let mut total = 0.0;
    for (a, b) in a.chunks(1024).zip(b.chunks(1024)) {
        let mut sums = [0.0f32; 16];
        let (whole_a, whole_b) = (a.chunks_exact(16), b.chunks_exact(16));
        let rest: f32 = whole_a.remainder().iter().zip(whole_b.remainder()).map(|(a, b)| f(*a, *b)).sum();
        for (a, b) in whole_a.zip(whole_b) {
            for i in 0..16 {
                sums[i] += f(a[i], b[i]);
            }
        }
        total += f64::from(sums.iter().sum::<f32>() + rest);
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_a_plain_loop() {
        for n in [0, 1, 15, 16, 17, 1023, 1024, 5000] {
            let a: Vec<f32> = (0..n).map(|i| (i % 7) as f32).collect();
            let b: Vec<f32> = (0..n).map(|i| (i % 5) as f32).collect();
            let plain: f64 = a.iter().zip(&b).map(|(a, b)| f64::from(a * b)).sum();
            assert_eq!(sum_of(&a, &b, |a, b| a * b), plain);
        }
    }

    #[test]
    fn a_copy_is_all_of_what_is_copied() {
        for length in [0, 7, GRAIN * 3 + 5] {
            let from: Vec<f32> = (0..length).map(|i| i as f32).collect();
            let mut to = vec![-1.0; length];
            copy_elements(&from, &mut to);
            assert_eq!(from, to);
        }
    }

    #[test]
    fn every_element_is_computed_once() {
        for length in [0, 1, 100, GRAIN * 2, GRAIN * 5 + 7] {
            let mut out = vec![0.0; length];
            let sum = elementwise!(length, [&mut out, &mut []], |range, [out, none]| {
                assert!(none.is_empty());
                out.iter_mut().zip(range).for_each(|(o, i)| *o += i as f32);
                out.len() as f64
            });
            assert_eq!(sum, length as f64);
            assert!(out.iter().enumerate().all(|(i, x)| *x == i as f32));
            for paths in [0, 1, 3] {
                let mut out = vec![0.0; paths * length];
                let sum =
                    elementwise_paths!(paths, length, [&mut [], &mut out], |path, range, [none, out]| {
                        assert!(none.is_empty());
                        out.iter_mut().zip(range).for_each(|(o, i)| *o += (path * length + i) as f32);
                        out.len() as f64
                    });
                assert_eq!(sum, (paths * length) as f64);
                assert!(out.iter().enumerate().all(|(i, x)| *x == i as f32));
            }
        }
    }
}

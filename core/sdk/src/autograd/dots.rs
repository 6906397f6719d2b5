//! A matrix times a vector: products of rows that lie one behind the other in memory with the same vector.
//!
//! `unsafe` is allowed in this file for two things: to call functions compiled for instructions that were found to be there,
//! and to load eight numbers at places that were checked to be within a slice. (Compilers do not find the way by themselves:
//! what they make of the loops is five times slower.)
#![allow(unsafe_code)]
use super::simd::has_simd;

/// Sums of a product that are kept beside each other.
const LANES: usize = 8;

/// `y = matrix · x`, `matrix` (y.len(), x.len()) row by row.
///
/// Element `i` of a product is added to sum `i mod 8`; the eight sums `s` become `((s0 + s1) + (s2 + s3)) + ((s4 + s5) +
/// (s6 + s7))`. So the bits are the same with and without AVX.
///
/// # Panics
/// The lengths do not go together.
pub(crate) fn matrix_vector(matrix: &[f32], x: &[f32], y: &mut [f32]) {
    assert_eq!(matrix.len(), x.len() * y.len(), "a matrix of {} × {} elements", y.len(), x.len());
    #[cfg(target_arch = "x86_64")]
    if has_simd() {
        // SAFETY: the processor has AVX2, and the lengths were checked.
        return unsafe { avx2::matrix_vector(matrix, x, y) };
    }
    by_sums(matrix, x, y);
}

fn by_sums(matrix: &[f32], x: &[f32], y: &mut [f32]) {
    for (y, row) in y.iter_mut().zip(matrix.chunks_exact(x.len().max(1))) {
        let mut s = [0.0f32; LANES];
        for (x, row) in x.chunks(LANES).zip(row.chunks(LANES)) {
            for ((s, x), w) in s.iter_mut().zip(x).zip(row) {
                *s += x * w;
            }
        }
        *y = ((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7]));
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use super::LANES;
    use std::arch::x86_64::{
        __m256, __m256i, _mm_add_ps, _mm_cvtss_f32, _mm_storeu_ps, _mm256_add_ps, _mm256_castps256_ps128,
        _mm256_extractf128_ps, _mm256_hadd_ps, _mm256_loadu_ps, _mm256_loadu_si256, _mm256_maskload_ps,
        _mm256_mul_ps, _mm256_setzero_ps,
    };

    /// Rows whose sums are kept at once: each eight numbers of `x` are loaded once for all of them.
    const GROUP: usize = 4;

    /// # Safety
    /// The processor has AVX2, and `matrix` has `x.len()` elements for each of `y`.
    #[target_feature(enable = "avx2")]
    pub(super) unsafe fn matrix_vector(matrix: &[f32], x: &[f32], y: &mut [f32]) {
        let n = x.len();
        let mut groups = y.chunks_exact_mut(GROUP);
        let mut row = matrix.as_ptr();
        for y in groups.by_ref() {
            // SAFETY: `row` is the first of `GROUP` rows of `n` elements, and `y` has room for as many sums.
            unsafe {
                let sums = products::<GROUP>(row, x);
                let [a, b, c, d] = sums;
                let pairs = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
                let [low, high] = [_mm256_castps256_ps128(pairs), _mm256_extractf128_ps::<1>(pairs)];
                _mm_storeu_ps(y.as_mut_ptr(), _mm_add_ps(low, high));
                row = row.add(GROUP * n);
            }
        }
        for y in groups.into_remainder() {
            // SAFETY: `row` is a row of `n` elements.
            unsafe {
                let [sums] = products::<1>(row, x);
                let pairs = _mm256_hadd_ps(sums, sums);
                let pairs = _mm256_hadd_ps(pairs, pairs);
                let [low, high] = [_mm256_castps256_ps128(pairs), _mm256_extractf128_ps::<1>(pairs)];
                *y = _mm_cvtss_f32(_mm_add_ps(low, high));
                row = row.add(n);
            }
        }
    }

    /// The sums, side by side, of the products of `x` with `R` rows.
    ///
    /// # Safety
    /// The processor has AVX2; behind `rows` there are `R · x.len()` elements.
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn products<const R: usize>(rows: *const f32, x: &[f32]) -> [__m256; R] {
        let n = x.len();
        let mut sums = [_mm256_setzero_ps(); R];
        let mut i = 0;
        while i + LANES <= n {
            // SAFETY: eight elements from `i` on are within `x`, and within each row.
            unsafe {
                let x = _mm256_loadu_ps(x.as_ptr().add(i));
                for (k, sum) in sums.iter_mut().enumerate() {
                    let row = _mm256_loadu_ps(rows.add(k * n + i));
                    *sum = _mm256_add_ps(*sum, _mm256_mul_ps(x, row));
                }
            }
            i += LANES;
        }
        if i < n {
            // SAFETY: as above, of the elements that are left; the mask keeps the others from being read.
            unsafe {
                let mask = mask(n - i);
                let x = _mm256_maskload_ps(x.as_ptr().add(i), mask);
                for (k, sum) in sums.iter_mut().enumerate() {
                    let row = _mm256_maskload_ps(rows.add(k * n + i), mask);
                    *sum = _mm256_add_ps(*sum, _mm256_mul_ps(x, row));
                }
            }
        }
        sums
    }

    /// A mask of the first `count` of eight places.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn mask(count: usize) -> __m256i {
        const MASKS: [i32; 2 * LANES] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
        let from = LANES - count.min(LANES);
        // SAFETY: from one of the first eight places on there are eight numbers.
        unsafe { _mm256_loadu_si256(MASKS.as_ptr().add(from).cast()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Random;

    #[test]
    fn bits_are_the_same_in_plain_loops_and_by_the_processors_instructions() {
        let mut random = Random::new(3);
        for (rows, columns) in [(0, 3), (3, 0), (1, 1), (4, 4), (64, 4), (5, 8), (7, 13), (64, 64), (9, 100)]
        {
            let mut numbers = |n: usize| (0..n).map(|_| random.unit() as f32 - 0.5).collect::<Vec<_>>();
            let (matrix, x) = (numbers(rows * columns), numbers(columns));
            let (mut plain, mut fast) = (vec![f32::NAN; rows], vec![f32::NAN; rows]);
            by_sums(&matrix, &x, &mut plain);
            matrix_vector(&matrix, &x, &mut fast);
            if columns > 0 {
                assert_eq!(plain, fast, "{rows} × {columns}");
            }
            for (r, y) in fast.iter().enumerate() {
                let row = &matrix[r * columns..][..columns];
                let exact: f64 = row.iter().zip(&x).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
                assert!((f64::from(*y) - exact).abs() < 1e-5, "{rows} × {columns}: {y} {exact}");
            }
        }
    }
}

//! Vectors of eight f32 by AVX2 and FMA.
//!
//! `unsafe` is allowed in this file: the functions may be called only on processors that have both.
#![allow(unsafe_code)]
use super::simd::{Square, Vector};
use std::arch::x86_64::*;

#[derive(Clone, Copy)]
pub(super) struct Avx2(__m256);

/// From place `8 - n` on: a mask of the first n lanes.
static MASK: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];

// SAFETY (of every block below): the caller promises the features and, for loads and stores, the memory.
impl Vector for Avx2 {
    const LANES: usize = 8;

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        // SAFETY: see above.
        Avx2(unsafe { _mm256_set1_ps(x) })
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: see above.
        Avx2(unsafe { _mm256_loadu_ps(from) })
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: see above.
        unsafe { _mm256_storeu_ps(to, self.0) }
    }
    #[inline(always)]
    unsafe fn stream(self, to: *mut f32) {
        // SAFETY: see above.
        unsafe { _mm256_stream_ps(to, self.0) }
    }
    #[inline(always)]
    unsafe fn end_of_stream() {
        // SAFETY: see above.
        unsafe { _mm_sfence() }
    }
    #[inline(always)]
    unsafe fn prefetch(from: *const f32) {
        // SAFETY: it reads nothing, and no place is a wrong one.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(from.cast()) }
    }
    #[inline(always)]
    unsafe fn load_first(from: *const f32, count: usize) -> Self {
        // SAFETY: see above; `count` is at most 8, so the mask lies in the table.
        Avx2(unsafe {
            let mask = _mm256_loadu_si256(MASK.as_ptr().add(8 - count).cast());
            _mm256_maskload_ps(from, mask)
        })
    }
    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, count: usize) {
        // SAFETY: as for load_first.
        unsafe {
            let mask = _mm256_loadu_si256(MASK.as_ptr().add(8 - count).cast());
            _mm256_maskstore_ps(to, mask, self.0);
        }
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: see above.
        Avx2(unsafe { _mm256_add_ps(self.0, other.0) })
    }
    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        // SAFETY: see above.
        Avx2(unsafe { _mm256_sub_ps(self.0, other.0) })
    }
    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        // SAFETY: see above.
        Avx2(unsafe { _mm256_mul_ps(self.0, other.0) })
    }
    #[inline(always)]
    unsafe fn div(self, other: Self) -> Self {
        // SAFETY: see above.
        Avx2(unsafe { _mm256_div_ps(self.0, other.0) })
    }
    #[inline(always)]
    unsafe fn reciprocal(self) -> Self {
        // A division takes as long as a dozen multiplications. The instruction's 12 bits become 23 or 24 by one
        // step of Newton's method: r + r·(1 - d·r).
        // SAFETY: see above.
        Avx2(unsafe {
            let r = _mm256_rcp_ps(self.0);
            let error = _mm256_fnmadd_ps(self.0, r, _mm256_set1_ps(1.0));
            _mm256_fmadd_ps(r, error, r)
        })
    }
    #[inline(always)]
    unsafe fn mul_add(self, a: Self, b: Self) -> Self {
        // SAFETY: see above.
        Avx2(unsafe { _mm256_fmadd_ps(self.0, a.0, b.0) })
    }
    #[inline(always)]
    unsafe fn abs(self) -> Self {
        // SAFETY: see above.
        Avx2(unsafe { _mm256_andnot_ps(_mm256_set1_ps(-0.0), self.0) })
    }
    #[inline(always)]
    unsafe fn max(self, other: Self) -> Self {
        // SAFETY: see above. The instruction returns its second operand if one is NaN.
        Avx2(unsafe { _mm256_max_ps(self.0, other.0) })
    }
    #[inline(always)]
    unsafe fn min(self, other: Self) -> Self {
        // SAFETY: see above.
        Avx2(unsafe { _mm256_min_ps(self.0, other.0) })
    }
    #[inline(always)]
    unsafe fn is_positive(self) -> Self {
        // SAFETY: see above.
        Avx2(unsafe {
            let mask = _mm256_cmp_ps::<_CMP_GT_OQ>(self.0, _mm256_setzero_ps());
            _mm256_and_ps(mask, _mm256_set1_ps(1.0))
        })
    }
}

impl Square for Avx2 {
    type Square = [Self; 8];

    #[inline(always)]
    unsafe fn square() -> Self::Square {
        // SAFETY: see above.
        [Avx2(unsafe { _mm256_setzero_ps() }); 8]
    }
    #[inline(always)]
    unsafe fn transpose(square: &mut Self::Square) {
        // SAFETY: see above.
        unsafe {
            let r = square.map(|v| v.0);
            // Pairs, then fours within each half, then the halves.
            let a = [
                _mm256_unpacklo_ps(r[0], r[1]),
                _mm256_unpackhi_ps(r[0], r[1]),
                _mm256_unpacklo_ps(r[2], r[3]),
                _mm256_unpackhi_ps(r[2], r[3]),
                _mm256_unpacklo_ps(r[4], r[5]),
                _mm256_unpackhi_ps(r[4], r[5]),
                _mm256_unpacklo_ps(r[6], r[7]),
                _mm256_unpackhi_ps(r[6], r[7]),
            ];
            let b = [
                _mm256_shuffle_ps::<0x44>(a[0], a[2]),
                _mm256_shuffle_ps::<0xEE>(a[0], a[2]),
                _mm256_shuffle_ps::<0x44>(a[1], a[3]),
                _mm256_shuffle_ps::<0xEE>(a[1], a[3]),
                _mm256_shuffle_ps::<0x44>(a[4], a[6]),
                _mm256_shuffle_ps::<0xEE>(a[4], a[6]),
                _mm256_shuffle_ps::<0x44>(a[5], a[7]),
                _mm256_shuffle_ps::<0xEE>(a[5], a[7]),
            ];
            *square = [
                Avx2(_mm256_permute2f128_ps::<0x20>(b[0], b[4])),
                Avx2(_mm256_permute2f128_ps::<0x20>(b[1], b[5])),
                Avx2(_mm256_permute2f128_ps::<0x20>(b[2], b[6])),
                Avx2(_mm256_permute2f128_ps::<0x20>(b[3], b[7])),
                Avx2(_mm256_permute2f128_ps::<0x31>(b[0], b[4])),
                Avx2(_mm256_permute2f128_ps::<0x31>(b[1], b[5])),
                Avx2(_mm256_permute2f128_ps::<0x31>(b[2], b[6])),
                Avx2(_mm256_permute2f128_ps::<0x31>(b[3], b[7])),
            ];
        }
    }
}

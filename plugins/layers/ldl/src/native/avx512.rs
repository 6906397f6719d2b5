//! Vectors of sixteen f32 by AVX-512.
//!
//! `unsafe` is allowed in this file: the functions may be called only on processors that have AVX-512F.
#![allow(unsafe_code)]
use super::simd::{LINE, Square, Vector};
use std::arch::x86_64::*;

#[derive(Clone, Copy)]
pub(super) struct Avx512(__m512);

/// A mask of the first `count` elements, of at most 16.
#[inline(always)]
fn first(count: usize) -> __mmask16 {
    ((1_u32 << count) - 1) as __mmask16
}

// SAFETY (of every block below): the caller promises the features and, for loads and stores, the memory.
impl Vector for Avx512 {
    const LANES: usize = 16;
    const REGISTERS: usize = 32;

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        // SAFETY: see above.
        Avx512(unsafe { _mm512_set1_ps(x) })
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: see above.
        Avx512(unsafe { _mm512_loadu_ps(from) })
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: see above.
        unsafe { _mm512_storeu_ps(to, self.0) }
    }
    #[inline(always)]
    unsafe fn stream(self, to: *mut f32) {
        // SAFETY: see above.
        unsafe { _mm512_stream_ps(to, self.0) }
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
        // SAFETY: see above.
        Avx512(unsafe { _mm512_maskz_loadu_ps(first(count), from) })
    }
    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, count: usize) {
        // SAFETY: see above.
        unsafe { _mm512_mask_storeu_ps(to, first(count), self.0) }
    }
    #[inline(always)]
    unsafe fn permuted(from: *const f32, count: usize, places: &[u32; LINE]) -> Self {
        // SAFETY: see above.
        unsafe {
            let places = _mm512_loadu_si512(places.as_ptr().cast());
            Avx512(_mm512_permutexvar_ps(places, _mm512_maskz_loadu_ps(first(count), from)))
        }
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: see above.
        Avx512(unsafe { _mm512_add_ps(self.0, other.0) })
    }
    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        // SAFETY: see above.
        Avx512(unsafe { _mm512_sub_ps(self.0, other.0) })
    }
    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        // SAFETY: see above.
        Avx512(unsafe { _mm512_mul_ps(self.0, other.0) })
    }
    #[inline(always)]
    unsafe fn div(self, other: Self) -> Self {
        // SAFETY: see above.
        Avx512(unsafe { _mm512_div_ps(self.0, other.0) })
    }
    #[inline(always)]
    unsafe fn reciprocal(self) -> Self {
        // As for AVX2, from the 14 bits of this instruction.
        // SAFETY: see above.
        Avx512(unsafe {
            let r = _mm512_rcp14_ps(self.0);
            let error = _mm512_fnmadd_ps(self.0, r, _mm512_set1_ps(1.0));
            _mm512_fmadd_ps(r, error, r)
        })
    }
    #[inline(always)]
    unsafe fn mul_add(self, a: Self, b: Self) -> Self {
        // SAFETY: see above.
        Avx512(unsafe { _mm512_fmadd_ps(self.0, a.0, b.0) })
    }
    #[inline(always)]
    unsafe fn abs(self) -> Self {
        // SAFETY: see above.
        Avx512(unsafe { _mm512_abs_ps(self.0) })
    }
    #[inline(always)]
    unsafe fn max(self, other: Self) -> Self {
        // SAFETY: see above. The instruction returns its second operand if one is NaN.
        Avx512(unsafe { _mm512_max_ps(self.0, other.0) })
    }
    #[inline(always)]
    unsafe fn min(self, other: Self) -> Self {
        // SAFETY: see above.
        Avx512(unsafe { _mm512_min_ps(self.0, other.0) })
    }
    #[inline(always)]
    unsafe fn is_positive(self) -> Self {
        // SAFETY: see above.
        Avx512(unsafe {
            let positive = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(self.0, _mm512_setzero_ps());
            _mm512_maskz_mov_ps(positive, _mm512_set1_ps(1.0))
        })
    }
}

impl Square for Avx512 {
    type Square = [Self; 16];

    #[inline(always)]
    unsafe fn square() -> Self::Square {
        // SAFETY: see above.
        [Avx512(unsafe { _mm512_setzero_ps() }); 16]
    }
    #[inline(always)]
    unsafe fn transpose(square: &mut Self::Square) {
        // SAFETY: see above.
        unsafe {
            let r = square.map(|v| v.0);
            // Pairs and fours within each quarter; then quarters, by twos and by fours.
            let mut fours = [_mm512_setzero_ps(); 16];
            for i in (0..16).step_by(4) {
                let low = [_mm512_unpacklo_ps(r[i], r[i + 1]), _mm512_unpacklo_ps(r[i + 2], r[i + 3])];
                let high = [_mm512_unpackhi_ps(r[i], r[i + 1]), _mm512_unpackhi_ps(r[i + 2], r[i + 3])];
                fours[i] = _mm512_shuffle_ps::<0x44>(low[0], low[1]);
                fours[i + 1] = _mm512_shuffle_ps::<0xEE>(low[0], low[1]);
                fours[i + 2] = _mm512_shuffle_ps::<0x44>(high[0], high[1]);
                fours[i + 3] = _mm512_shuffle_ps::<0xEE>(high[0], high[1]);
            }
            for i in 0..4 {
                let even = [
                    _mm512_shuffle_f32x4::<0x88>(fours[i], fours[i + 4]),
                    _mm512_shuffle_f32x4::<0x88>(fours[i + 8], fours[i + 12]),
                ];
                let odd = [
                    _mm512_shuffle_f32x4::<0xDD>(fours[i], fours[i + 4]),
                    _mm512_shuffle_f32x4::<0xDD>(fours[i + 8], fours[i + 12]),
                ];
                square[i] = Avx512(_mm512_shuffle_f32x4::<0x88>(even[0], even[1]));
                square[i + 4] = Avx512(_mm512_shuffle_f32x4::<0x88>(odd[0], odd[1]));
                square[i + 8] = Avx512(_mm512_shuffle_f32x4::<0xDD>(even[0], even[1]));
                square[i + 12] = Avx512(_mm512_shuffle_f32x4::<0xDD>(odd[0], odd[1]));
            }
        }
    }
}

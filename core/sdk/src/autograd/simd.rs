//! Chooses, at run time, the instructions that plain loops are compiled to.
//!
//! `unsafe` is allowed in this file for one thing: to call a function compiled for instructions that were found to
//! be there.
#![allow(unsafe_code)]

/// Runs `f`, compiled for AVX2 where the processor has it: plain loops over slices in it, and in functions that it
/// inlines, then compute eight elements at once.
///
/// What is large is inlined only where it is called once: [`simd!`](crate::simd) and [`elementwise!`](crate::elementwise) see
/// to that.
#[inline]
pub fn simd<R>(f: impl FnOnce() -> R) -> R {
    if has_simd() { with::<true, R>(f) } else { with::<false, R>(f) }
}

/// [`simd`](crate::autograd::simd) of an expression, of any length: the macro writes it down once for each kind of processor,
/// and the compiler makes each one part of a function for that kind.
///
/// ```
/// let (x, mut y) = ([1.0f32, 2.0, 3.0], [0.0f32; 3]);
/// efference_sdk::simd!(y.iter_mut().zip(&x).for_each(|(y, x)| *y = 2.0 * x));
/// assert_eq!(y, [2.0, 4.0, 6.0]);
/// ```
#[macro_export]
macro_rules! simd {
    ($body:expr) => {
        if $crate::autograd::has_simd() {
            $crate::autograd::simd_by::<true, _>(|| $body)
        } else {
            $crate::autograd::simd_by::<false, _>(|| $body)
        }
    };
}

/// What [`simd!`](crate::simd) calls.
#[doc(hidden)]
#[inline(always)]
pub fn simd_by<const SIMD: bool, R>(f: impl FnOnce() -> R) -> R {
    with::<SIMD, R>(f)
}

/// Whether the processor has AVX2 and FMA.
#[inline]
pub fn has_simd() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Runs `f`, compiled for AVX2 or not; panics if it is to be and the processor has none.
#[inline(always)]
pub(super) fn with<const SIMD: bool, R>(f: impl FnOnce() -> R) -> R {
    if !SIMD {
        return f();
    }
    assert!(has_simd(), "the processor has no AVX2");
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the processor has what the function is compiled for.
    return unsafe { avx2(f) };
    #[cfg(not(target_arch = "x86_64"))]
    f()
}

// In each part of the crate that calls it there is one, which the compiler can then make one function of with `f`.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx2,fma")]
fn avx2<R>(f: impl FnOnce() -> R) -> R {
    f()
}

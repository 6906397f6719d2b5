//! The kernels, compiled once for each kind of processor; which one is used is decided when the program runs.
//!
//! `unsafe` is allowed in this file: a [`Kernels`] may be used only where [`Processor::detect`] returned it.
#![allow(unsafe_code)]
use super::geometry::LINE;
use super::kernels::{self, Gather, Scatter, SumRows, Transpose};
use super::products::{self, LanesProduct, Product};
use super::simd::{Pair, Plain, Vector};
use std::sync::OnceLock;

/// The kernels for one kind of processor; what they do, and what a caller promises, is said in [`kernels`].
pub(super) trait Kernels {
    unsafe fn product(p: &Product);
    unsafe fn lanes_product(p: &LanesProduct);
    unsafe fn transpose(t: &Transpose);
    unsafe fn scatter(s: &Scatter);
    unsafe fn gather(g: &Gather);
    unsafe fn sum_rows(p: &SumRows);
}

/// Which kernels fit this processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Processor {
    /// x86-64 with AVX2 and FMA.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// Any other.
    Plain,
}

impl Processor {
    /// The best that this machine has.
    pub(super) fn detect() -> Self {
        static FOUND: OnceLock<Processor> = OnceLock::new();
        *FOUND.get_or_init(|| {
            #[cfg(target_arch = "x86_64")]
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                return Processor::Avx2;
            }
            Processor::Plain
        })
    }
}

macro_rules! kernels {
    ($(#[$attribute:meta])* $name:ident, $vector:ty, $line:ty) => {
        #[derive(Debug)]
        pub(super) struct $name;

        const _: () = assert!(<$line>::LANES == LINE, "weights and scratch memory are laid out for one length");

        // SAFETY (of every block): the caller of a function of `Kernels` promises what these functions ask for,
        // and that the processor has the features that they are compiled with.
        impl Kernels for $name {

            $(#[$attribute])*
            unsafe fn product(p: &Product) {
                // SAFETY: see above.
                unsafe { products::product::<$vector>(p) }
            }
            $(#[$attribute])*
            unsafe fn lanes_product(p: &LanesProduct) {
                // SAFETY: see above.
                unsafe { products::lanes_product::<$line>(p) }
            }
            $(#[$attribute])*
            unsafe fn transpose(t: &Transpose) {
                // SAFETY: see above.
                unsafe { kernels::transpose::<$vector>(t) }
            }
            $(#[$attribute])*
            unsafe fn scatter(s: &Scatter) {
                // SAFETY: see above.
                unsafe { kernels::scatter::<$line>(s) }
            }
            $(#[$attribute])*
            unsafe fn gather(g: &Gather) {
                // SAFETY: see above.
                unsafe { kernels::gather::<$line>(g) }
            }
            $(#[$attribute])*
            unsafe fn sum_rows(p: &SumRows) {
                // SAFETY: see above.
                unsafe { kernels::sum_rows::<$vector>(p) }
            }
        }
    };
}

kernels!(PlainKernels, Plain, Pair<Plain>);
#[cfg(target_arch = "x86_64")]
kernels!(
    #[target_feature(enable = "avx2,fma")]
    Avx2Kernels,
    super::avx2::Avx2,
    Pair<super::avx2::Avx2>
);

//! The kernels, compiled once for each kind of processor; which one is used is decided when the program runs.
//!
//! `unsafe` is allowed in this file: a [`Kernels`] may be used only where the [`Processor`] that it is for [is here](Processor::is_here).
#![allow(unsafe_code)]
use super::blocks;
use super::kernels::{self, Gather, Repeated, Scatter, SumRows, Transpose};
use super::products::{self, LanesProduct, Product, ProductBlocks};
use super::simd::{LINE, Pair, Plain, Vector};
use std::sync::OnceLock;

/// The kernels for one kind of processor; what they do, and what a caller promises, is said in [`kernels`].
pub(super) trait Kernels {
    /// See [`blocks::is_one_block`].
    fn is_one_block(rows: usize, columns: usize) -> bool;
    unsafe fn product(p: &Product);
    unsafe fn lanes_product(p: &LanesProduct);
    unsafe fn transpose(t: &Transpose);
    unsafe fn scatter(s: &Scatter);
    unsafe fn gather(g: &Gather);
    unsafe fn sum_rows(p: &SumRows);
    unsafe fn repeat(p: &Repeated<'_>, from: *const f32, to: *mut f32);
    unsafe fn sum_repeated(p: &Repeated<'_>, from: *const f32, to: *mut f32);
    /// To be called by each thread at its end.
    unsafe fn end_of_stream();
}

/// Which kernels fit this processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Processor {
    /// x86-64 with AVX-512F, and with AVX2 and FMA.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// x86-64 with AVX2 and FMA.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// Any other.
    Plain,
}

impl Processor {
    /// From the best one on.
    pub(super) const ALL: &[Processor] = &[
        #[cfg(target_arch = "x86_64")]
        Processor::Avx512,
        #[cfg(target_arch = "x86_64")]
        Processor::Avx2,
        Processor::Plain,
    ];

    /// The best that this machine has.
    pub(super) fn detect() -> Self {
        static FOUND: OnceLock<Processor> = OnceLock::new();
        let best = || Self::ALL.iter().copied().find(|processor| processor.is_here());
        *FOUND.get_or_init(|| best().unwrap_or(Processor::Plain))
    }

    /// Whether this machine has it.
    pub(super) fn is_here(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        let avx2 = || is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        match self {
            #[cfg(target_arch = "x86_64")]
            Processor::Avx512 => is_x86_feature_detected!("avx512f") && avx2(),
            #[cfg(target_arch = "x86_64")]
            Processor::Avx2 => avx2(),
            Processor::Plain => true,
        }
    }
}

macro_rules! kernels {
    ($(#[$attribute:meta])* $name:ident, $vector:ty, $line:ty) => {
        #[derive(Debug)]
        pub(super) struct $name;

        const _: () = assert!(<$line>::LANES == LINE, "weights and scratch memory are laid out for one length");

        // SAFETY (of every block): the caller of a function of `Kernels` promises what these functions ask for,
        // and that the processor has the features that they are compiled with.
        impl ProductBlocks for $name {
            #[inline(never)]
            $(#[$attribute])*
            unsafe fn product_columns<const R: usize>(p: &Product, row: usize) {
                // SAFETY: see above.
                unsafe { products::product_columns::<$vector, R>(p, row) }
            }
        }

        // SAFETY (of every block): as above.
        impl Kernels for $name {
            fn is_one_block(rows: usize, columns: usize) -> bool {
                blocks::is_one_block::<$vector>(rows, columns)
            }

            $(#[$attribute])*
            unsafe fn product(p: &Product) {
                // SAFETY: see above.
                unsafe { products::product::<Self, $vector>(p) }
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
            $(#[$attribute])*
            unsafe fn repeat(p: &Repeated<'_>, from: *const f32, to: *mut f32) {
                // SAFETY: see above.
                unsafe { kernels::repeat::<$line>(p, from, to) }
            }
            $(#[$attribute])*
            unsafe fn sum_repeated(p: &Repeated<'_>, from: *const f32, to: *mut f32) {
                // SAFETY: see above.
                unsafe { kernels::sum_repeated::<$line>(p, from, to) }
            }
            $(#[$attribute])*
            unsafe fn end_of_stream() {
                // SAFETY: see above.
                unsafe { <$line>::end_of_stream() }
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
#[cfg(target_arch = "x86_64")]
kernels!(
    #[target_feature(enable = "avx512f,avx2,fma")]
    Avx512Kernels,
    super::avx512::Avx512,
    super::avx512::Avx512
);

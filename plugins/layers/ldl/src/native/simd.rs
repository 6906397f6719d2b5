//! Vectors of f32, for whatever the processor has.
//!
//! `unsafe` is allowed in this file. Every function of [`Vector`] may be called only where the processor has the
//! features of the type that implements it; loads and stores take pointers to as many elements as they say.
#![allow(unsafe_code)]
use efference_sdk::Nonlinearity;

/// Numbers that belong together where SIMD runs along a dim: vectors that fill a line of the cache, whatever the
/// processor.
pub(super) const LINE: usize = 16;

/// A vector of [`LANES`](Vector::LANES) elements.
pub(super) trait Vector: Copy {
    /// How many.
    const LANES: usize;
    /// How many of them a processor holds at once.
    const REGISTERS: usize = 16;

    unsafe fn splat(x: f32) -> Self;
    unsafe fn load(from: *const f32) -> Self;
    unsafe fn store(self, to: *mut f32);
    /// A non-temporal store, past the caches, to a place that a line begins at; [`end_of_stream`](Self::end_of_stream) comes
    /// after the last one, before another thread may read it.
    #[inline(always)]
    unsafe fn stream(self, to: *mut f32) {
        // SAFETY: handed on.
        unsafe { self.store(to) }
    }
    /// Lets no store overtake those before.
    #[inline(always)]
    unsafe fn end_of_stream() {}
    /// Prefetches the line of the cache at this place, which need not be one of a tensor, into the second cache: the first one has
    /// room for what is being computed, and no more.
    #[inline(always)]
    unsafe fn prefetch(_from: *const f32) {}
    /// Loads the first `count` elements, fewer than all; the others are 0.
    unsafe fn load_first(from: *const f32, count: usize) -> Self;
    /// Stores the first `count` elements, fewer than all.
    unsafe fn store_first(self, to: *mut f32, count: usize);
    /// Element `x` is number `places[x]` of the first `count`. Of a vector that fills a line.
    #[inline(always)]
    unsafe fn permuted(from: *const f32, count: usize, places: &[u32; LINE]) -> Self {
        debug_assert!(Self::LANES == LINE && places.iter().all(|place| (*place as usize) < count));
        // SAFETY: by the caller's promise.
        unsafe { Self::load(places.map(|place| *from.add(place as usize)).as_ptr()) }
    }
    unsafe fn add(self, other: Self) -> Self;
    unsafe fn sub(self, other: Self) -> Self;
    unsafe fn mul(self, other: Self) -> Self;
    unsafe fn div(self, other: Self) -> Self;
    /// 1 / self, to within two units in the last place; 0 above 2¹²⁶.
    #[inline(always)]
    unsafe fn reciprocal(self) -> Self {
        // SAFETY: handed on.
        unsafe { Self::splat(1.0).div(self) }
    }
    /// self · a + b
    unsafe fn mul_add(self, a: Self, b: Self) -> Self;
    unsafe fn abs(self) -> Self;
    /// The larger one; `other` where `self` is NaN.
    unsafe fn max(self, other: Self) -> Self;
    unsafe fn min(self, other: Self) -> Self;
    /// 1 where self > 0, else 0.
    unsafe fn is_positive(self) -> Self;
}

/// A vector that can be transposed with others.
pub(super) trait Square: Vector {
    /// As many vectors as one has lanes.
    type Square: Copy + AsRef<[Self]> + AsMut<[Self]>;

    /// Zeros.
    unsafe fn square() -> Self::Square;
    /// Number `j` of vector `i` becomes number `i` of vector `j`.
    unsafe fn transpose(square: &mut Self::Square);
}

/// The nonlinearity of a number.
#[inline(always)]
pub(super) unsafe fn activate<V: Vector>(nonlinearity: Nonlinearity, x: V) -> V {
    // SAFETY: by the caller's promise.
    unsafe {
        match nonlinearity {
            Nonlinearity::None => x,
            // A NaN stays one, as in libtorch.
            Nonlinearity::Relu => V::splat(0.0).max(x),
            Nonlinearity::Softsign => x.mul(V::splat(1.0).add(x.abs()).reciprocal()),
            Nonlinearity::Tanh => tanh(x),
        }
    }
}

/// Its derivative, from the result `y` of the nonlinearity.
#[inline(always)]
pub(super) unsafe fn derivative<V: Vector>(nonlinearity: Nonlinearity, y: V) -> V {
    // SAFETY: by the caller's promise.
    unsafe {
        let one = V::splat(1.0);
        match nonlinearity {
            Nonlinearity::None => one,
            Nonlinearity::Relu => y.is_positive(),
            // |y| = |x|/(1+|x|), so 1-|y| = 1/(1+|x|); its square is the derivative.
            Nonlinearity::Softsign => {
                let d = one.sub(y.abs());
                d.mul(d)
            }
            Nonlinearity::Tanh => one.sub(y.mul(y)),
        }
    }
}

/// tanh by a quotient of polynomials, with an error of a few units in the last place: Eigen's
/// `generic_fast_tanh_float`.
#[inline(always)]
unsafe fn tanh<V: Vector>(x: V) -> V {
    const NUMERATOR: [f32; 7] = [
        4.893_524_6e-3,
        6.372_619_3e-4,
        1.485_722_4e-5,
        5.122_297_1e-8,
        -8.604_671_5e-11,
        2.000_187_9e-13,
        -2.760_768_5e-16,
    ];
    const DENOMINATOR: [f32; 4] = [4.893_525e-3, 2.268_434_6e-3, 1.185_347e-4, 1.198_258_4e-6];
    // SAFETY: by the caller's promise.
    unsafe {
        // Beyond this, tanh is 1 in f32. A NaN goes through: the bound is `self`, so the NaN is what stays.
        let x = V::splat(-7.905_311).max(V::splat(7.905_311).min(x));
        let square = x.mul(x);
        let mut p = V::splat(NUMERATOR[6]);
        for c in NUMERATOR[..6].iter().rev() {
            p = p.mul_add(square, V::splat(*c));
        }
        let mut q = V::splat(DENOMINATOR[3]);
        for c in DENOMINATOR[..3].iter().rev() {
            q = q.mul_add(square, V::splat(*c));
        }
        x.mul(p).div(q)
    }
}

/// Eight elements in plain Rust, for processors without a path of their own; the compiler uses what the target is
/// sure to have.
#[derive(Clone, Copy)]
pub(super) struct Plain([f32; 8]);

impl Plain {
    #[inline(always)]
    fn zip_with(self, other: Self, f: impl Fn(f32, f32) -> f32) -> Self {
        Plain(std::array::from_fn(|i| f(self.0[i], other.0[i])))
    }
}

impl Vector for Plain {
    const LANES: usize = 8;
    /// x86-64 without AVX has sixteen registers of four elements, other processors (aarch64) twice as many.
    const REGISTERS: usize = if cfg!(target_arch = "x86_64") { 8 } else { 16 };

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        Plain([x; 8])
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: by the caller's promise.
        Plain(unsafe { from.cast::<[f32; 8]>().read_unaligned() })
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: by the caller's promise.
        unsafe { to.cast::<[f32; 8]>().write_unaligned(self.0) }
    }
    #[inline(always)]
    unsafe fn load_first(from: *const f32, count: usize) -> Self {
        // SAFETY: by the caller's promise.
        Plain(std::array::from_fn(|i| if i < count { unsafe { *from.add(i) } } else { 0.0 }))
    }
    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, count: usize) {
        for (i, x) in self.0.into_iter().enumerate().take(count) {
            // SAFETY: by the caller's promise.
            unsafe { *to.add(i) = x }
        }
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        self.zip_with(other, |a, b| a + b)
    }
    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        self.zip_with(other, |a, b| a - b)
    }
    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        self.zip_with(other, |a, b| a * b)
    }
    #[inline(always)]
    unsafe fn div(self, other: Self) -> Self {
        self.zip_with(other, |a, b| a / b)
    }
    #[inline(always)]
    unsafe fn mul_add(self, a: Self, b: Self) -> Self {
        // Not f32::mul_add: without hardware for it, that is a slow call.
        Plain(std::array::from_fn(|i| self.0[i] * a.0[i] + b.0[i]))
    }
    #[inline(always)]
    unsafe fn abs(self) -> Self {
        Plain(self.0.map(f32::abs))
    }
    #[inline(always)]
    unsafe fn max(self, other: Self) -> Self {
        self.zip_with(other, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    unsafe fn min(self, other: Self) -> Self {
        self.zip_with(other, |a, b| if a < b { a } else { b })
    }
    #[inline(always)]
    unsafe fn is_positive(self) -> Self {
        Plain(self.0.map(|x| if x > 0.0 { 1.0 } else { 0.0 }))
    }
}

impl Square for Plain {
    type Square = [Self; 8];

    #[inline(always)]
    unsafe fn square() -> Self::Square {
        [Plain([0.0; 8]); 8]
    }
    #[inline(always)]
    unsafe fn transpose(square: &mut Self::Square) {
        *square = std::array::from_fn(|i| Plain(std::array::from_fn(|j| square[j].0[i])));
    }
}

/// Two vectors as one.
#[derive(Clone, Copy)]
pub(super) struct Pair<V>(V, V);

// SAFETY (of every block): handed on.
impl<V: Vector> Vector for Pair<V> {
    const LANES: usize = 2 * V::LANES;
    const REGISTERS: usize = V::REGISTERS / 2;

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        // SAFETY: see above.
        unsafe { Pair(V::splat(x), V::splat(x)) }
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: see above.
        unsafe { Pair(V::load(from), V::load(from.add(V::LANES))) }
    }
    #[inline(always)]
    unsafe fn prefetch(from: *const f32) {
        // SAFETY: handed on. The two are one line.
        unsafe { V::prefetch(from) }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: see above.
        unsafe {
            self.0.store(to);
            self.1.store(to.add(V::LANES));
        }
    }
    #[inline(always)]
    unsafe fn stream(self, to: *mut f32) {
        // SAFETY: see above.
        unsafe {
            self.0.stream(to);
            self.1.stream(to.add(V::LANES));
        }
    }
    #[inline(always)]
    unsafe fn end_of_stream() {
        // SAFETY: see above.
        unsafe { V::end_of_stream() }
    }
    #[inline(always)]
    unsafe fn load_first(from: *const f32, count: usize) -> Self {
        // SAFETY: see above.
        unsafe {
            if count >= V::LANES {
                Pair(V::load(from), V::load_first(from.add(V::LANES), count - V::LANES))
            } else {
                Pair(V::load_first(from, count), V::splat(0.0))
            }
        }
    }
    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, count: usize) {
        // SAFETY: see above.
        unsafe {
            if count >= V::LANES {
                self.0.store(to);
                self.1.store_first(to.add(V::LANES), count - V::LANES);
            } else {
                self.0.store_first(to, count);
            }
        }
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: see above.
        unsafe { Pair(self.0.add(other.0), self.1.add(other.1)) }
    }
    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        // SAFETY: see above.
        unsafe { Pair(self.0.sub(other.0), self.1.sub(other.1)) }
    }
    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        // SAFETY: see above.
        unsafe { Pair(self.0.mul(other.0), self.1.mul(other.1)) }
    }
    #[inline(always)]
    unsafe fn div(self, other: Self) -> Self {
        // SAFETY: see above.
        unsafe { Pair(self.0.div(other.0), self.1.div(other.1)) }
    }
    #[inline(always)]
    unsafe fn reciprocal(self) -> Self {
        // SAFETY: see above.
        unsafe { Pair(self.0.reciprocal(), self.1.reciprocal()) }
    }
    #[inline(always)]
    unsafe fn mul_add(self, a: Self, b: Self) -> Self {
        // SAFETY: see above.
        unsafe { Pair(self.0.mul_add(a.0, b.0), self.1.mul_add(a.1, b.1)) }
    }
    #[inline(always)]
    unsafe fn abs(self) -> Self {
        // SAFETY: see above.
        unsafe { Pair(self.0.abs(), self.1.abs()) }
    }
    #[inline(always)]
    unsafe fn max(self, other: Self) -> Self {
        // SAFETY: see above.
        unsafe { Pair(self.0.max(other.0), self.1.max(other.1)) }
    }
    #[inline(always)]
    unsafe fn min(self, other: Self) -> Self {
        // SAFETY: see above.
        unsafe { Pair(self.0.min(other.0), self.1.min(other.1)) }
    }
    #[inline(always)]
    unsafe fn is_positive(self) -> Self {
        // SAFETY: see above.
        unsafe { Pair(self.0.is_positive(), self.1.is_positive()) }
    }
}

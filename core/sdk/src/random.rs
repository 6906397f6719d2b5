//! Random numbers that depend on a seed and on nothing else.
//!
//! libtorch has one generator for the whole process, whose state cannot be saved through its bindings; a
//! plugin that draws from it changes what every other plugin draws. So draw from one of these.
use crate::autograd::OutputBuffer;
use crate::{Result, ensure};
use rand::{Rng, RngExt, SeedableRng};
use rand_distr::{Distribution, StandardNormal};
use rand_xoshiro::Xoshiro256PlusPlus;
use tch::{Device, Kind, Tensor};

/// A generator of random numbers (xoshiro256++).
#[derive(Debug, Clone)]
pub struct Random {
    generator: Xoshiro256PlusPlus,
    /// Whether its tensors only stand in for random ones.
    stands_in: bool,
}

impl Random {
    /// The same seed gives the same numbers, on every machine.
    pub fn new(seed: u64) -> Self {
        Random { generator: Xoshiro256PlusPlus::seed_from_u64(seed), stands_in: false }
    }

    /// The same, but for [`normal`](Self::normal): its tensors are zeros that share one place in memory, so that they
    /// cost nothing, whatever their shape.
    pub(crate) fn of_stand_ins(self) -> Self {
        Random { stands_in: true, ..self }
    }

    /// A number in 0…1, 1 excluded.
    pub fn unit(&mut self) -> f64 {
        self.generator.random()
    }

    /// A whole number below `n`, which must not be 0.
    pub fn below(&mut self, n: u64) -> u64 {
        self.generator.random_range(0..n)
    }

    /// The generator itself, for distributions.
    pub(crate) fn generator(&mut self) -> &mut Xoshiro256PlusPlus {
        &mut self.generator
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.generator.next_u64()
    }

    /// A tensor on the CPU of numbers with mean 0 and this deviation, normally distributed.
    ///
    /// # Panics
    /// If there is no room for it; [`f_normal`](Self::f_normal) is an error then.
    pub fn normal(&mut self, shape: &[i64], deviation: f64) -> Tensor {
        self.f_normal(shape, deviation).unwrap_or_else(|e| panic!("{e}"))
    }

    /// As [`normal`](Self::normal).
    ///
    /// # Errors
    /// If there is no room for it.
    pub fn f_normal(&mut self, shape: &[i64], deviation: f64) -> Result<Tensor> {
        let bytes = shape.iter().try_fold(size_of::<f32>() as i64, |bytes, n| bytes.checked_mul(*n));
        ensure!(bytes.is_some(), "a tensor of shape {shape:?} has more elements than any memory holds");
        if self.stands_in {
            let one = Tensor::f_zeros([1], (Kind::Float, Device::Cpu))?;
            return Ok(one.f_expand(shape, false)?);
        }
        // Of libtorch's memory: where there is none left, it says so, and a vector of Rust's ends the process.
        let mut numbers = OutputBuffer::empty(shape)?;
        for number in numbers.iter_mut() {
            let z: f64 = StandardNormal.sample(&mut self.generator);
            *number = (z * deviation) as f32;
        }
        Ok(numbers.into_tensor())
    }
}

/// Derives a seed from a seed and a text: FNV-1a, mixed by the finaliser of splitmix64.
///
/// Components that are named differently get independent numbers, whatever else an experiment consists of.
pub fn derive_seed(seed: u64, purpose: &str) -> u64 {
    let mut h = 0xcbf2_9ce4_8422_2325_u64;
    for byte in seed.to_le_bytes().iter().chain(purpose.as_bytes()) {
        h = (h ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    h = (h ^ (h >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    h = (h ^ (h >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    h ^ (h >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_of_a_seed_never_change() {
        assert_eq!(Random::new(1).bits(), 14_971_601_782_005_023_387);
        assert_eq!(derive_seed(1, "cell"), 4_570_077_385_544_815_102);
        assert_ne!(derive_seed(1, "cell"), derive_seed(1, "goal"));
        assert_ne!(derive_seed(1, "cell"), derive_seed(2, "cell"));
    }

    #[test]
    fn stand_ins_have_a_shape_and_no_memory_of_their_own() {
        // Four TiB, if each element had a place of its own.
        let t = Random::new(3).of_stand_ins().f_normal(&[1 << 20, 1 << 20], 1.0).unwrap();
        assert_eq!((t.size(), t.stride(), t.numel()), (vec![1 << 20, 1 << 20], vec![0, 0], 1 << 40));
        assert_eq!(t.double_value(&[1_000_000, 7]), 0.0);
    }

    #[test]
    fn what_no_memory_holds_is_an_error() {
        for shape in [&[i64::MAX][..], &[1 << 40, 1 << 40], &[1 << 46]] {
            let error = Random::new(3).f_normal(shape, 1.0).unwrap_err().to_string();
            assert!(error.contains("memory"), "{error}");
        }
    }

    #[test]
    fn normal_numbers_have_the_deviation_that_was_asked_for() {
        let t = Random::new(3).normal(&[20_000], 0.5);
        let deviation = t.std(true).double_value(&[]);
        assert!((deviation - 0.5).abs() < 0.01, "{deviation}");
    }
}

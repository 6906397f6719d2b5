//! Random numbers whose state is one number, so that it can be saved.
use efference_sdk::derive_seed;
use efference_sdk::serde::{Deserialize, Serialize};

/// A generator of random numbers (Steele, Lea, Flood 2014).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(crate = "efference_sdk::serde", transparent)]
pub(crate) struct SplitMix64(u64);

impl SplitMix64 {
    /// The numbers of one stream.
    pub(crate) fn of_stream(seed: u64, stream: usize) -> Self {
        SplitMix64(derive_seed(seed, &format!("worlds stream {stream}")))
    }

    /// 64 random bits.
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in 0…1, 1 excluded.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A whole number below `n`; some come up more often than others by less than n / 2^64.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.bits()) * n as u128) >> 64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_numbers_are_those_of_splitmix64() {
        // From the reference implementation, https://prng.di.unimi.it/splitmix64.c, with x = 1234567.
        let mut random = SplitMix64(1_234_567);
        assert_eq!(random.bits(), 6_457_827_717_110_365_317);
        assert_eq!(random.bits(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn whole_numbers_fill_their_range_evenly() {
        let mut random = SplitMix64::of_stream(1, 0);
        let mut seen = [0_u32; 10];
        (0..10_000).for_each(|_| seen[random.below(10)] += 1);
        assert!(seen.iter().all(|n| (850..1150).contains(n)), "{seen:?}");
    }
}

//! When is a comparison decided? A group-sequential permutation test on differences paired by seed.
//!
//! Two values of a key run with the same seeds; `d_i` is the difference of their results for the i-th seed. Seeds come in
//! groups, and after each group someone looks whether the difference is decided. Looking several times with an ordinary
//! test would see differences that are not there: each look is another chance to be wrong.
//!
//! The test is that of AdaStop (Mathieu et al., "AdaStop: adaptive statistical testing for sound comparisons of Deep RL
//! agents", arXiv 2306.10882), which spends its error evenly, `A(n) = α n / most`. Its permutations exchange results within
//! a pair only here, as results with one seed belong together:
//!
//! * Had the two values the same effect, either of a pair's results could as well be the other's: all 2ⁿ ways to exchange
//!   within pairs, with sums `|Σ s_i d_i|` and `s_i = ±1`, are equally probable. That is exact for 6 seeds as for 20, and
//!   for results of any distribution; a t-test needs normal ones.
//! * At a look with n seeds, the ways with the largest sums are rejected that were not rejected at an earlier look, as many
//!   as bring the rejected part of all ways up to A(n) at most. If the way things were (all `s_i = 1`) is among them, the
//!   comparison is decided. The probability of that ever happening without an effect is at most `A(most) = α`.
//! * A comparison that would hardly be decided with the most seeds is given up. That can only make wrong decisions rarer.
//!
//! Several comparisons share α by Holm's rule, which holds for group-sequential tests too (Maurer and Bretz, Statistics in
//! Biopharmaceutical Research 5, 2013): each of m is tested at α / m, and at more once others are decided.
use super::paired::{mean_and_deviation, normal_probability, t_quantile};
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

/// Ways to exchange that are looked at. Up to 17 pairs that is all of them (S is the same if all signs change, so that
/// `s_1 = 1`); of more, all ways of the first 17 pairs with random signs for the rest, which is as exact.
const WAYS: usize = 1 << 16;

/// The chance of still being decided below which a comparison is given up.
const HOPELESS: f64 = 0.2;

/// When it is looked whether a comparison is decided, and how often that may be wrong.
#[derive(Debug, Clone, PartialEq)]
pub struct SequentialTest {
    /// The probability that any comparison is decided among values that do not differ, at most.
    pub alpha: f64,
    /// Numbers of seeds, ascending. The last is the most that are run.
    pub looks: Vec<usize>,
}

impl SequentialTest {
    /// Looks with the first group of seeds, then after each `group` more, up to `most`.
    pub fn new(alpha: f64, first: usize, group: usize, most: usize) -> Self {
        let mut looks: Vec<usize> = (first.min(most)..most).step_by(group.max(1)).collect();
        looks.push(most);
        SequentialTest { alpha, looks }
    }

    /// The most seeds that are run.
    pub fn most(&self) -> usize {
        self.looks.last().copied().unwrap_or(0)
    }

    /// Where each comparison stands, by its differences in the order of seeds.
    pub fn standing(&self, comparisons: &[Vec<f64>]) -> Vec<Standing> {
        let mut decided: Vec<Option<usize>> = vec![None; comparisons.len()];
        let level = loop {
            let open = decided.iter().filter(|at| at.is_none()).count();
            let level = self.alpha / open.max(1) as f64;
            let mut more = false;
            for (at, differences) in decided.iter_mut().zip(comparisons).filter(|(at, _)| at.is_none()) {
                *at = self.decided_at(differences, level);
                more |= at.is_some();
            }
            if !more {
                break level;
            }
        };
        let standing = |(at, differences): (Option<usize>, &Vec<f64>)| match at {
            Some(seeds) => Standing::Decided { seeds },
            None if self.is_hopeless(differences, level) => Standing::Hopeless,
            None => Standing::Open,
        };
        decided.into_iter().zip(comparisons).map(standing).collect()
    }

    /// The first look at which one comparison is decided at this level.
    fn decided_at(&self, differences: &[f64], level: f64) -> Option<usize> {
        let spent = |n: usize| level * n as f64 / self.most() as f64;
        let mut ways = Ways::new();
        for look in self.looks.iter().copied().take_while(|look| *look <= differences.len()) {
            for difference in &differences[ways.pairs..look] {
                ways.add(*difference);
            }
            if ways.reject(spent(look)) {
                return Some(look);
            }
        }
        None
    }

    /// Whether a comparison that goes on as it began would hardly be decided: with the mean and deviation so far, the sum
    /// with all seeds is normal with mean `most m` and variance `(most − n) s²`, and must be larger than `c s √most`, where
    /// c is the quantile of Student's t for a quarter of the level, which is about what is left for one look of several.
    fn is_hopeless(&self, differences: &[f64], level: f64) -> bool {
        let most = self.most();
        let Some(look) = self.looks.iter().copied().rfind(|look| *look <= differences.len()) else {
            return false;
        };
        let n = look as f64;
        let (mean, deviation) = mean_and_deviation(&differences[..look]);
        if look >= most {
            return true;
        }
        let left = (most - look) as f64;
        let most = most as f64;
        let limit = t_quantile(1.0 - level / 8.0, most - 1.0) * most.sqrt() * deviation;
        let chance = normal_probability((most * mean.abs() - limit) / (left.sqrt() * deviation));
        // Also if all differences are zero, and the chance is no number.
        n > 1.0 && (chance.is_nan() || chance < HOPELESS)
    }
}

/// Where a comparison stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// There is a difference.
    Decided {
        /// The number of seeds with which that was decided.
        seeds: usize,
    },
    /// More seeds may decide it.
    Open,
    /// It is not decided, and more seeds, up to the most that are to be run, would hardly decide it.
    Hopeless,
}

/// The ways to exchange within pairs that are not rejected yet, by their sums; the way things were is the first.
struct Ways {
    sums: Vec<f64>,
    pairs: usize,
    /// Ways there were with so many pairs, those that were rejected included.
    all: usize,
    rejected: usize,
    random: Xoshiro256PlusPlus,
}

impl Ways {
    fn new() -> Self {
        // The same differences always give the same answer.
        Ways { sums: Vec::new(), pairs: 0, all: 1, rejected: 0, random: Xoshiro256PlusPlus::seed_from_u64(1) }
    }

    /// Adds a pair: each way goes on in two, without an exchange and with one.
    fn add(&mut self, difference: f64) {
        if self.pairs == 0 {
            self.sums = vec![difference];
        } else if self.all < WAYS {
            self.sums.extend_from_within(..);
            let half = self.sums.len() / 2;
            let (same, exchanged) = self.sums.split_at_mut(half);
            same.iter_mut().for_each(|sum| *sum += difference);
            exchanged.iter_mut().for_each(|sum| *sum -= difference);
            self.all *= 2;
            self.rejected *= 2;
        } else {
            // The way things were goes on without an exchange.
            let (first, rest) = self.sums.split_at_mut(1);
            first[0] += difference;
            for sum in rest {
                *sum += if self.random.next_u64() >> 63 == 0 { difference } else { -difference };
            }
        }
        self.pairs += 1;
    }

    /// Rejects the ways with the largest sums until this part of all ways is rejected. Whether the way things
    /// were is among them.
    fn reject(&mut self, part: f64) -> bool {
        // The small term undoes what rounding takes away from whole numbers.
        let may = (part * self.all as f64 + 1e-9) as usize;
        let more = may.saturating_sub(self.rejected).min(self.sums.len());
        if more == 0 {
            return false;
        }
        // Ways with equal sums are rejected together or not at all; rounding makes them differ a little.
        let limit = if more == self.sums.len() {
            -1.0
        } else {
            let mut sizes: Vec<f64> = self.sums.iter().map(|sum| sum.abs()).collect();
            let (_, limit, _) = sizes.select_nth_unstable_by(more, |a, b| b.total_cmp(a));
            *limit * (1.0 + 1e-12) + f64::MIN_POSITIVE
        };
        let real = self.sums[0].abs() > limit;
        let before = self.sums.len();
        self.sums.retain(|sum| sum.abs() <= limit);
        self.rejected += before - self.sums.len();
        real
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Darwin's fifteen pairs of maize, cross-fertilised less self-fertilised, in eighths of an inch.
    const MAIZE: [f64; 15] =
        [49.0, -67.0, 8.0, 16.0, 6.0, 23.0, 28.0, 41.0, 14.0, 29.0, 56.0, 24.0, 75.0, 60.0, -48.0];

    fn decided(test: &SequentialTest, differences: &[f64]) -> Option<usize> {
        match test.standing(&[differences.to_vec()])[0] {
            Standing::Decided { seeds } => Some(seeds),
            _ => None,
        }
    }

    #[test]
    fn one_look_is_fishers_test_of_darwins_maize() {
        // The Design of Experiments (1935), section 21: of 32,768 ways, 863 have a sum of 314 or more, and as many one of
        // -314 or less: 0.05267.
        for (alpha, expected) in [(0.0526, None), (0.0527, Some(15))] {
            assert_eq!(decided(&SequentialTest::new(alpha, 15, 1, 15), &MAIZE), expected, "{alpha}");
        }
    }

    #[test]
    fn what_never_points_the_other_way_is_decided_as_soon_as_so_few_ways_are_allowed() {
        // Two of 2^n ways have no sign changed or all: 1/32, 1/128 at 6 and 8, where 0.05 · 6/20 = 0.015 and
        // 0.05 · 8/20 = 0.02 may be rejected.
        let all_better = [1.0, 2.0, 0.5, 0.25, 3.0, 1.5, 0.75, 1.0];
        let test = SequentialTest::new(0.05, 6, 2, 20);
        assert_eq!(test.looks, [6, 8, 10, 12, 14, 16, 18, 20]);
        assert_eq!(decided(&test, &all_better[..6]), None);
        assert_eq!(decided(&test, &all_better), Some(8));
        let mirrored: Vec<f64> = all_better.iter().map(|d| -d).collect();
        assert_eq!(decided(&test, &mirrored), Some(8));
        // More seeds than were needed change nothing.
        assert_eq!(decided(&test, &[&all_better[..], &[-100.0, 50.0]].concat()), Some(8));
    }

    #[test]
    fn differences_that_are_all_zero_decide_nothing() {
        let test = SequentialTest::new(0.05, 6, 2, 20);
        assert_eq!(decided(&test, &[0.0; 20]), None);
        assert_eq!(test.standing(&[vec![0.0; 6]]), [Standing::Hopeless]);
    }

    #[test]
    fn a_comparison_gets_the_error_that_a_decided_one_leaves() {
        let test = SequentialTest::new(0.1, 15, 1, 15);
        let clear: Vec<f64> = (1..=15).map(f64::from).collect();
        // 0.05267 (see above) is more than 0.1 / 2, and less than 0.1.
        let alone = test.standing(&[vec![0.0; 15], MAIZE.to_vec()]);
        assert_eq!(alone[1], Standing::Hopeless);
        let beside = test.standing(&[clear, MAIZE.to_vec()]);
        assert_eq!(beside, [Standing::Decided { seeds: 15 }; 2]);
    }

    #[test]
    fn more_pairs_than_can_be_enumerated_are_decided_too() {
        let test = SequentialTest::new(0.05, 40, 1, 40);
        // The t statistics of these are 3.3 and 1.6: p = 0.002 and 0.12.
        let differences = |shift: f64| -> Vec<f64> {
            (0..40).map(|i| shift + if i % 2 == 0 { 1.0 } else { -1.0 }).collect()
        };
        assert_eq!(decided(&test, &differences(0.52)), Some(40));
        assert_eq!(decided(&test, &differences(0.25)), None);
    }
}

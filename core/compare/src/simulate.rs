//! What a sequential test does when the truth is known: how often it finds a difference, and how many seeds it takes.
use super::sequential::{SequentialTest, Standing};
use rand_distr::{Distribution, StandardNormal, StudentT};
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::SeedableRng;

/// How the results of runs are distributed around their mean, for one value of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noise {
    /// Normal.
    Normal,
    /// Student's t with 3 degrees of freedom: now and then a run is far off.
    HeavyTails,
    /// The exponential of a normal: most runs are good, some are bad.
    Skewed,
}

impl Noise {
    /// All of them.
    pub const ALL: [Noise; 3] = [Noise::Normal, Noise::HeavyTails, Noise::Skewed];

    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Noise::Normal => "normal",
            Noise::HeavyTails => "heavy tails",
            Noise::Skewed => "skewed",
        }
    }

    /// Draws a result.
    fn draw(self, random: &mut Xoshiro256PlusPlus) -> f64 {
        let normal: f64 = StandardNormal.sample(random);
        match self {
            Noise::Normal => normal,
            // 3 is a number of degrees of freedom that there is.
            Noise::HeavyTails => StudentT::new(3.0).map_or(normal, |t| t.sample(random)),
            Noise::Skewed => normal.exp(),
        }
    }

    /// The standard deviation of what [`draw`](Self::draw) draws: √(ν / (ν − 2)) for Student's t, √(e² − e) for the
    /// exponential of a normal.
    fn deviation(self) -> f64 {
        let e = std::f64::consts::E;
        match self {
            Noise::Normal => 1.0,
            Noise::HeavyTails => 3.0_f64.sqrt(),
            Noise::Skewed => (e * e - e).sqrt(),
        }
    }
}

/// What is simulated.
#[derive(Debug, Clone, Copy)]
pub struct Truth {
    /// How many values a key has; all pairs of them are compared.
    pub values: usize,
    /// By how much the first value differs from the others: in standard deviations of the paired differences.
    pub effect: f64,
    /// How results are distributed.
    pub noise: Noise,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcome {
    /// The part of the repetitions in which at least one comparison was decided.
    pub any_decided: f64,
    /// Of the comparisons with the first value, the part that was decided.
    pub decided: f64,
    /// The seeds that a comparison with the first value took, on average.
    pub seeds: f64,
}

/// Runs a test so many times on results that are drawn anew.
pub fn simulate(test: &SequentialTest, truth: Truth, repeats: usize, seed: u64) -> Outcome {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
    let most = test.most();
    // A difference of two results varies √2 times as much as one of them.
    let shift = truth.effect * truth.noise.deviation() * 2.0_f64.sqrt();
    let (mut any, mut decided, mut seeds) = (0, 0, 0);
    for _ in 0..repeats {
        let results: Vec<Vec<f64>> = (0..truth.values)
            .map(|value| {
                let shift = if value == 0 { shift } else { 0.0 };
                (0..most).map(|_| truth.noise.draw(&mut random) + shift).collect()
            })
            .collect();
        let at = play(test, &results);
        any += usize::from(at.iter().any(|(is_decided, _)| *is_decided));
        // The pairs with the first value come first.
        for (is_decided, taken) in &at[..truth.values - 1] {
            decided += usize::from(*is_decided);
            seeds += taken;
        }
    }
    let repeats = repeats as f64;
    let pairs = repeats * (truth.values - 1) as f64;
    Outcome {
        any_decided: any as f64 / repeats,
        decided: decided as f64 / pairs,
        seeds: seeds as f64 / pairs,
    }
}

/// Goes on, group by group, with the values that are in an open comparison, as a sweep does. For each pair of values:
/// whether it was decided, and how many seeds that took.
fn play(test: &SequentialTest, results: &[Vec<f64>]) -> Vec<(bool, usize)> {
    let pairs: Vec<(usize, usize)> =
        (0..results.len()).flat_map(|a| (a + 1..results.len()).map(move |b| (a, b))).collect();
    let mut seeds = vec![0; results.len()];
    let mut standing = vec![Standing::Open; pairs.len()];
    for look in &test.looks {
        for ((a, b), _) in pairs.iter().zip(&standing).filter(|(_, s)| **s == Standing::Open) {
            (seeds[*a], seeds[*b]) = (*look, *look);
        }
        let differences = |(a, b): &(usize, usize)| {
            let both = seeds[*a].min(seeds[*b]);
            results[*a].iter().zip(&results[*b]).take(both).map(|(a, b)| a - b).collect()
        };
        standing = test.standing(&pairs.iter().map(differences).collect::<Vec<_>>());
    }
    let taken = |((a, b), standing): (&(usize, usize), &Standing)| match standing {
        Standing::Decided { seeds } => (true, *seeds),
        _ => (false, seeds[*a].min(seeds[*b])),
    };
    pairs.iter().zip(&standing).map(taken).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_difference_at_most_one_comparison_in_twenty_is_decided() {
        let test = SequentialTest::new(0.05, 6, 2, 20);
        for noise in Noise::ALL {
            let outcome = simulate(&test, Truth { values: 2, effect: 0.0, noise }, 1_000, 1);
            assert!(outcome.any_decided <= 0.05, "{noise:?}: {outcome:?}");
            // A test that never decides would be no test: the error is there to be spent.
            assert!(outcome.any_decided > 0.02, "{noise:?}: {outcome:?}");
        }
        let truth = Truth { values: 3, effect: 0.0, noise: Noise::Normal };
        let outcome = simulate(&test, truth, 500, 2);
        assert!(outcome.any_decided <= 0.05, "one of three comparisons: {outcome:?}");
    }

    #[test]
    fn an_effect_of_one_deviation_takes_half_the_seeds_of_a_fixed_test_of_twenty() {
        let test = SequentialTest::new(0.05, 6, 2, 20);
        for noise in Noise::ALL {
            let outcome = simulate(&test, Truth { values: 2, effect: 1.0, noise }, 1_000, 3);
            assert!(outcome.seeds <= 10.0 && outcome.decided > 0.8, "{noise:?}: {outcome:?}");
        }
    }
}

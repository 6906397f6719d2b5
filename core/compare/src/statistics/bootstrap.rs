//! The percentile bootstrap over seeds, within strata.
use super::summary::probability_of_improvement;
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

/// Where 95 % of the resampled results lie.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Interval {
    /// 2.5 % of them are below.
    pub low: f64,
    /// 2.5 % of them are above.
    pub high: f64,
}

/// Resamples of an interval that is to be read.
pub const RESAMPLES: usize = 10_000;
/// The generator's seed: the same runs give the same interval.
const SEED: u64 = 0x00ef_fe5e_9ce5;

/// The interval of a figure of values in strata (tasks). Each resample draws as many values from each stratum as it has,
/// with replacement; the figure is of all that were drawn. `None` if no stratum has two values.
pub fn bootstrap(strata: &[Vec<f64>], resamples: usize, figure: impl Fn(&[f64]) -> f64) -> Option<Interval> {
    if strata.iter().all(|stratum| stratum.len() < 2) {
        return None;
    }
    let mut random = Xoshiro256PlusPlus::seed_from_u64(SEED);
    let mut drawn = Vec::new();
    let results = (0..resamples).map(|_| {
        drawn.clear();
        for stratum in strata {
            drawn.extend((0..stratum.len()).map(|_| stratum[random.random_range(0..stratum.len())]));
        }
        figure(&drawn)
    });
    Some(percentiles(results.collect()))
}

/// The interval of the probability of improvement: both sides are resampled.
pub fn improvement_interval(left: &[Vec<f64>], right: &[Vec<f64>], resamples: usize) -> Option<Interval> {
    if [left, right].iter().any(|side| side.iter().all(|stratum| stratum.len() < 2)) {
        return None;
    }
    let mut random = Xoshiro256PlusPlus::seed_from_u64(SEED);
    let mut draw = |side: &[Vec<f64>]| -> Vec<Vec<f64>> {
        let draw = |stratum: &Vec<f64>| {
            (0..stratum.len()).map(|_| stratum[random.random_range(0..stratum.len())]).collect()
        };
        side.iter().map(draw).collect()
    };
    let results = (0..resamples).map(|_| probability_of_improvement(&draw(left), &draw(right)));
    Some(percentiles(results.collect()))
}

/// The 2.5th and 97.5th percentile, between two values in proportion, as `numpy.percentile` takes them.
fn percentiles(mut results: Vec<f64>) -> Interval {
    results.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let place = share * (results.len() - 1) as f64;
        let (below, above) = (results[place.floor() as usize], results[place.ceil() as usize]);
        below + (above - below) * place.fract()
    };
    Interval { low: at(0.025), high: at(0.975) }
}

#[cfg(test)]
mod tests {
    use super::super::summary::{interquartile_mean, mean};
    use super::*;
    use crate::statistics::tests::{A, C, D, S, T, near};

    /// rliable.library.get_interval_estimates(…, reps=50000), percentile method. Two generators differ by what chance does
    /// to 50,000 draws: well below 3 % of the interval's width here.
    #[test]
    fn intervals_are_those_of_rliable() {
        let own = |values: &[f64]| values.to_vec();
        let (s, t) = (S.map(|s| own(&s)), T.map(|t| own(&t)));
        let check = |ours: Option<Interval>, low: f64, high: f64| {
            let ours = ours.unwrap();
            let within = 0.03 * (high - low);
            near(ours.low, low, within);
            near(ours.high, high, within);
        };
        let n = 50_000;
        check(bootstrap(&[own(&C)], n, interquartile_mean), -0.054, 0.61);
        check(bootstrap(&[own(&A)], n, interquartile_mean), 3.775, 4.225);
        check(bootstrap(&s, n, interquartile_mean), 1.715, 2.23166667);
        check(bootstrap(&[own(&C)], n, mean), -0.01, 0.57);
        check(bootstrap(&s, n, mean), 1.815, 2.249);
        check(improvement_interval(&t, &s, n), 0.26, 0.8);
        // Of 35 pairs the probability has steps of 1/35 (and halves of them), and this percentile lies at the edge of one.
        let ours = improvement_interval(&[own(&C)], &[own(&D)], n).unwrap();
        near(ours.low, 0.22857143, 1.01 / 35.0);
        near(ours.high, 0.88571429, 1.01 / 35.0);
    }

    #[test]
    fn one_value_has_no_interval_and_the_same_values_always_the_same() {
        assert_eq!(bootstrap(&[vec![1.0], vec![2.0]], 100, mean), None);
        assert_eq!(improvement_interval(&[vec![1.0]], &[vec![1.0, 2.0]], 100), None);
        let once = bootstrap(&[C.to_vec()], 1_000, mean);
        assert_eq!(once, bootstrap(&[C.to_vec()], 1_000, mean));
    }

    /// numpy.percentile([1, 2, 4, 8], [2.5, 97.5])
    #[test]
    fn percentiles_are_those_of_numpy() {
        let found = percentiles(vec![8.0, 1.0, 4.0, 2.0]);
        near(found.low, 1.075, 1e-12);
        near(found.high, 7.7, 1e-12);
    }
}

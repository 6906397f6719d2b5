//! Student's t test of a difference, what is needed to find one, and several tests at once.
use super::bootstrap::Interval;
use super::summary::mean;
use statrs::distribution::{ContinuousCDF, StudentsT};

/// The difference of two means.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Difference {
    /// Left minus right.
    pub mean: f64,
    /// Where it lies, with 95 % confidence.
    pub interval: Interval,
    /// How likely one so large or larger is if there is none.
    pub p: f64,
    /// In standard deviations: of the differences if they are paired, else of the values, both sides counting alike.
    pub effect: f64,
}

/// Paired: of values that belong together. `None` with fewer than two.
pub fn paired(left: &[f64], right: &[f64]) -> Option<Difference> {
    let differences: Vec<f64> = left.iter().zip(right).map(|(left, right)| left - right).collect();
    let n = differences.len() as f64;
    let deviation = variance(&differences)?.sqrt();
    difference(mean(&differences), deviation / n.sqrt(), deviation, n - 1.0)
}

/// Welch's: of values that do not belong together, whose variances may differ. `None` if a side has fewer than two.
pub fn welch(left: &[f64], right: &[f64]) -> Option<Difference> {
    let (left_variance, right_variance) = (variance(left)?, variance(right)?);
    let (l, r) = (left_variance / left.len() as f64, right_variance / right.len() as f64);
    let freedom = (l + r).powi(2) / (l * l / (left.len() - 1) as f64 + r * r / (right.len() - 1) as f64);
    let deviation = ((left_variance + right_variance) / 2.0).sqrt();
    // Without any variance the freedom is 0 / 0, and makes no difference.
    let freedom = if freedom.is_finite() { freedom } else { (left.len() + right.len() - 2) as f64 };
    difference(mean(left) - mean(right), (l + r).sqrt(), deviation, freedom)
}

fn difference(mean: f64, error: f64, deviation: f64, freedom: f64) -> Option<Difference> {
    let student = StudentsT::new(0.0, 1.0, freedom).ok()?;
    let reach = student.inverse_cdf(0.975) * error;
    // Without any variance: certain if there is a difference, and none at all if there is none.
    let p = match error > 0.0 {
        true => 2.0 * student.cdf(-(mean / error).abs()),
        false => f64::from(mean == 0.0),
    };
    let effect = if mean == 0.0 { 0.0 } else { mean / deviation };
    Some(Difference { mean, interval: Interval { low: mean - reach, high: mean + reach }, p, effect })
}

fn variance(values: &[f64]) -> Option<f64> {
    let mean = mean(values);
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (values.len() >= 2).then(|| squares / (values.len() - 1) as f64)
}

/// Corrects the p values of several tests after Holm: what to compare with 0.05 so that the chance of any false alarm
/// among them is at most that.
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|a, b| p[*a].total_cmp(&p[*b]));
    let mut corrected = vec![0.0; p.len()];
    let mut largest: f64 = 0.0;
    for (rank, at) in order.into_iter().enumerate() {
        largest = largest.max((p[at] * (p.len() - rank) as f64).min(1.0));
        corrected[at] = largest;
    }
    corrected
}

/// Roughly how many seeds (pairs, or runs a side) would show an effect of so many standard deviations, in four of five
/// cases, at the level `alpha`. Guenther 1981 ("Sample Size Formulas for Normal Theory T Tests"): the formula for the
/// normal distribution, and a term for what Student's costs.
///
/// n = k (z(1 − α/2) + z(0.8))² / effect² + z(1 − α/2)² / 2k, where k is 1 for pairs and 2 for two sides.
pub fn seeds_needed(effect: f64, alpha: f64, are_paired: bool) -> f64 {
    let normal = statrs::distribution::Normal::standard();
    let z = normal.inverse_cdf(1.0 - alpha / 2.0);
    let sides = if are_paired { 1.0 } else { 2.0 };
    let n = sides * ((z + normal.inverse_cdf(0.8)) / effect).powi(2) + z * z / (2.0 * sides);
    n.ceil().max(3.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::tests::{A, B, C, D, near};

    fn check(found: Option<Difference>, mean: f64, low: f64, high: f64, p: f64) {
        let found = found.unwrap();
        near(found.mean, mean, 1e-12);
        near(found.interval.low, low, 1e-9);
        near(found.interval.high, high, 1e-9);
        near(found.p, p, 1e-9 * p.max(1e-3));
    }

    /// scipy.stats.ttest_rel(left, right), and its confidence_interval().
    #[test]
    fn paired_tests_are_those_of_scipy() {
        let mean = 2.183333333333333;
        check(paired(&A, &B), mean, 1.771950993000614, 2.594715673666052, 3.7939745975964015e-05);
        let (left, right) = ([4.1, 2.9, 4.4, 3.1], [3.9, 3.0, 4.0, 2.9]);
        let (low, high) = (-0.15303905661353506, 0.5030390566135352);
        check(paired(&left, &right), 0.175, low, high, 0.18812040437418748);
        assert_eq!(paired(&[1.0], &[2.0]), None);
    }

    /// scipy.stats.ttest_ind(left, right, equal_var=False), and its confidence_interval().
    #[test]
    fn tests_of_unpaired_values_are_those_of_scipy() {
        check(welch(&C, &D), 0.07, -0.36606911964106487, 0.5060691196410647, 0.7272451874131222);
        let (low, high) = (1.8439328562094814, 2.522733810457186);
        check(welch(&A, &B), 2.1833333333333336, low, high, 5.965499702481923e-08);
        assert_eq!(welch(&[1.0], &[2.0, 3.0]), None);
    }

    #[test]
    fn values_without_variance_are_certain() {
        let found = paired(&[2.0, 3.0], &[1.0, 2.0]).unwrap();
        assert_eq!((found.mean, found.p, found.interval), (1.0, 0.0, Interval { low: 1.0, high: 1.0 }));
        assert_eq!(paired(&[2.0, 3.0], &[2.0, 3.0]).unwrap().p, 1.0);
        assert_eq!(welch(&[2.0, 2.0], &[2.0, 2.0]).unwrap().p, 1.0);
    }

    /// By hand: 0.01 · 3, max(0.03, 0.03 · 2), max(0.06, 0.04 · 1).
    #[test]
    fn holm_corrects_step_by_step() {
        let corrected = holm(&[0.01, 0.04, 0.03]);
        for (found, expected) in corrected.into_iter().zip([0.03, 0.06, 0.06]) {
            near(found, expected, 1e-15);
        }
    }

    /// The smallest n whose power is at least 0.8 by scipy.stats.nct (noncentral t), 2 at most beside it.
    #[test]
    fn seeds_that_are_needed_are_nearly_those_of_the_exact_power() {
        let exact = |are_paired, alpha: f64, cases: &[(f64, f64)]| {
            for (effect, n) in cases {
                near(seeds_needed(*effect, alpha, are_paired), *n, 2.0);
            }
        };
        exact(true, 0.05, &[(1.5, 6.0), (1.0, 10.0), (0.8, 15.0), (0.5, 34.0), (0.3, 90.0), (0.2, 199.0)]);
        exact(true, 0.05 / 3.0, &[(1.0, 14.0), (0.5, 45.0)]);
        exact(false, 0.05, &[(2.0, 6.0), (1.5, 9.0), (1.0, 17.0), (0.5, 64.0), (0.2, 394.0)]);
    }
}

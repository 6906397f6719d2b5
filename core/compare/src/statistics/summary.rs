//! One number for many.

/// The mean; NaN of nothing.
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The median; NaN of nothing.
pub fn median(values: &[f64]) -> f64 {
    let sorted = sorted(values);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => (sorted[n / 2 - 1] + sorted[n / 2]) / 2.0,
    }
}

/// The mean of the middle half: a quarter of the values, rounded down, is left out at each end. So 3 values or fewer all
/// count.
pub fn interquartile_mean(values: &[f64]) -> f64 {
    let sorted = sorted(values);
    let cut = sorted.len() / 4;
    mean(&sorted[cut..sorted.len() - cut])
}

/// How often a value of `left` is above one of `right`, ties counting half, within each stratum; the mean over strata.
/// Strata in which a side has no values do not count.
pub fn probability_of_improvement(left: &[Vec<f64>], right: &[Vec<f64>]) -> f64 {
    let strata = left.iter().zip(right).filter(|(left, right)| !left.is_empty() && !right.is_empty());
    let shares: Vec<f64> = strata
        .map(|(left, right)| {
            let wins =
                |l: f64| right.iter().map(|r| f64::from(l > *r) + 0.5 * f64::from(l == *r)).sum::<f64>();
            left.iter().map(|l| wins(*l)).sum::<f64>() / (left.len() * right.len()) as f64
        })
        .collect();
    mean(&shares)
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::tests::{A, B, C, D, S, T, near};

    /// numpy.mean, numpy.median, scipy.stats.trim_mean(x, 0.25).
    #[test]
    fn they_are_what_numpy_and_scipy_say() {
        for (values, expected) in [
            (&A[..], [3.9916666666666667, 3.975, 3.9625]),
            (&B[..], [1.808333333333333, 1.75, 1.7625]),
            (&C[..], [0.28, 0.27, 0.282]),
            (&D[..], [0.21, 0.2, 0.21666666666666667]),
        ] {
            near(mean(values), expected[0], 1e-12);
            near(median(values), expected[1], 1e-12);
            near(interquartile_mean(values), expected[2], 1e-12);
        }
        assert!(mean(&[]).is_nan() && median(&[]).is_nan() && interquartile_mean(&[]).is_nan());
    }

    /// rliable.metrics.probability_of_improvement, on columns of one and of two tasks.
    #[test]
    fn improvement_is_what_rliable_says() {
        let p = |left: &[&[f64]], right: &[&[f64]]| {
            let own = |strata: &[&[f64]]| strata.iter().map(|s| s.to_vec()).collect::<Vec<_>>();
            probability_of_improvement(&own(left), &own(right))
        };
        near(p(&[&C], &[&D]), 0.5714285714285714, 1e-12);
        near(p(&[&[1.0, 2.0, 2.0, 3.0]], &[&[2.0, 2.0, 1.0]]), 0.625, 1e-12);
        near(p(&[&T[0], &T[1]], &[&S[0], &S[1]]), 0.54, 1e-12);
        near(p(&[&T[0], &[1.0]], &[&S[0], &[]]), p(&[&T[0]], &[&S[0]]), 0.0);
    }
}

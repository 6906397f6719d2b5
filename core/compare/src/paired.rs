//! What paired differences say by themselves, and how many of them would be enough.
use statrs::distribution::{ContinuousCDF, Normal, StudentsT};

/// The mean of some numbers, and their standard deviation (of a sample: divided by n − 1).
pub fn mean_and_deviation(numbers: &[f64]) -> (f64, f64) {
    let n = numbers.len() as f64;
    let mean = numbers.iter().sum::<f64>() / n;
    let squares: f64 = numbers.iter().map(|x| (x - mean) * (x - mean)).sum();
    (mean, (squares / (n - 1.0)).sqrt())
}

/// How many pairs a test of this level (of both sides) needs to find a difference of so many standard deviations with this
/// probability: `n = (z₁₋ₐ⸝₂ + z_power)² / effect² + z₁₋ₐ⸝₂² / 2`, where the last term is Guenther's, for the deviation being
/// estimated too (The American Statistician 35, 1981). `None` for no effect.
pub fn pairs_needed(effect: f64, level: f64, power: f64) -> Option<usize> {
    let (a, b) = (normal_quantile(1.0 - level / 2.0), normal_quantile(power));
    let pairs = ((a + b) / effect).powi(2) + a * a / 2.0;
    (pairs.is_finite() && pairs < 1e9).then_some(pairs.ceil() as usize)
}

/// The probability that a normal number is below this.
pub(super) fn normal_probability(below: f64) -> f64 {
    Normal::standard().cdf(below)
}

fn normal_quantile(probability: f64) -> f64 {
    Normal::standard().inverse_cdf(probability)
}

/// The quantile of Student's t.
pub(super) fn t_quantile(probability: f64, freedom: f64) -> f64 {
    StudentsT::new(0.0, 1.0, freedom).map_or(f64::INFINITY, |t| t.inverse_cdf(probability))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_tables() {
        // scipy.stats: t.ppf(0.99375, 19), norm.cdf(-1.2), norm.ppf(0.975)
        assert!((t_quantile(0.99375, 19.0) - 2.758_585_899).abs() < 1e-6);
        assert!((normal_probability(-1.2) - 0.115_069_67).abs() < 1e-7);
        assert!((normal_quantile(0.975) - 1.959_963_98).abs() < 1e-6);
    }

    #[test]
    fn as_many_pairs_are_needed_as_by_the_exact_power_of_the_t_test() {
        // G*Power 3.1, t test of matched pairs, both sides, level 0.05, power 0.8.
        for (effect, pairs) in [(0.5, 34), (0.8, 15), (1.0, 10)] {
            assert_eq!(pairs_needed(effect, 0.05, 0.8), Some(pairs), "{effect}");
        }
        assert_eq!(pairs_needed(0.0, 0.05, 0.8), None);
    }

    #[test]
    fn the_deviation_is_that_of_a_sample() {
        // 2, 4, 4, 4, 5, 5, 7, 9: mean 5, squares 32, √(32 / 7)
        let (mean, deviation) = mean_and_deviation(&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]);
        assert_eq!(mean, 5.0);
        assert!((deviation - (32.0_f64 / 7.0).sqrt()).abs() < 1e-15);
    }
}

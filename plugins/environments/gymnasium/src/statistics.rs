//! Running means and deviations of elements that have no bounds.
use efference_sdk::{Result, ensure};

/// Deviations from the mean that become 1.
const DEVIATIONS: f64 = 4.0;
/// Added to a variance, against division by zero.
const EPSILON: f64 = 1e-8;

/// Welford's running mean and variance of each element, over all streams.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Statistics {
    count: Vec<u64>,
    mean: Vec<f64>,
    /// The sum of squared differences from the mean.
    squares: Vec<f64>,
}

impl Statistics {
    /// Of so many elements.
    pub(crate) fn new(elements: usize) -> Statistics {
        Statistics { count: vec![0; elements], mean: vec![0.0; elements], squares: vec![0.0; elements] }
    }

    /// Takes a finite `x` of an element into account; returns (x − mean) / (4 · deviation), limited to −1…1. The deviation of
    /// fewer than two values counts as 1.
    pub(crate) fn scale(&mut self, element: usize, x: f64) -> f32 {
        let (count, mean) = (&mut self.count[element], &mut self.mean[element]);
        *count += 1;
        let difference = x - *mean;
        *mean += difference / *count as f64;
        self.squares[element] += difference * (x - *mean);
        let variance = if *count < 2 { 1.0 } else { self.squares[element] / (*count - 1) as f64 };
        let deviations = (x - *mean) / (variance + EPSILON).sqrt();
        (deviations / DEVIATIONS).clamp(-1.0, 1.0) as f32
    }

    /// Appends all of it.
    pub(crate) fn save(&self, to: &mut Vec<u8>) {
        for element in 0..self.count.len() {
            to.extend(self.count[element].to_le_bytes());
            to.extend(self.mean[element].to_le_bytes());
            to.extend(self.squares[element].to_le_bytes());
        }
    }

    /// Bytes that [`save`](Self::save) appends.
    pub(crate) fn saved_length(&self) -> usize {
        24 * self.count.len()
    }

    /// Reads what [`save`](Self::save) has written of as many elements.
    pub(crate) fn restore(&self, saved: &[u8]) -> Result<Statistics> {
        ensure!(
            saved.len() == self.saved_length(),
            "the saved statistics are of other elements, or are damaged"
        );
        let mut read = Statistics::new(self.count.len());
        for (element, three) in saved.as_chunks::<24>().0.iter().enumerate() {
            let word = |at: usize| three[8 * at..].first_chunk::<8>().copied().unwrap_or_default();
            read.count[element] = u64::from_le_bytes(word(0));
            read.mean[element] = f64::from_le_bytes(word(1));
            read.squares[element] = f64::from_le_bytes(word(2));
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_element_is_scaled_by_what_came_until_then() {
        let mut statistics = Statistics::new(2);
        // The mean of the first is itself; of 3 and 7 the mean is 5 and the deviation √8; of 3, 7 and 2, 4 and √7.
        assert_eq!(statistics.scale(1, 3.0), 0.0);
        assert!((statistics.scale(1, 7.0) - (2.0 / 8f32.sqrt() / 4.0)).abs() < 1e-6);
        assert!((statistics.scale(1, 2.0) - (-2.0 / 7f32.sqrt() / 4.0)).abs() < 1e-6);
        for _ in 0..100 {
            statistics.scale(0, 1.0);
        }
        assert_eq!(statistics.scale(0, 1.0), 0.0);
        // 101 ones and 1001: the deviation is 99.0, and (1001 − 10.8) / 99.0 = 10.0, which is more than 4.
        assert_eq!(statistics.scale(0, 1001.0), 1.0);
        assert!(statistics.scale(1, 1e300).is_finite());
    }

    #[test]
    fn what_is_saved_goes_on_alike() {
        let mut one = Statistics::new(2);
        for n in 0..50 {
            one.scale(n % 2, (n as f64).sin());
        }
        let mut saved = Vec::new();
        one.save(&mut saved);
        let mut other = Statistics::new(2).restore(&saved).unwrap();
        assert_eq!(one, other);
        assert_eq!(one.scale(1, 0.3).to_bits(), other.scale(1, 0.3).to_bits());
        let error = Statistics::new(3).restore(&saved).unwrap_err().to_string();
        assert!(error.contains("of other elements"), "{error}");
    }
}

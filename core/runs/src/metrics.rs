//! Scalars between two recordings.
use indexmap::IndexMap;

/// Gathers named scalars step by step, and gives their means.
///
/// Names keep the order in which they were first used, for the whole run: a metric that is missing from one
/// window comes back at its old place.
///
/// ```
/// # use efference_runs::Metrics;
/// let mut metrics = Metrics::default();
/// metrics.add("loss", 2.0);
/// metrics.add("loss", 4.0);
/// metrics.add("reward", 1.0);
/// assert_eq!(metrics.take(), [("loss".to_owned(), 3.0), ("reward".to_owned(), 1.0)]);
/// assert!(metrics.take().is_empty());
/// ```
#[derive(Debug, Default)]
pub struct Metrics {
    sums: IndexMap<String, Sum>,
    // Steps mostly add the same names in the same order: where the next one is expected.
    next: usize,
}

#[derive(Debug, Default)]
struct Sum {
    sum: f64,
    count: u64,
}

impl Metrics {
    /// Adds one value of a metric to the current window. NaN makes the window's mean NaN: a run that has
    /// diverged should look like it.
    pub fn add(&mut self, name: &str, value: f64) {
        let sum = self.sum(name);
        sum.sum += value;
        sum.count += 1;
    }

    /// Sets a metric, of which the last value of a window counts and not the mean.
    pub fn set(&mut self, name: &str, value: f64) {
        *self.sum(name) = Sum { sum: value, count: 1 };
    }

    fn sum(&mut self, name: &str) -> &mut Sum {
        let at = match self.sums.get_index(self.next) {
            Some((expected, _)) if expected == name => self.next,
            _ => match self.sums.get_index_of(name) {
                Some(at) => at,
                None => self.sums.insert_full(name.to_owned(), Sum::default()).0,
            },
        };
        self.next = if at + 1 < self.sums.len() { at + 1 } else { 0 };
        &mut self.sums[at]
    }

    /// The mean of a metric in the current window; `None` if it was not added since the last [`take`](Self::take).
    pub fn mean(&self, name: &str) -> Option<f64> {
        let sum = self.sums.get(name).filter(|s| s.count > 0)?;
        Some(sum.sum / sum.count as f64)
    }

    /// What was added up since the last call of [`take`](Self::take), in order of first use: name, sum, number of values.
    pub fn save(&self) -> Vec<(&str, f64, u64)> {
        self.sums.iter().map(|(name, s)| (name.as_str(), s.sum, s.count)).collect()
    }

    /// Goes on with what [`save`](Self::save) returned.
    pub fn restore(sums: Vec<(String, f64, u64)>) -> Self {
        let sum = |(name, sum, count)| (name, Sum { sum, count });
        Metrics { sums: sums.into_iter().map(sum).collect(), next: 0 }
    }

    /// The mean of every metric that was added since the last call, in order of first use; a new window begins.
    pub fn take(&mut self) -> Vec<(String, f64)> {
        self.next = 0;
        let mut means = Vec::with_capacity(self.sums.len());
        for (name, sum) in self.sums.iter_mut().filter(|(_, s)| s.count > 0) {
            means.push((name.clone(), sum.sum / sum.count as f64));
            (sum.sum, sum.count) = (0.0, 0);
        }
        means
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_metric_that_is_set_the_last_value_counts_also_where_it_was_saved_in_between() {
        let mut metrics = Metrics::default();
        metrics.set("whole", 1.0);
        metrics.set("whole", 3.0);
        let saved = metrics.save().into_iter().map(|(name, sum, count)| (name.to_owned(), sum, count));
        let mut restored = Metrics::restore(saved.collect());
        assert_eq!(restored.mean("whole"), Some(3.0));
        restored.set("whole", 4.0);
        assert_eq!(restored.take(), [("whole".to_owned(), 4.0)]);
        assert!(restored.take().is_empty());
    }

    #[test]
    fn means_come_in_the_order_of_first_use_in_every_window() {
        let mut metrics = Metrics::default();
        for step in 0..10 {
            metrics.add("loss", f64::from(step));
            if step % 2 == 0 {
                metrics.add("reward", 1.0);
            }
            metrics.add("error", 2.0);
        }
        assert_eq!(metrics.mean("loss"), Some(4.5));
        let names = |taken: &[(String, f64)]| taken.iter().map(|(n, _)| n.clone()).collect::<Vec<_>>();
        let taken = metrics.take();
        assert_eq!(names(&taken), ["loss", "reward", "error"]);
        assert_eq!(taken.iter().map(|(_, v)| *v).collect::<Vec<_>>(), [4.5, 1.0, 2.0]);
        assert_eq!(metrics.mean("loss"), None);

        metrics.add("error", f64::NAN);
        metrics.add("error", 1.0);
        metrics.add("new", 5.0);
        metrics.add("loss", 1.0);
        let taken = metrics.take();
        assert_eq!(names(&taken), ["loss", "error", "new"], "as first used, not as used in this window");
        assert!(taken[1].1.is_nan(), "one NaN shows");
    }
}

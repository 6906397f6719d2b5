//! A metric over the steps, in as many points as a screen can show.

/// Points that are held at most: a few for each column of a wide screen.
const MOST: usize = 1_024;

/// Means over equal numbers of lines; a run of any length takes the same memory.
#[derive(Debug, Clone, Default)]
pub(crate) struct Curve {
    points: Vec<Sum>,
    /// The mean that is not full yet.
    open: Sum,
    /// Lines in a point, as a power of 2.
    doubled: u32,
    last: f64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    step: f64,
    value: f64,
    count: u32,
}

impl Curve {
    /// Adds a line's value; NaN leaves a gap.
    pub(crate) fn push(&mut self, step: u64, value: f64) {
        self.last = value;
        if !value.is_finite() {
            return;
        }
        self.open = self.open.and(Sum { step: step as f64, value, count: 1 });
        if self.open.count < 1 << self.doubled {
            return;
        }
        self.points.push(std::mem::take(&mut self.open));
        if self.points.len() == MOST {
            self.points = self.points.as_chunks::<2>().0.iter().map(|[a, b]| a.and(*b)).collect();
            self.doubled += 1;
        }
    }

    /// Forgets what was recorded from this step on, as far as whole points go: a resumed run does it again.
    pub(crate) fn forget_from(&mut self, step: u64) {
        self.points.retain(|sum| sum.step < step as f64 * f64::from(sum.count));
        if self.open.step >= step as f64 * f64::from(self.open.count) {
            self.open = Sum::default();
        }
    }

    /// What was recorded last, NaN too.
    pub(crate) fn last(&self) -> f64 {
        self.last
    }

    /// The points, by step.
    pub(crate) fn points(&self) -> Vec<(f64, f64)> {
        let open = (self.open.count > 0).then_some(&self.open);
        let mean = |sum: &Sum| (sum.step / f64::from(sum.count), sum.value / f64::from(sum.count));
        self.points.iter().chain(open).map(mean).collect()
    }
}

impl Sum {
    fn and(self, other: Sum) -> Sum {
        Sum { step: self.step + other.step, value: self.value + other.value, count: self.count + other.count }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_lines_become_few_points_that_are_their_means() {
        let mut curve = Curve::default();
        for step in 1..=100_000_u64 {
            curve.push(step, 3.0 * step as f64 + if step % 2 == 0 { 1.0 } else { -1.0 });
        }
        let points = curve.points();
        assert!((MOST / 2..=MOST).contains(&points.len()), "{}", points.len());
        // A straight line stays one; what jitters by 1 from line to line is averaged away.
        for (step, value) in &points[..points.len() - 1] {
            assert!((value - 3.0 * step).abs() < 1e-6, "{step} {value}");
        }
        assert!(points[0].0 < 100.0 && points[points.len() - 1].0 > 99_800.0);
    }

    #[test]
    fn what_a_resumed_run_does_again_is_forgotten() {
        let mut curve = Curve::default();
        (1..=10).for_each(|step| curve.push(step, 1.0));
        curve.forget_from(4);
        (4..=6).for_each(|step| curve.push(step, 2.0));
        let values: Vec<f64> = curve.points().iter().map(|(_, value)| *value).collect();
        assert_eq!(values, [1.0, 1.0, 1.0, 2.0, 2.0, 2.0]);
    }

    #[test]
    fn a_value_that_is_no_number_is_a_gap_and_the_last_one() {
        let mut curve = Curve::default();
        curve.push(1, 0.5);
        curve.push(2, f64::NAN);
        assert_eq!(curve.points(), [(1.0, 0.5)]);
        assert!(curve.last().is_nan());
    }
}

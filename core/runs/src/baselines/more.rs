//! Baselines of streams that are series: linear extrapolation, and the same moment a period ago.

/// Which baselines there are beside the last value and the mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MoreBaselines {
    /// Linear extrapolation.
    pub linear: bool,
    /// The same moment so many frames ago.
    pub period: Option<usize>,
}

/// What they remember of a stream.
#[derive(Debug)]
pub(super) struct More {
    wanted: MoreBaselines,
    /// Elements of an observation. What a longer one has beyond is predicted to stay as it was.
    width: usize,
    /// The observed value before the last one of each element; NaN: there was none yet.
    before: Vec<f32>,
    /// Each element at each moment of a period; NaN: not observed yet.
    season: Vec<f32>,
    /// Which moment of the period is next: one number, saved as the others are, and exact below 2^24.
    moment: [f32; 1],
}

impl More {
    /// For observations of so many elements.
    pub(super) fn new(wanted: MoreBaselines, width: usize) -> Self {
        let before = vec![f32::NAN; if wanted.linear { width } else { 0 }];
        let season = vec![f32::NAN; wanted.period.map_or(0, |period| period * width)];
        More { wanted, width, before, season, moment: [0.0] }
    }

    /// The errors of linear extrapolation and of the period, of those that are wanted; then the observation is learned.
    /// `last` and `seen`, what was observed last and how often, are at least as long as `observed`.
    pub(super) fn compare(&mut self, observed: &[f32], last: &[f32], seen: &[f32]) -> [Option<f64>; 2] {
        let More { wanted, width, before, season, moment: [moment] } = self;
        let length = observed.len();
        let linear = wanted.linear.then(|| {
            // Grows with the observation: an element that was not there is one that was not observed.
            before.resize(before.len().max(length), f32::NAN);
            let mut sum = 0.0;
            for i in (0..length).filter(|i| !observed[*i].is_nan()) {
                let guess =
                    if before[i].is_nan() { last[i] } else { (2.0 * last[i] - before[i]).clamp(-1.0, 1.0) };
                sum += square(guess, observed[i]);
                before[i] = if seen[i] > 0.0 { last[i] } else { f32::NAN };
            }
            0.5 * sum
        });
        let period = wanted.period.map(|period| {
            let then = &mut season[*moment as usize * *width..][..*width];
            let mut sum = 0.0;
            for i in (0..length).filter(|i| !observed[*i].is_nan()) {
                let value = then.get_mut(i);
                let guess = value.as_ref().map(|v| **v).filter(|v| !v.is_nan()).unwrap_or(last[i]);
                sum += square(guess, observed[i]);
                if let Some(value) = value {
                    *value = observed[i].clamp(-1.0, 1.0);
                }
            }
            *moment = ((*moment as usize + 1) % period) as f32;
            0.5 * sum
        });
        [linear, period]
    }

    /// What [`restore`](Self::restore) needs, by name.
    pub(super) fn save(&self) -> impl Iterator<Item = (&'static str, &[f32])> {
        [("before", &self.before[..]), ("season", &self.season), ("moment", &self.moment)].into_iter()
    }

    /// Takes up what was saved of a stream with so many elements; what another period had begins anew.
    pub(super) fn restore(wanted: MoreBaselines, width: usize, saved: impl Fn(&str) -> Vec<f32>) -> Self {
        let mut more = More::new(wanted, width);
        let before = saved("before");
        if wanted.linear && before.len() >= more.before.len() {
            more.before = before;
        }
        let (season, moment) = (saved("season"), saved("moment"));
        if let (Some(period), &[moment]) = (wanted.period, &moment[..])
            && season.len().is_multiple_of(period)
            && moment >= 0.0
            && (moment as usize) < period
        {
            more.width = season.len() / period;
            (more.season, more.moment) = (season, [moment]);
        }
        more
    }
}

/// The square of the difference, for a value that may lie beyond ±1.
fn square(guess: f32, observed: f32) -> f64 {
    f64::from(guess - observed.clamp(-1.0, 1.0)).powi(2)
}

#[cfg(test)]
mod tests {
    use super::super::{Baselines, MoreBaselines};

    const MISSING: f32 = f32::NAN;

    fn errors(baselines: &mut Baselines, observation: &[f32]) -> [Option<f64>; 2] {
        let errors = baselines.observe(1, observation, Some(&vec![0.0; observation.len()])).unwrap();
        [errors.linear, errors.period]
    }

    fn half_square(difference: f64) -> f64 {
        0.5 * difference * difference
    }

    #[track_caller]
    fn near(found: [Option<f64>; 2], wanted: [f64; 2]) {
        for (found, wanted) in found.into_iter().zip(wanted) {
            assert!((found.unwrap() - wanted).abs() < 1e-6, "{found:?} for {wanted}");
        }
    }

    #[test]
    fn a_line_is_extrapolated_and_a_period_is_repeated_by_hand() {
        let mut baselines = Baselines::with(MoreBaselines { linear: true, period: Some(3) });
        baselines.observe(1, &[0.1], None);
        // One value so far: the last one, for both.
        near(errors(&mut baselines, &[0.3]), [half_square(0.2), half_square(0.2)]);
        // 2 · .3 − .1 = .5; nothing was there three frames ago.
        near(errors(&mut baselines, &[0.4]), [half_square(0.1), half_square(0.1)]);
        // 2 · .4 − .3 = .5; .1 three frames ago.
        near(errors(&mut baselines, &[0.2]), [half_square(0.3), half_square(0.1)]);
        // Nothing is compared with what is missing, and time goes on.
        near(errors(&mut baselines, &[MISSING]), [0.0, 0.0]);
        // 2 · .2 − .4 = 0; .4 three frames ago.
        near(errors(&mut baselines, &[1.0]), [half_square(1.0), half_square(0.6)]);
        // 2 · 1 − .2 is limited to 1; .2 three frames ago.
        near(errors(&mut baselines, &[0.9]), [half_square(0.1), half_square(0.7)]);
        // What was missing three frames ago is as it was a period before that: .3.
        near(errors(&mut baselines, &[0.5]), [half_square(0.3), half_square(0.2)]);
        baselines.end(1);
        near(errors(&mut baselines, &[0.5]), [half_square(0.5), half_square(0.5)]);
    }

    #[test]
    fn saved_and_restored_they_go_on_exactly_and_without_a_wish_they_are_not_there() {
        let wish = MoreBaselines { linear: true, period: Some(4) };
        let mut straight = Baselines::with(wish);
        let value = |frame: usize, i: usize| {
            if (frame + i).is_multiple_of(5) {
                MISSING
            } else {
                ((frame * 7 + i * 3) % 11) as f32 / 11.0 - 0.4
            }
        };
        let frame = |frame: usize| -> Vec<f32> { (0..6).map(|i| value(frame, i)).collect() };
        for f in 0..9 {
            straight.observe(1, &frame(f), Some(&[0.0; 6]));
        }
        let saved: Vec<(String, Vec<f32>)> =
            straight.save()[0].1.iter().map(|(name, x)| ((*name).to_owned(), x.to_vec())).collect();
        let find =
            |name: &str| saved.iter().find(|(n, _)| n == name).map(|(_, x)| x.clone()).unwrap_or_default();
        let mut restored = Baselines::with(wish);
        restored.restore(1, find);
        for f in 9..30 {
            let (observation, prediction) = (frame(f), [0.1; 6]);
            let straight = straight.observe(1, &observation, Some(&prediction));
            assert_eq!(restored.observe(1, &observation, Some(&prediction)), straight, "frame {f}");
        }
        let mut plain = Baselines::default();
        plain.restore(1, find);
        assert_eq!(errors(&mut plain, &frame(9)), [None, None]);
    }
}

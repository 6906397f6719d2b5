//! Where an axis has its marks, and what stands beside them.
use efference_runs::{Scaled, ThreeDigits};

/// From values to places on the paper.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) logarithmic: bool,
    /// Where `low` and `high` are.
    pub(super) from: f64,
    pub(super) to: f64,
}

impl Scale {
    pub(super) fn place(&self, value: f64) -> f64 {
        let share = match self.logarithmic {
            true => (value.max(f64::MIN_POSITIVE) / self.low).ln() / (self.high / self.low).ln(),
            false => (value - self.low) / (self.high - self.low),
        };
        self.from + share * (self.to - self.from)
    }

    /// Round values within the scale, about `count` of them.
    pub(super) fn ticks(&self, count: f64) -> Vec<f64> {
        if self.logarithmic {
            let decades = (self.high / self.low).log10();
            let within = |value: &f64| (self.low..=self.high).contains(value);
            let digits: &[f64] = match decades / count {
                many if many > 0.5 => &[1.0],
                some if some > 0.25 => &[1.0, 3.0],
                _ => &[1.0, 2.0, 5.0],
            };
            let first = self.low.log10().floor() as i32;
            let ticks = (first..=first + decades.ceil() as i32 + 1)
                .flat_map(|power| digits.iter().map(move |digit| digit * 10f64.powi(power)));
            return ticks.filter(within).collect();
        }
        let step = round_up((self.high - self.low) / count);
        let first = (self.low / step).ceil() as i64;
        let last = (self.high / step + 1e-9).floor() as i64;
        (first..=last).map(|at| at as f64 * step).collect()
    }
}

/// 1, 2 or 5 times a power of ten, not below a number.
pub(super) fn round_up(number: f64) -> f64 {
    let power = 10f64.powf(number.log10().floor());
    let digits = [1.0, 2.0, 5.0, 10.0];
    power * digits.into_iter().find(|digit| digit * power >= number * (1.0 - 1e-9)).unwrap_or(10.0)
}

/// A tick's value as it stands at its mark.
pub(super) fn label(value: f64) -> String {
    let text =
        if value.abs() >= 10_000.0 { Scaled(value).to_string() } else { ThreeDigits(value).to_string() };
    // 2.00 k and 0.500 say no more than 2 k and 0.5.
    match text.split_once(' ') {
        Some((number, unit)) => format!("{} {unit}", without_zeros(number)),
        None => without_zeros(&text).to_owned(),
    }
}

fn without_zeros(number: &str) -> &str {
    match number.contains('.') && !number.contains('e') {
        true => number.trim_end_matches('0').trim_end_matches('.'),
        false => number,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_within_the_scale() {
        let scale = |low, high, logarithmic| Scale { low, high, logarithmic, from: 0.0, to: 1.0 };
        assert_eq!(
            scale(0.0, 3_000.0, false).ticks(6.0),
            [0.0, 500.0, 1_000.0, 1_500.0, 2_000.0, 2_500.0, 3_000.0]
        );
        assert_eq!(scale(-0.3, 0.9, false).ticks(5.0), [0.0, 0.5]);
        assert_eq!(scale(0.5, 200.0, true).ticks(5.0), [1.0, 10.0, 100.0]);
        assert_eq!(scale(0.5, 200.0, true).place(10.0), 20f64.ln() / 400f64.ln());
        assert_eq!([0.7, 1.0, 1.2, 34.0, 0.002].map(round_up), [1.0, 1.0, 2.0, 50.0, 0.002]);
        assert_eq!([0.5, 20_000.0, 1_500.0, 0.0, 2e6].map(label), ["0.5", "20 k", "1500", "0", "2 M"]);
    }
}

//! How far predictions are off in the data's own units, beside what the last value, and the value a period ago, would get.
use efference_sdk::{latest_metric, metric};

/// Whose predictions, as the end of a metric's name.
const WHOSE: [&str; 3] = ["", "_last", "_period"];

/// Sums over predicted numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Sums {
    count: f64,
    absolute: f64,
    squared: f64,
    relative: f64,
}

/// Elements that the sums of one predictor are.
const NUMBERS: usize = 4;

impl Sums {
    fn add(&mut self, predicted: f64, value: f64) {
        let off = (predicted - value).abs();
        let size = predicted.abs() + value.abs();
        self.count += 1.0;
        self.absolute += off;
        self.squared += off * off;
        self.relative += if off == 0.0 { 0.0 } else { 2.0 * off / size };
    }

    fn join(&mut self, other: &Sums) {
        self.count += other.count;
        self.absolute += other.absolute;
        self.squared += other.squared;
        self.relative += other.relative;
    }
}

/// Sums of the agent and of what it is compared with; and of choices: how many, how many were foreseen, how many were the last
/// one again.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Units {
    pub(crate) numbers: [Sums; 3],
    pub(crate) choices: [f64; 3],
}

impl Units {
    /// Adds a number; `period`: what it was a period ago, if there is a period.
    pub(crate) fn number(&mut self, value: f64, predicted: f64, last: f64, period: Option<f64>) {
        let [of_agent, of_last, of_period] = &mut self.numbers;
        of_agent.add(predicted, value);
        of_last.add(last, value);
        if let Some(period) = period {
            of_period.add(period, value);
        }
    }

    /// Adds a choice.
    pub(crate) fn choice(&mut self, foreseen: bool, same: bool) {
        let add = [1.0, f64::from(u8::from(foreseen)), f64::from(u8::from(same))];
        self.choices.iter_mut().zip(add).for_each(|(sum, add)| *sum += add);
    }

    /// Adds those of other rows.
    pub(crate) fn join(&mut self, other: &Units) {
        self.numbers.iter_mut().zip(&other.numbers).for_each(|(sum, other)| sum.join(other));
        self.choices.iter_mut().zip(&other.choices).for_each(|(sum, other)| *sum += other);
    }

    /// Records the means of a row.
    pub(crate) fn record_row(&self) {
        self.for_each(|name, sums| {
            metric(&format!("recording/mae{name}"), sums.absolute / sums.count);
            metric(&format!("recording/mse{name}"), sums.squared / sums.count);
            metric(&format!("recording/smape{name}"), 100.0 * sums.relative / sums.count);
        });
        if self.choices[0] > 0.0 {
            metric("recording/accuracy", self.choices[1] / self.choices[0]);
            metric("recording/accuracy_last", self.choices[2] / self.choices[0]);
        }
    }

    /// Records the means of the whole run so far.
    pub(crate) fn record_run(&self) {
        self.for_each(|name, sums| {
            latest_metric(&format!("recording/run_mae{name}"), sums.absolute / sums.count);
            latest_metric(&format!("recording/run_rmse{name}"), (sums.squared / sums.count).sqrt());
            latest_metric(&format!("recording/run_smape{name}"), 100.0 * sums.relative / sums.count);
        });
        if self.choices[0] > 0.0 {
            latest_metric("recording/run_accuracy", self.choices[1] / self.choices[0]);
            latest_metric("recording/run_accuracy_last", self.choices[2] / self.choices[0]);
        }
    }

    fn for_each(&self, f: impl Fn(&str, &Sums)) {
        for (name, sums) in WHOSE.iter().zip(&self.numbers).filter(|(_, sums)| sums.count > 0.0) {
            f(name, sums);
        }
    }

    /// All sums, as numbers.
    pub(crate) fn save(&self) -> [f64; 3 * NUMBERS + 3] {
        let mut saved = [0.0; 3 * NUMBERS + 3];
        for (to, Sums { count, absolute, squared, relative }) in
            saved.chunks_exact_mut(NUMBERS).zip(&self.numbers)
        {
            to.copy_from_slice(&[*count, *absolute, *squared, *relative]);
        }
        saved[3 * NUMBERS..].copy_from_slice(&self.choices);
        saved
    }

    /// What [`save`](Self::save) returned.
    pub(crate) fn restored(saved: [f64; 3 * NUMBERS + 3]) -> Units {
        let sums = |i: usize| {
            let [count, absolute, squared, relative] = [0, 1, 2, 3].map(|k| saved[NUMBERS * i + k]);
            Sums { count, absolute, squared, relative }
        };
        let choices = [0, 1, 2].map(|k| saved[3 * NUMBERS + k]);
        Units { numbers: [sums(0), sums(1), sums(2)], choices }
    }
}

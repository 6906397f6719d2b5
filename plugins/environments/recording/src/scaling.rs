//! From the data's own units to −1…1 and back, by the rows before alone.
//!
//! A value of a known range is linear in it. Another one follows statistics of the rows before: with `range`,
//!
//! ```text
//! scaled = 2 · (x − min) / (max − min) − 1          min, max: of the rows before
//! scaled = (x − mean) / (deviations · deviation)    with `deviation`; likewise of the rows before
//! change = (x − last) / (deviations · root of the mean of (x − last)² before)
//! ```
//!
//! each limited to ±1. Without a row before, or where all were equal, a value that is as they were is 0, one above them 1
//! and one below them −1. Back from there it is the mean of the rows before, or their one value.
use crate::column::{Layout, Shows};
use crate::options::{Options, Scale};

/// Statistics of a value: how often it was observed, mean, sum of squared deviations, smallest, largest; of its changes: how
/// many, sum of their squares.
#[derive(Debug, Clone, Copy, Default)]
struct Moments {
    count: f64,
    mean: f64,
    squares: f64,
    min: f64,
    max: f64,
    changes: f64,
    change_squares: f64,
}

/// What is beyond counts as this in statistics.
const LARGEST: f64 = 1e145;

/// Elements that the statistics of a value are.
const NUMBERS: usize = 7;

impl Moments {
    fn observe(&mut self, value: f64, last: f64) {
        if value.is_nan() {
            return;
        }
        // So large that the square of a difference is still a number, and its sum over any file too.
        let (value, last) = (value.clamp(-LARGEST, LARGEST), last.clamp(-LARGEST, LARGEST));
        (self.min, self.max) =
            if self.count == 0.0 { (value, value) } else { (self.min.min(value), self.max.max(value)) };
        self.count += 1.0;
        // Welford: exact where all values are equal, however large.
        let off = value - self.mean;
        self.mean += off / self.count;
        self.squares += off * (value - self.mean);
        if !last.is_nan() {
            self.changes += 1.0;
            self.change_squares += (value - last) * (value - last);
        }
    }

    /// The middle of what is −1…1, and half of its length; 0: all were equal.
    fn span(&self, scale: Scale, deviations: f64) -> (f64, f64) {
        match scale {
            // Halves first: the difference may be beyond what f64 holds.
            Scale::Range => (self.min / 2.0 + self.max / 2.0, self.max / 2.0 - self.min / 2.0),
            Scale::Deviation if self.count > 0.0 => {
                (self.mean, deviations * (self.squares / self.count).max(0.0).sqrt())
            }
            Scale::Deviation => (0.0, 0.0),
        }
    }

    fn change_span(&self, deviations: f64) -> f64 {
        if self.changes == 0.0 { 0.0 } else { deviations * (self.change_squares / self.changes).sqrt() }
    }

    fn to_array(self) -> [f64; NUMBERS] {
        let Moments { count, mean, squares, min, max, changes, change_squares } = self;
        [count, mean, squares, min, max, changes, change_squares]
    }

    fn from_array([count, mean, squares, min, max, changes, change_squares]: [f64; NUMBERS]) -> Self {
        Moments { count, mean, squares, min, max, changes, change_squares }
    }
}

/// Statistics of all values of rows.
#[derive(Debug, Clone)]
pub(crate) struct Scaling {
    scale: Scale,
    deviations: f64,
    moments: Vec<Moments>,
}

impl Scaling {
    pub(crate) fn new(options: &Options, layout: &Layout) -> Scaling {
        let moments = vec![Moments::default(); layout.width()];
        Scaling { scale: options.scale, deviations: options.deviations, moments }
    }

    /// Learns a row; `last` has what each value was last, NaN: it was not observed yet.
    pub(crate) fn observe(&mut self, row: &[f64], last: &[f64]) {
        for ((moments, value), last) in self.moments.iter_mut().zip(row).zip(last) {
            moments.observe(*value, *last);
        }
    }

    /// The elements of a row.
    pub(crate) fn elements(&self, layout: &Layout, row: &[f64], last: &[f64], to: &mut Vec<f32>) {
        to.clear();
        to.extend(layout.elements.iter().map(|element| {
            let (value, moments) = (row[element.value], &self.moments[element.value]);
            if value.is_nan() {
                return f32::NAN;
            }
            match element.shows {
                Shows::Value => {
                    let none_yet = moments.count == 0.0 && layout.ranges[element.value].is_none();
                    if none_yet { 0.0 } else { scaled(value, self.span(layout, element.value)) }
                }
                // Before the first change nothing is known of how large one is.
                Shows::Change if last[element.value].is_nan() || moments.changes == 0.0 => 0.0,
                Shows::Change => {
                    scaled(value - last[element.value], (0.0, moments.change_span(self.deviations)))
                }
                Shows::OneOf(choice) => {
                    if value == f64::from(choice) {
                        1.0
                    } else {
                        -1.0
                    }
                }
            }
        }));
    }

    /// What a prediction says of a number, in the data's own units. `last` is what it was last.
    pub(crate) fn back(
        &self,
        layout: &Layout,
        (value, element): (usize, usize),
        predicted: f32,
        last: f64,
    ) -> f64 {
        let predicted = f64::from(predicted.clamp(-1.0, 1.0));
        let (middle, half) = match layout.elements[element].shows {
            Shows::Change => (last, self.moments[value].change_span(self.deviations)),
            _ => self.span(layout, value),
        };
        // A sum that no f64 holds is the largest that one does.
        (middle + predicted * half).clamp(f64::MIN, f64::MAX)
    }

    fn span(&self, layout: &Layout, value: usize) -> (f64, f64) {
        match layout.ranges[value] {
            Some((min, max)) => (min / 2.0 + max / 2.0, max / 2.0 - min / 2.0),
            None => self.moments[value].span(self.scale, self.deviations),
        }
    }

    /// All statistics, as numbers.
    pub(crate) fn save(&self) -> impl Iterator<Item = f64> {
        self.moments.iter().flat_map(|moments| moments.to_array())
    }

    /// The length of what [`save`](Self::save) returns.
    pub(crate) fn saved_len(&self) -> usize {
        NUMBERS * self.moments.len()
    }

    /// Takes up what [`save`](Self::save) returned.
    pub(crate) fn restore(&mut self, saved: &[f64]) {
        for (moments, saved) in self.moments.iter_mut().zip(saved.as_chunks().0) {
            *moments = Moments::from_array(*saved);
        }
    }
}

/// Where a value lies; at one end, beyond a range of no length.
fn scaled(value: f64, (middle, half): (f64, f64)) -> f32 {
    let off = value - middle;
    if off == 0.0 {
        return 0.0;
    }
    // Of a range of no length this is an infinity with the right sign.
    (off / half).clamp(-1.0, 1.0) as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::column::{Column, Values};

    fn scaling(options: &Options, values: &[f64]) -> (Scaling, Layout, Vec<f32>) {
        let layout = Layout::new(&[Column::block("x", 1, Values::Numbers)], false);
        let mut scaling = Scaling::new(options, &layout);
        let (mut shown, mut elements, mut last) = (Vec::new(), Vec::new(), f64::NAN);
        for value in values {
            scaling.elements(&layout, &[*value], &[last], &mut elements);
            shown.extend(&elements);
            scaling.observe(&[*value], &[last]);
            last = if value.is_nan() { last } else { *value };
        }
        (scaling, layout, shown)
    }

    #[test]
    fn a_row_is_scaled_by_the_rows_before_it_alone() {
        let range = Options::default();
        let (after, layout, shown) = scaling(&range, &[10.0, 20.0, 15.0, f64::NAN, 40.0, 25.0]);
        // The first is 0; then one above all; the middle of 10…20; missing; above all; the middle of 10…40.
        assert_eq!(format!("{shown:?}"), "[0.0, 1.0, 0.0, NaN, 1.0, 0.0]");
        assert_eq!(after.back(&layout, (0, 0), 0.5, 25.0), 32.5);
        assert_eq!(after.back(&layout, (0, 0), -7.0, 25.0), 10.0);
        let deviation = Options { scale: Scale::Deviation, deviations: 2.0, ..range };
        let (_, _, shown) = scaling(&deviation, &[1.0, 3.0, 3.0, 2.0]);
        // Before the third: mean 2, deviation 1. Before the last: mean 7/3, deviation √(8/9).
        assert_eq!(shown[..3], [0.0, 1.0, 0.5]);
        assert!((f64::from(shown[3]) + (1.0 / 3.0) / (2.0 * (8.0f64 / 9.0).sqrt())).abs() < 1e-6);
    }

    #[test]
    fn what_never_changes_is_missing_or_huge_stays_in_bounds() {
        for scale in [Scale::Range, Scale::Deviation] {
            let options = Options { scale, ..Options::default() };
            assert_eq!(scaling(&options, &[7e15 + 1.0; 50]).2, [0.0; 50]);
            assert!(scaling(&options, &[f64::NAN; 5]).2.iter().all(|x| x.is_nan()));
            let (after, layout, shown) = scaling(&options, &[f64::MAX, -f64::MAX, 0.0, 1.0, f64::MAX]);
            assert!(shown.iter().all(|x| (-1.0..=1.0).contains(x)), "{shown:?}");
            assert!(after.back(&layout, (0, 0), 1.0, 0.0).is_finite(), "{scale:?}");
        }
    }

    #[test]
    fn a_change_is_scaled_by_the_changes_before_it_and_comes_back_exactly() {
        let options = Options { deviations: 2.0, ..Options::default() };
        let layout = Layout::new(&[Column::block("x", 1, Values::Numbers)], true);
        let mut scaling = Scaling::new(&options, &layout);
        let (mut last, mut elements, mut shown) = (f64::NAN, Vec::new(), Vec::new());
        for value in [5.0, 8.0, 12.0, 12.0] {
            scaling.elements(&layout, &[value], &[last], &mut elements);
            shown.push(elements[1]);
            scaling.observe(&[value], &[last]);
            last = value;
        }
        // No change yet; the first one; 4 of changes that were 3; none.
        assert_eq!(shown, [0.0, 0.0, 4.0 / 6.0, 0.0]);
        // Changes of 3, 4 and 0.
        let half = 2.0 * (25.0f64 / 3.0).sqrt();
        assert!((scaling.back(&layout, (0, 1), 0.25, 12.0) - (12.0 + 0.25 * half)).abs() < 1e-12);
    }
}

//! A stream: one file, row by row, and what is remembered of it.
use crate::column::Layout;
use crate::options::Options;
use crate::scaling::Scaling;
use crate::source::Source;
use crate::units::Units;

/// A stream.
pub(crate) struct Stream {
    pub(crate) source: Box<dyn Source>,
    /// The row that was sent last.
    pub(crate) row: Vec<f64>,
    /// What each value was when it was observed last; NaN: it was not yet.
    pub(crate) last: Vec<f64>,
    /// What each predicted number was at each moment of a period; NaN: not observed yet.
    pub(crate) season: Vec<f64>,
    /// Which moment of the period is next.
    pub(crate) moment: usize,
    /// The row as the agent gets it.
    pub(crate) observation: Vec<f32>,
    /// What was predicted of the next row; empty: nothing.
    pub(crate) prediction: Vec<f32>,
    /// How often it has begun again.
    pub(crate) pass: u64,
    /// Whether it sends its next row when it is polled.
    pub(crate) ready: bool,
    /// Whether it has ended.
    pub(crate) ended: bool,
}

impl Stream {
    pub(crate) fn new(source: Box<dyn Source>, layout: &Layout, period: usize) -> Stream {
        Stream {
            source,
            row: vec![f64::NAN; layout.width()],
            last: vec![f64::NAN; layout.width()],
            season: vec![f64::NAN; period * layout.numbers.len()],
            moment: 0,
            observation: Vec::with_capacity(layout.elements.len()),
            prediction: Vec::new(),
            pass: 0,
            ready: true,
            ended: false,
        }
    }

    /// Whether the row that was sent last is the first of the run.
    pub(crate) fn is_at_first_row(&self) -> bool {
        self.pass == 0 && self.source.place().row == 1
    }

    /// The first row, of which all have predicted 0.
    pub(crate) fn first_row(&self, layout: &Layout, period: bool) -> Units {
        let mut units = Units::default();
        for value in layout.numbers.iter().map(|(value, _)| self.row[*value]).filter(|value| !value.is_nan())
        {
            units.number(value, 0.0, 0.0, period.then_some(0.0));
        }
        units
    }

    /// Compares what was predicted of the row with it, by the rows before it. What was never observed before counts as
    /// predicted 0 by all, or not at all.
    pub(crate) fn compare(&self, layout: &Layout, scaling: &Scaling, options: &Options) -> Units {
        let period = options.period;
        let mut units = Units::default();
        if self.prediction.is_empty() {
            return units;
        }
        let then = (period > 0).then(|| &self.season[self.moment * layout.numbers.len()..]);
        for (i, (value, element)) in layout.numbers.iter().enumerate() {
            let (now, last) = (self.row[*value], self.last[*value]);
            if now.is_nan() {
                continue;
            }
            if last.is_nan() {
                if options.first_row {
                    units.number(now, 0.0, 0.0, (period > 0).then_some(0.0));
                }
                continue;
            }
            let predicted = scaling.back(layout, (*value, *element), self.prediction[*element], last);
            let then = then.map(|then| if then[i].is_nan() { last } else { then[i] });
            units.number(now, predicted, last, then);
        }
        for (value, elements) in &layout.choices {
            let (now, last) = (self.row[*value], self.last[*value]);
            if now.is_nan() || last.is_nan() {
                continue;
            }
            let foreseen = largest(&self.prediction[elements.clone()]) == Some(now as usize);
            units.choice(foreseen, now == last);
        }
        units
    }

    /// Remembers the row, which has been compared and scaled.
    pub(crate) fn remember(&mut self, layout: &Layout, period: usize) {
        if period > 0 {
            let then = &mut self.season[self.moment * layout.numbers.len()..];
            for ((value, _), then) in layout.numbers.iter().zip(then) {
                if !self.row[*value].is_nan() {
                    *then = self.row[*value];
                }
            }
            self.moment = (self.moment + 1) % period;
        }
        for (last, value) in self.last.iter_mut().zip(&self.row) {
            if !value.is_nan() {
                *last = *value;
            }
        }
    }
}

/// Which element is the largest: the first one of several; none if all are NaN.
fn largest(elements: &[f32]) -> Option<usize> {
    let values = elements.iter().enumerate().filter(|(_, value)| !value.is_nan());
    values.reduce(|best, next| if next.1 > best.1 { next } else { best }).map(|(index, _)| index)
}

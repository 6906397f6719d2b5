//! One figure of a run: what its curve comes to.
use crate::better::Better;
use efference_runs::ThreeDigits;
use serde::Serialize;
use std::fmt;

/// Which figure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum FigureKind {
    /// The mean over the last share of the run, such as 0.2.
    Last(f64),
    /// The value at a place: the first line that reaches it.
    At(f64),
    /// The area under the curve by its length, up to where the shortest run ends: the mean over the run.
    Area,
    /// The place where the metric gets to a value.
    Until(f64),
}

/// What a curve is drawn over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Axis {
    /// Steps done.
    Step,
    /// Seconds since the run started.
    Seconds,
    /// Floating-point operations done: the metric `flop`, counted from the start of the run.
    Flop,
}

impl Axis {
    /// As it is written at an axis.
    pub fn name(self) -> &'static str {
        match self {
            Axis::Step => "step",
            Axis::Seconds => "seconds",
            Axis::Flop => "flop",
        }
    }
}

/// The figure of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Figure {
    Value(f64),
    /// It is no number in the end: the run has diverged.
    Diverged,
    /// The run never got there.
    NotReached,
}

impl FigureKind {
    /// The figure of a curve; NaN in it is left out, unless it is what the curve ends with. `shortest` is where the shortest
    /// of the runs ends.
    pub(crate) fn of(self, x: &[f64], values: &[f64], shortest: f64, better: Better) -> Figure {
        let Some((end, last)) = x.last().zip(values.last()) else { return Figure::NotReached };
        let from = |first: usize, until: usize| {
            let window = &values[first..until];
            if window.last().is_none_or(|value| !value.is_finite()) {
                return Figure::Diverged;
            }
            let good: Vec<f64> = window.iter().copied().filter(|value| value.is_finite()).collect();
            Figure::Value(good.iter().sum::<f64>() / good.len() as f64)
        };
        match self {
            FigureKind::Last(share) => {
                let start = end * (1.0 - share);
                // Steps are whole numbers, and 1 − 0.2 is not quite 0.8.
                let first = x.partition_point(|x| *x <= start + 1e-9 * end);
                from(first.min(x.len() - 1), x.len())
            }
            FigureKind::At(place) => match x.partition_point(|x| *x < place) {
                at if at == x.len() => Figure::NotReached,
                at => from(at, at + 1),
            },
            FigureKind::Area if !last.is_finite() => Figure::Diverged,
            FigureKind::Area => area(x, values, shortest).map_or(Figure::NotReached, Figure::Value),
            FigureKind::Until(threshold) => {
                let there = |value: &f64| better.merit(*value) >= better.merit(threshold);
                values.iter().position(there).map_or(Figure::NotReached, |at| Figure::Value(x[at]))
            }
        }
    }

    /// Which way the figure is to go: getting somewhere is better the sooner.
    pub(crate) fn better(self, metric: Better) -> Better {
        if let FigureKind::Until(_) = self { Better::Lower } else { metric }
    }

    /// In words, as the quantity of a sentence.
    pub(crate) fn quantity(self, metric: &str, axis: Axis) -> String {
        match self {
            FigureKind::Until(threshold) => format!("{} until {metric} {threshold}", axis.name()),
            _ => metric.to_owned(),
        }
    }

    /// In words, in full.
    pub(crate) fn describe(self, metric: &str, better: Better, axis: Axis) -> String {
        let axis = match axis {
            Axis::Step => "steps",
            Axis::Seconds => "seconds",
            Axis::Flop => "flop",
        };
        match self {
            FigureKind::Last(share) => {
                format!("{metric}, mean over the last {} % of a run's {axis}", (1e4 * share).round() / 1e2)
            }
            FigureKind::At(place) => format!("{metric} after {place} {axis}"),
            FigureKind::Area => format!("{metric}, mean over {axis} (area under the curve by its length)"),
            FigureKind::Until(threshold) => {
                let side = if better == Better::Lower { "at most" } else { "at least" };
                format!("{axis} until {metric} is {side} {threshold} for the first time")
            }
        }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Figure::Value(value) => write!(f, "{}", ThreeDigits(*value)),
            Figure::Diverged => f.write_str("diverged"),
            Figure::NotReached => f.write_str("not reached"),
        }
    }
}

/// By trapezoids between the lines that have a number, up to `until`.
fn area(x: &[f64], values: &[f64], until: f64) -> Option<f64> {
    let mut points =
        x.iter().zip(values).filter(|(x, value)| **x <= until && value.is_finite()).map(|(x, v)| (*x, *v));
    let first = points.next()?;
    let (mut area, mut before) = (0.0, first);
    for (x, value) in points {
        area += (x - before.0) * (value + before.1) / 2.0;
        before = (x, value);
    }
    let length = before.0 - first.0;
    Some(if length > 0.0 { area / length } else { first.1 })
}

#[cfg(test)]
mod tests {
    use super::*;

    const X: [f64; 5] = [10.0, 20.0, 30.0, 40.0, 50.0];

    fn of(kind: FigureKind, values: [f64; 5]) -> Figure {
        kind.of(&X, &values, 50.0, Better::Lower)
    }

    /// By hand.
    #[test]
    fn figures_are_what_they_say() {
        let values = [9.0, 7.0, 5.0, 2.0, 3.0];
        assert_eq!(of(FigureKind::Last(0.2), values), Figure::Value(3.0));
        assert_eq!(of(FigureKind::Last(0.4), values), Figure::Value(2.5));
        assert_eq!(of(FigureKind::Last(0.01), values), Figure::Value(3.0), "one line at least");
        assert_eq!(of(FigureKind::Last(1.0), values), Figure::Value(5.2));
        assert_eq!(of(FigureKind::At(20.0), values), Figure::Value(7.0));
        assert_eq!(of(FigureKind::At(21.0), values), Figure::Value(5.0));
        assert_eq!(of(FigureKind::At(51.0), values), Figure::NotReached);
        assert_eq!(of(FigureKind::Until(5.0), values), Figure::Value(30.0));
        assert_eq!(of(FigureKind::Until(1.0), values), Figure::NotReached);
        assert_eq!(FigureKind::Until(8.0).of(&X, &values, 50.0, Better::Higher), Figure::Value(10.0));
        // (8 + 6 + 3.5 + 2.5) · 10 / 40; up to 30: (8 + 6) · 10 / 20.
        assert_eq!(of(FigureKind::Area, values), Figure::Value(5.0));
        assert_eq!(FigureKind::Area.of(&X, &values, 30.0, Better::Lower), Figure::Value(7.0));
        assert_eq!(FigureKind::Last(0.2).of(&[], &[], 0.0, Better::Lower), Figure::NotReached);
    }

    #[test]
    fn nan_is_left_out_but_a_run_that_ends_with_it_has_diverged() {
        let values = [9.0, f64::NAN, 5.0, f64::NAN, 3.0];
        assert_eq!(of(FigureKind::Last(0.8), values), Figure::Value(4.0));
        assert_eq!(of(FigureKind::At(20.0), values), Figure::Diverged);
        assert_eq!(of(FigureKind::Until(4.0), values), Figure::Value(50.0));
        let values = [9.0, 8.0, 5.0, f64::NAN, f64::INFINITY];
        assert_eq!(of(FigureKind::Last(1.0), values), Figure::Diverged);
        assert_eq!(of(FigureKind::Area, values), Figure::Diverged);
    }
}

//! Curves of groups: the mean over the runs, with a band.
use crate::statistics::{bootstrap, mean};
use serde::Serialize;

/// The mean of a group's runs along an axis.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Band {
    /// Places on the axis.
    pub x: Vec<f64>,
    /// The mean over the runs there.
    pub mean: Vec<f64>,
    /// Where 95 % of the means of resampled runs are above…
    pub low: Vec<f64>,
    /// …and below. A group of one run has no band: both are its mean.
    pub high: Vec<f64>,
}

/// Cells that a run's curve is averaged in.
const CELLS: usize = 2_000;
/// Places of a band.
const PLACES: usize = 250;
const RESAMPLES: usize = 1_000;

/// A run's curve, averaged in cells: place and value of those that have a line with a number.
pub(crate) fn thin(x: &[f64], values: &[f64]) -> Vec<(f64, f64)> {
    let Some(end) = x.last().filter(|end| **end > 0.0) else { return Vec::new() };
    let mut cells: Vec<(f64, f64)> = Vec::new();
    let (mut cell, mut sum, mut count) = (usize::MAX, (0.0, 0.0), 0.0);
    let mut close = |sum: (f64, f64), count: f64| {
        if count > 0.0 {
            cells.push((sum.0 / count, sum.1 / count));
        }
    };
    for (x, value) in x.iter().zip(values).filter(|(_, value)| value.is_finite()) {
        let at = (x / end * CELLS as f64) as usize;
        if at != cell {
            close(sum, count);
            (cell, sum, count) = (at, (0.0, 0.0), 0.0);
        }
        sum = (sum.0 + x, sum.1 + value);
        count += 1.0;
    }
    close(sum, count);
    cells
}

/// The band of some runs' curves, at equal places up to `end`, where at least half of the runs (and two, if there are two)
/// have a value.
pub(crate) fn band(curves: &[Vec<(f64, f64)>], end: f64) -> Band {
    let mut band = Band::default();
    let longest = curves.iter().map(Vec::len).max().unwrap_or_default();
    let places = PLACES.min(longest.max(1));
    let step = end / places as f64;
    let enough = curves.len().div_ceil(2).max(curves.len().min(2));
    for place in 0..places {
        let x = (place as f64 + 0.5) * step;
        let values: Vec<f64> = curves.iter().filter_map(|curve| at(curve, x, step)).collect();
        if values.is_empty() || values.len() < enough {
            continue;
        }
        let mean_here = mean(&values);
        let interval = bootstrap(&[values], RESAMPLES, mean);
        band.x.push(x);
        band.mean.push(mean_here);
        band.low.push(interval.map_or(mean_here, |interval| interval.low));
        band.high.push(interval.map_or(mean_here, |interval| interval.high));
    }
    band
}

/// A curve's mean within half a step around a place; between its points in proportion where there are none.
fn at(curve: &[(f64, f64)], x: f64, step: f64) -> Option<f64> {
    let (from, to) = (
        curve.partition_point(|point| point.0 <= x - step / 2.0),
        curve.partition_point(|point| point.0 <= x + step / 2.0),
    );
    if to > from {
        return Some(curve[from..to].iter().map(|point| point.1).sum::<f64>() / (to - from) as f64);
    }
    let (before, after) = (curve.get(from.checked_sub(1)?)?, curve.get(from)?);
    Some(before.1 + (after.1 - before.1) * (x - before.0) / (after.0 - before.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thinned_curve_keeps_the_mean_of_each_cell_and_leaves_nan_out() {
        let x: Vec<f64> = (1..=20_000).map(f64::from).collect();
        let values: Vec<f64> = x.iter().map(|x| if x % 2.0 == 0.0 { f64::NAN } else { 2.0 * x }).collect();
        let thinned = thin(&x, &values);
        assert!((CELLS..=CELLS + 1).contains(&thinned.len()));
        assert!(thinned.iter().all(|(x, value)| (value - 2.0 * x).abs() < 1e-9));
        assert!(thin(&[], &[]).is_empty());
    }

    #[test]
    fn a_band_holds_the_mean_and_ends_where_half_of_the_runs_do() {
        let line = |end: u32, slope: f64| -> Vec<(f64, f64)> {
            (1..=end).map(|x| (f64::from(x), slope * f64::from(x))).collect()
        };
        let band = band(&[line(1_000, 1.0), line(1_000, 3.0), line(500, 2.0), line(100, 2.0)], 1_000.0);
        assert_eq!(band.x.len(), PLACES);
        for at in 0..band.x.len() {
            assert!((band.mean[at] - 2.0 * band.x[at]).abs() < 1.5, "{at}");
            assert!(band.low[at] <= band.mean[at] && band.mean[at] <= band.high[at]);
        }
        let short = super::band(&[line(1_000, 1.0), line(100, 1.0), line(100, 1.0)], 1_000.0);
        assert!(*short.x.last().unwrap() <= 100.0);
        let one = super::band(&[line(1_000, 1.0)], 1_000.0);
        assert_eq!((one.x.len(), &one.low), (PLACES, &one.mean));
    }

    #[test]
    fn between_its_points_a_sparse_curve_goes_straight() {
        let curve = [(100.0, 1.0), (200.0, 3.0)];
        assert_eq!(at(&curve, 150.0, 2.0), Some(2.0));
        assert_eq!([at(&curve, 50.0, 2.0), at(&curve, 250.0, 2.0)], [None, None]);
    }
}

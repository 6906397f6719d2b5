//! What the picture shows: times of layers over the size of the state.
use efference_sdk::{Result, ResultExt, bail, ensure};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;

/// All that the picture shows.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Plot {
    /// What was measured.
    pub(super) title: String,
    /// With which settings.
    pub(super) settings: String,
    pub(super) series: Vec<Series>,
}

/// The times of one layer, the smallest state first.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Series {
    pub(super) layer: String,
    pub(super) growth: Growth,
    pub(super) points: Vec<Point>,
}

/// One measurement.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Point {
    /// Numbers in the state.
    pub(super) n: i64,
    /// Half of the steps took at most so many milliseconds.
    pub(super) median_ms: f64,
}

/// How the work of a layer grows with the state.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) enum Growth {
    #[serde(rename = "N log N")]
    Linearithmic,
    #[serde(rename = "N^2")]
    Quadratic,
}

impl Growth {
    pub(super) fn of(self, n: f64) -> f64 {
        match self {
            Growth::Linearithmic => n * n.log2(),
            Growth::Quadratic => n * n,
        }
    }
}

impl Plot {
    /// What was kept of a measurement.
    pub(crate) fn read(file: &Path) -> Result<Self> {
        let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        let plot: Plot = serde_json::from_str(&text)
            .with_context(|| format!("{} is no file that --plot wrote", file.display()))?;
        let mut points = plot.series.iter().flat_map(|s| &s.points);
        ensure!(
            plot.series.iter().all(|s| !s.points.is_empty()) && !plot.series.is_empty(),
            "{} has no points",
            file.display()
        );
        if let Some(p) = points.find(|p| p.n < 2 || !p.median_ms.is_finite() || p.median_ms <= 0.0) {
            bail!("{} says {} ms for N = {}, which no logarithm can show", file.display(), p.median_ms, p.n);
        }
        Ok(plot)
    }
}

//! A run that takes part in a comparison, and what is read of it.
use crate::error::CompareError;
use crate::figure::Axis;
use crate::settings::{self, Settings};
use efference_runs::directory::{RunDirectory, RunState};
use efference_runs::history::{History, Over, Series};
use rayon::prelude::*;

/// A run, without its curves.
#[derive(Debug, Clone)]
pub struct Member {
    pub(crate) directory: RunDirectory,
    pub(crate) settings: Settings,
    pub(crate) seed: String,
    pub(crate) state: RunState,
    /// The names of its metrics.
    pub(crate) metrics: Vec<String>,
    /// The last line that it has recorded.
    pub(crate) steps: u64,
    pub(crate) seconds: f64,
    pub(crate) steps_per_second: f64,
    /// Whether the last line was only half there.
    pub(crate) half_line: bool,
}

/// Reads what is known of runs, on all cores.
///
/// # Errors
/// The first that a run gives.
pub fn read_members(runs: Vec<RunDirectory>) -> Result<Vec<Member>, CompareError> {
    runs.into_par_iter().map(Member::read).collect()
}

impl Member {
    fn read(directory: RunDirectory) -> Result<Self, CompareError> {
        let settings = settings::read(&directory)?;
        let state = directory.state()?;
        let history = History::read(&directory)?;
        let ((first_step, first_seconds), (steps, seconds)) = history.ends().unwrap_or_default();
        // The first line's own steps count only where there is no other: they include what is made once.
        let (done, took) = match steps > first_step {
            true => (steps - first_step, seconds - first_seconds),
            false => (steps, seconds),
        };
        Ok(Member {
            seed: settings.get("seed").cloned().unwrap_or_default(),
            metrics: history.names().into_iter().map(str::to_owned).collect(),
            half_line: history.half_line(),
            steps_per_second: if took > 0.0 { done as f64 / took } else { f64::NAN },
            directory,
            settings,
            state,
            steps,
            seconds,
        })
    }

    pub(crate) fn has(&self, metric: &str) -> bool {
        self.metrics.iter().any(|name| name == metric)
    }

    /// Where the run ends.
    pub(crate) fn end(&self, axis: Axis) -> Result<f64, CompareError> {
        Ok(match axis {
            Axis::Step => self.steps as f64,
            Axis::Seconds => self.seconds,
            Axis::Flop => {
                let flop = History::read(&self.directory)?.series(FLOP, Over::Steps)?;
                flop.and_then(|series| series.values.last().copied()).unwrap_or(0.0)
            }
        })
    }

    /// A metric over an axis; nothing if the run has not recorded it.
    pub(crate) fn curve(&self, metric: &str, axis: Axis) -> Result<(Vec<f64>, Vec<f64>), CompareError> {
        let history = History::read(&self.directory)?;
        let clock = if axis == Axis::Seconds { Over::Seconds } else { Over::Steps };
        let series = history.series(metric, clock)?.unwrap_or_default();
        Ok(match axis {
            Axis::Step | Axis::Seconds => (series.x, series.values),
            Axis::Flop => over(&series, &history.series(FLOP, Over::Steps)?.unwrap_or_default()),
        })
    }
}

/// The metric of operations done since the start of a run.
pub(crate) const FLOP: &str = "flop";

/// One series over another, where both have a line.
fn over(series: &Series, axis: &Series) -> (Vec<f64>, Vec<f64>) {
    let place = |step: &f64| axis.x.binary_search_by(|x| x.total_cmp(step)).ok().map(|at| axis.values[at]);
    let both = series.x.iter().zip(&series.values);
    both.filter_map(|(step, value)| Some((place(step)?, *value))).unzip()
}

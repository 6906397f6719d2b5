//! A comparison as runs of TensorBoard: of each group a curve of the mean, one of the lower and one of the upper end of its
//! band; and what its page of hyperparameters shows.
use crate::comparison::{Comparison, Group};
use crate::curves::{Band, band, thin};
use crate::error::CompareError;
use efference_runs::history::{History, Over};
use efference_runs::{EventFile, FileError, Line};
use rayon::prelude::*;
use std::path::Path;
use std::time::SystemTime;
use std::{fs, io};

/// Writes the curves of all metrics that the runs have in common into `<group>/mean`, `/low` and `/high` of a new directory,
/// and the settings and figure of each run into `hparams/`.
///
/// # Errors
/// If the directory is there and not empty, something can't be written, or a run can't be read.
pub fn write_tensorboard(comparison: &Comparison, directory: &Path) -> Result<(), CompareError> {
    if fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_some()) {
        let error = io::Error::other("it is not empty, and TensorBoard would show old curves with new ones");
        let help = Some("name a new directory, or remove this one");
        return Err(FileError { help, ..FileError::new("write into", directory, &error) }.into());
    }
    let metrics = metrics_in_common(comparison)?;
    for group in &comparison.groups {
        let bands = metrics.par_iter().map(|metric| Ok((metric.clone(), of_metric(group, metric)?)));
        let bands: Vec<(String, Band)> = bands.collect::<Result<_, CompareError>>()?;
        let folder = directory.join(file_name(&group.name));
        for name in ["mean", "low", "high"] {
            let mut events = new_events(&folder.join(name))?;
            for (metric, band) in &bands {
                let of = match name {
                    "low" => &band.low,
                    "high" => &band.high,
                    _ => &band.mean,
                };
                for (x, y) in band.x.iter().zip(of) {
                    let values = vec![(metric.clone(), *y)];
                    events.scalars(&Line { step: x.round() as u64, seconds: 0.0, values })?;
                }
            }
            events.flush()?;
        }
        for run in &group.runs {
            let keys = comparison.keys.iter().chain(&comparison.keys_that_follow).chain(&comparison.strata);
            let values = group.values.iter().chain(&group.values_that_follow).chain(&run.stratum);
            // Not the seed: the page shows the runs of a group in one row.
            let settings: Vec<_> = keys.cloned().zip(values.cloned()).collect();
            let mut events = new_events(&directory.join("hparams").join(file_name(&run.directory.id())))?;
            let figure = format!("figure of {}", comparison.metric);
            let speed = "steps per second";
            events.hparams(&group.name, &settings, &[&figure, speed])?;
            let mut values = vec![(speed.to_owned(), run.steps_per_second)];
            values.extend(run.figure.map(|value| (figure, value)));
            events.scalars(&Line { step: run.steps, seconds: 0.0, values })?;
            events.flush()?;
        }
    }
    Ok(())
}

/// The curve of a group, over steps.
fn of_metric(group: &Group, metric: &str) -> Result<Band, CompareError> {
    let mut curves = Vec::new();
    let mut end: f64 = 0.0;
    for run in &group.runs {
        let series = History::read(&run.directory)?.series(metric, Over::Steps)?.unwrap_or_default();
        end = end.max(series.x.last().copied().unwrap_or(0.0));
        curves.push(thin(&series.x, &series.values));
    }
    Ok(band(&curves, end))
}

fn metrics_in_common(comparison: &Comparison) -> Result<Vec<String>, CompareError> {
    let runs: Vec<_> = comparison.groups.iter().flat_map(|group| &group.runs).collect();
    let each = runs.par_iter().map(|run| {
        let history = History::read(&run.directory)?;
        Ok(history.names().into_iter().map(str::to_owned).collect())
    });
    let each: Vec<Vec<String>> = each.collect::<Result<_, CompareError>>()?;
    let first = each.first().cloned().unwrap_or_default();
    Ok(first.into_iter().filter(|name| each.iter().all(|names| names.contains(name))).collect())
}

fn new_events(directory: &Path) -> Result<EventFile, CompareError> {
    fs::create_dir_all(directory).map_err(|e| FileError::new("make", directory, &e))?;
    Ok(EventFile::create(directory, SystemTime::now())?)
}

/// A name that is one part of a path.
fn file_name(name: &str) -> String {
    name.replace(['/', '\0'], "_")
}

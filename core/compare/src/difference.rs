//! Where two runs part: by their fingerprints, their metrics, and the arrays of a checkpoint.
use efference_runs::checkpoint::{Array, Checkpoint};
use efference_runs::directory::RunDirectory;
use efference_runs::{FileError, Fingerprints};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};

/// Metrics that depend on the clock.
const OF_THE_CLOCK: [&str; 2] = ["seconds", "steps_per_second"];

/// What two runs have in common, and where they part.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// Steps of which both have fingerprints; `None`: one of them has none at all.
    pub steps: Option<usize>,
    /// The first step whose fingerprints differ, and the component that a step computes first of those that do.
    pub fingerprint: Option<(u64, String)>,
    /// Lines of metrics that both have.
    pub lines: usize,
    /// The first metric that differs.
    pub metric: Option<MetricDifference>,
}

/// A metric that differs.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricDifference {
    /// The step of the line.
    pub step: u64,
    /// The metric.
    pub name: String,
    /// Its values; `None`: it is not in that line.
    pub values: [Option<Value>; 2],
}

impl Difference {
    /// Compares two runs, as far as both have come. Metrics of the clock are left out.
    ///
    /// # Errors
    /// If a file of theirs cannot be read.
    pub fn of(a: &RunDirectory, b: &RunDirectory) -> Result<Self, FileError> {
        let prints = |run: &RunDirectory| {
            let path = run.fingerprints();
            if path.exists() { Fingerprints::read(&path).map(Some) } else { Ok(None) }
        };
        let both = prints(a)?.zip(prints(b)?);
        let fingerprint = both.as_ref().and_then(|(a, b)| a.first_difference(b));
        let fingerprint = fingerprint.map(|(step, component)| (step, component.to_owned()));
        let (lines, metric) = compare_metrics(&metrics(a)?, &metrics(b)?);
        Ok(Difference { steps: both.map(|(a, b)| a.steps_in_common(&b)), fingerprint, lines, metric })
    }
}

/// The lines of a run, by step. A half-written one at the end is left out.
fn metrics(run: &RunDirectory) -> Result<BTreeMap<u64, Map<String, Value>>, FileError> {
    let path = run.recorder_files(false).metrics;
    let file = match fs::File::open(&path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(e) => return Err(FileError::new("read", &path, &e)),
    };
    let mut lines = BTreeMap::new();
    for line in BufReader::new(file).lines() {
        let line = line.map_err(|e| FileError::new("read", &path, &e))?;
        if let Ok(Value::Object(values)) = serde_json::from_str(&line)
            && let Some(step) = values.get("step").and_then(Value::as_u64)
        {
            lines.insert(step, values);
        }
    }
    Ok(lines)
}

type Lines = BTreeMap<u64, Map<String, Value>>;

/// How many lines both have, and the first difference.
fn compare_metrics(a: &Lines, b: &Lines) -> (usize, Option<MetricDifference>) {
    let common = || a.iter().filter_map(|(step, own)| Some((*step, own, b.get(step)?)));
    let differ = |(step, a, b): (u64, &Map<String, Value>, &Map<String, Value>)| {
        let names = a.keys().chain(b.keys().filter(|name| !a.contains_key(*name)));
        let mut timeless = names.filter(|name| !OF_THE_CLOCK.contains(&name.as_str()));
        let name = timeless.find(|name| a.get(*name) != b.get(*name))?;
        let values = [a, b].map(|values| values.get(name).cloned());
        Some(MetricDifference { step, name: name.clone(), values })
    };
    (common().count(), common().find_map(differ))
}

/// The names of arrays that differ between two checkpoints in any bit, or that only one has.
pub fn arrays_that_differ(a: &Checkpoint, b: &Checkpoint) -> Vec<String> {
    let by_name = |c: &'_ Checkpoint| -> BTreeMap<String, Array> {
        c.arrays.iter().map(|array| (array.name.clone(), array.clone())).collect()
    };
    let (a, b) = (by_name(a), by_name(b));
    let names = a.keys().chain(b.keys().filter(|name| !a.contains_key(*name)));
    names.filter(|name| a.get(*name) != b.get(*name)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &[&str]) -> Lines {
        let line = |text: &&str| {
            let values: Map<String, Value> = serde_json::from_str(text).unwrap();
            (values["step"].as_u64().unwrap(), values)
        };
        text.iter().map(line).collect()
    }

    #[test]
    fn the_first_metric_that_differs_is_found_and_the_clock_is_left_out() {
        let a = lines(&[
            r#"{"step":10,"seconds":1.0,"loss":0.5,"steps_per_second":7.0}"#,
            r#"{"step":20,"loss":0.25,"error":1.0}"#,
            r#"{"step":30,"loss":0.1}"#,
        ]);
        let b = lines(&[
            r#"{"step":10,"seconds":2.0,"loss":0.5,"steps_per_second":9.0}"#,
            r#"{"step":20,"loss":0.25,"error":1.0000000000000002}"#,
        ]);
        let (common, difference) = compare_metrics(&a, &b);
        let difference = difference.unwrap();
        assert_eq!((common, difference.step, difference.name.as_str()), (2, 20, "error"));
        assert_eq!(compare_metrics(&a, &a), (3, None));
        let missing = lines(&[r#"{"step":10,"loss":0.5,"reward":1.0}"#]);
        assert_eq!(compare_metrics(&a, &missing).1.unwrap().name, "reward");
    }
}

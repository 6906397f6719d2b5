//! One number for a run: the mean of a metric over the last fifth of its lines.
use efference_runs::FileError;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Why a run has no such number.
#[derive(Debug, PartialEq)]
pub(super) enum NoResult {
    /// It has no line, or none of its lines has the metric; the metrics that they have.
    NoMetric(BTreeSet<String>),
    /// In one of the lines the metric is no number.
    NotFinite,
    /// Its file can't be read.
    File(String),
}

/// The mean of a metric over the last fifth of the lines of a run that have it.
pub(super) fn result(run: &Path, metric: &str) -> Result<f64, NoResult> {
    let path = run.join("metrics.jsonl");
    let text = fs::read_to_string(&path)
        .map_err(|e| NoResult::File(FileError::new("read", &path, &e).to_string()))?;
    // The last line may be half written.
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut names = BTreeSet::new();
    let mut values = Vec::new();
    for line in lines {
        match line.get(metric) {
            Some(value) => values.push(value.as_f64()),
            None => names.extend(line.as_object().into_iter().flatten().map(|(name, _)| name.clone())),
        }
    }
    let last = &values[values.len() - values.len().div_ceil(5)..];
    if last.is_empty() {
        return Err(NoResult::NoMetric(names));
    }
    let sum: Option<f64> = last.iter().copied().sum();
    sum.map(|sum| sum / last.len() as f64).filter(|mean| mean.is_finite()).ok_or(NoResult::NotFinite)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_is_the_mean_over_the_last_fifth() {
        let run = tempfile::tempdir().unwrap();
        let write = |text: String| fs::write(run.path().join("metrics.jsonl"), text).unwrap();
        // 1 … 10: the last fifth is 9 and 10.
        let lines = |values: &[&str]| -> String {
            values.iter().map(|value| format!("{{\"step\":1,\"error\":{value}}}\n")).collect()
        };
        write(lines(&["1", "2", "3", "4", "5", "6", "7", "8", "9", "10"]) + "{\"step\":1,\"err");
        assert_eq!(result(run.path(), "error"), Ok(9.5));
        write(lines(&["1", "null"]));
        assert_eq!(result(run.path(), "error"), Err(NoResult::NotFinite));
        write(lines(&["1"]));
        let metrics = ["error", "step"].map(str::to_owned).into();
        assert_eq!(result(run.path(), "eror"), Err(NoResult::NoMetric(metrics)));
    }
}

//! `metrics.jsonl`: the truth about a run, one JSON object a line.
use super::FileError;
use super::growing::GrowingFile;
use indexmap::IndexSet;
use std::collections::VecDeque;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

/// Metrics of one recording.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Steps done.
    pub step: u64,
    /// Seconds since the run started.
    pub seconds: f64,
    /// Names and values. NaN and infinities become `null` in `metrics.jsonl`, and stay what they are in TensorBoard.
    pub values: Vec<(String, f64)>,
}

/// Writes `{"step":…,"seconds":…,"loss":…}` and so on: `step`, `seconds`, then every metric in the order in
/// which its name was first seen in this run.
///
/// JSON knows no NaN and no infinity: both are written as `null`. A metric that was not measured is left out.
/// A metric that calls itself `step` or `seconds` gets a `_` at its end, as those keys are taken.
#[derive(Debug)]
pub(super) struct MetricLines {
    file: GrowingFile,
    /// The steps of the lines that wait.
    steps: VecDeque<u64>,
    names: IndexSet<String>,
}

impl MetricLines {
    /// Opens the file to add lines to it; makes it if there is none. `names` are the metrics in it, in the order of their
    /// first use.
    pub(super) fn open(path: &Path, names: Vec<String>) -> Result<Self, FileError> {
        let file = GrowingFile::open(path)?;
        Ok(MetricLines { file, steps: VecDeque::new(), names: names.into_iter().collect() })
    }

    /// The metrics so far, in the order of their first use.
    pub(super) fn names(&self) -> Vec<String> {
        self.names.iter().cloned().collect()
    }

    /// Bytes that wait.
    pub(super) fn waiting(&self) -> usize {
        self.file.waiting()
    }

    /// The steps of the lines that are not in the file.
    pub(super) fn unwritten(&self) -> impl Iterator<Item = u64> {
        self.steps.iter().copied()
    }

    /// Adds a line to those that wait for [`flush`](Self::flush).
    pub(super) fn add(&mut self, line: &Line) {
        // Sorting by place of first use keeps columns stable when a metric comes and goes.
        let mut values: Vec<(usize, &str, f64)> = line
            .values
            .iter()
            .map(|(name, value)| {
                let place = self.names.get_index_of(name).unwrap_or_else(|| {
                    self.names.insert(name.clone());
                    self.names.len() - 1
                });
                (place, name.as_str(), *value)
            })
            .collect();
        values.sort_by_key(|(place, ..)| *place);
        values.dedup_by_key(|(place, ..)| *place);
        self.steps.push_back(line.step);
        self.file.add_with(|to| {
            let microseconds = (line.seconds * 1e6).round() / 1e6;
            write_infallibly(to, format_args!("{{\"step\":{},\"seconds\":", line.step));
            push_number(to, microseconds);
            for (_, name, value) in values {
                to.push(b',');
                let taken = matches!(name, "step" | "seconds");
                let key = if taken { serde_json::json!(format!("{name}_")) } else { serde_json::json!(name) };
                write_infallibly(to, format_args!("{key}:"));
                push_number(to, value);
            }
            to.extend_from_slice(b"}\n");
        });
    }

    /// Writes what waits; what can't be written goes on waiting.
    pub(super) fn flush(&mut self) -> Result<(), FileError> {
        let result = self.file.flush();
        self.written();
        result
    }

    /// As [`flush`](Self::flush), and waits until the disk has it.
    pub(super) fn sync(&mut self) -> Result<(), FileError> {
        let result = self.file.sync();
        self.written();
        result
    }

    /// See [`GrowingFile::look_after`].
    pub(super) fn look_after(&mut self, now: bool) -> Option<String> {
        self.file.look_after(now)
    }

    fn written(&mut self) {
        self.steps.drain(..self.steps.len() - self.file.pieces());
    }
}

/// Cuts a file of lines after the first `lines` of them; returns the step of the last one that stays.
pub(super) fn cut(path: &Path, lines: u64) -> Result<Option<u64>, FileError> {
    let Some(bytes) = read(path)? else { return Ok(None) };
    let ends = bytes.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(at, _)| at + 1);
    let (mut start, mut end) = (0, 0);
    for (_, at) in (0..lines).zip(ends) {
        (start, end) = (end, at);
    }
    set_len(path, end)?;
    Ok(step_of(&bytes[start..end]))
}

/// How many whole lines there are.
pub(super) fn count(path: &Path) -> Result<u64, FileError> {
    let Some(bytes) = read(path)? else { return Ok(0) };
    Ok(bytes.iter().filter(|byte| **byte == b'\n').count() as u64)
}

/// Cuts a file of lines before the first that is of a step after `step`.
pub(super) fn cut_after(path: &Path, step: u64) -> Result<(), FileError> {
    let Some(bytes) = read(path)? else { return Ok(()) };
    let whole = bytes.split_inclusive(|b| *b == b'\n').filter(|line| line.ends_with(b"\n"));
    let early = whole.take_while(|line| step_of(line).is_some_and(|s| s <= step));
    set_len(path, early.map(<[u8]>::len).sum())
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, FileError> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(FileError::new("read", path, &e)),
    }
}

fn set_len(path: &Path, length: usize) -> Result<(), FileError> {
    let cut = || OpenOptions::new().write(true).open(path)?.set_len(length as u64);
    cut().map_err(|e| FileError::new("cut", path, &e))
}

fn step_of(line: &[u8]) -> Option<u64> {
    #[derive(serde::Deserialize)]
    struct Step {
        step: u64,
    }
    serde_json::from_slice(line).ok().map(|Step { step }| step)
}

/// Shortest digits that read back as the same number, or `null`.
fn push_number(to: &mut Vec<u8>, value: f64) {
    match serde_json::Number::from_f64(value) {
        Some(number) => write_infallibly(to, format_args!("{number}")),
        None => to.extend_from_slice(b"null"),
    }
}

/// A `Vec` takes whatever is written to it.
fn write_infallibly(to: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    let _ = to.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(step: u64, values: &[(&str, f64)]) -> Line {
        let values = values.iter().map(|(n, v)| ((*n).to_owned(), *v)).collect();
        Line { step, seconds: 0.123_456_789, values }
    }

    #[test]
    fn keys_keep_their_order_and_what_is_no_number_is_null() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metrics.jsonl");
        let mut lines = MetricLines::open(&path, Vec::new()).unwrap();
        lines.add(&line(10, &[("loss", 0.1), ("a \"quoted\"\nname", f64::NAN), ("step", 7.0)]));
        lines.add(&line(20, &[("reward", f64::NEG_INFINITY), ("step", 8.0), ("loss", 1e300)]));
        lines.sync().unwrap();
        drop(lines);
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(
            text,
            "{\"step\":10,\"seconds\":0.123457,\"loss\":0.1,\"a \\\"quoted\\\"\\nname\":null,\"step_\":7.0}\n\
             {\"step\":20,\"seconds\":0.123457,\"loss\":1e+300,\"step_\":8.0,\"reward\":null}\n"
        );
        for line in text.lines() {
            serde_json::from_str::<serde_json::Value>(line).unwrap();
        }
        let mut lines = MetricLines::open(&path, Vec::new()).unwrap();
        lines.add(&line(30, &[]));
        lines.flush().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 3, "opened again, it goes on");
    }

    #[test]
    fn a_file_is_cut_after_so_many_lines_and_goes_on_with_the_same_columns() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metrics.jsonl");
        let mut lines = MetricLines::open(&path, Vec::new()).unwrap();
        for step in [10, 20, 30] {
            lines.add(&line(step, &[("b", 1.0), ("a", 2.0)]));
        }
        lines.flush().unwrap();
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, [&whole[..], b"{\"step\":4"].concat()).unwrap();
        assert_eq!(cut(&path, 2).unwrap(), Some(20));
        let mut lines = MetricLines::open(&path, lines.names()).unwrap();
        lines.add(&line(30, &[("a", 2.0), ("b", 1.0)]));
        lines.flush().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), whole);
        cut_after(&path, 29).unwrap();
        assert_eq!(cut(&path, 9).unwrap(), Some(20));
        assert_eq!(cut(&path, 0).unwrap(), None);
        assert_eq!(std::fs::read(&path).unwrap(), b"");
        assert_eq!(cut(&dir.path().join("none"), 3).unwrap(), None);
    }
}

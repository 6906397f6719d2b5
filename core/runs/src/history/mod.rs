//! `metrics.jsonl` read back, fast: the curves of a run, whether it has ended or goes on.
//!
//! ```text
//! metrics.jsonl ──(lines: parse)──▶ table ──(columns: write)──▶ metrics.columns
//!                                     ▲                               │
//!             lines added since ──────┴─────── one metric at a time ◀─┘
//! ```
mod columns;
mod error;
mod parse;
mod table;
#[cfg(test)]
mod tests;

use crate::directory::RunDirectory;
use crate::{FileError, MetricsFollower};
use columns::Columns;
pub use error::HistoryError;
use parse::{Position, Reading, read_lines};
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use table::{Column, Table};

/// What a run has recorded so far.
///
/// Lines that were written twice, as a run that was killed does them again after it is resumed, count once: the
/// last time. Seconds go on from one process of a run to the next.
#[derive(Debug)]
pub struct History {
    metrics: PathBuf,
    /// Lines that are read from the file of columns when they are asked for.
    columns: Option<Columns>,
    /// All lines behind those.
    table: Table,
    half_line: bool,
    /// Which file that is, and how many bytes of it were read.
    inode: u64,
    read: u64,
}

/// One metric over a run, where it was recorded.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Series {
    /// Steps done, or seconds since the run started.
    pub x: Vec<f64>,
    /// The values; NaN for what was recorded and is no number.
    pub values: Vec<f64>,
}

/// What a series goes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// Steps done.
    Steps,
    /// Seconds since the run started.
    Seconds,
}

/// Metrics shorter than this are read in a few milliseconds, and need no file of columns.
const WORTH_COLUMNS: u64 = 1 << 20;

impl History {
    /// Reads what a run has recorded so far, and keeps a file of columns beside it if it is long. A run that has recorded
    /// nothing yet has an empty history.
    ///
    /// # Errors
    /// If the metrics can't be read, or a line of them is damaged. That the file of columns can't be written is no error.
    pub fn read(run: &RunDirectory) -> Result<Self, HistoryError> {
        let metrics = run.path().join("metrics.jsonl");
        let mut file = match File::open(&metrics) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let table = Table::default();
                return Ok(History { metrics, columns: None, table, half_line: false, inode: 0, read: 0 });
            }
            Err(e) => return Err(FileError::new("read", &metrics, &e).into()),
        };
        let metadata = file.metadata().map_err(|e| FileError::new("read", &metrics, &e))?;
        let beside = columns_file(&metrics);
        let mut columns = Columns::open(&beside, &file, &metadata);
        let from = columns.as_ref().map_or(Position::default(), Columns::covered);
        let mut table = columns.as_ref().map_or(Table::default(), |columns| Table::after(columns.ending()));
        let mut reading = read_lines(&metrics, &mut file, from, &mut table)?;
        if columns.is_some() && reading.beyond {
            // The run was resumed from before the end of the columns.
            columns = None;
            (table, reading) = read_all(&metrics, &mut file)?;
        }
        let more = reading.to.bytes - columns.as_ref().map_or(0, |columns| columns.covered().bytes);
        if more >= WORTH_COLUMNS.max(reading.to.bytes / 4) {
            let whole = match &columns {
                None => Ok(table),
                Some(columns) => columns.table().map(|mut whole| {
                    whole.append(table);
                    whole
                }),
            };
            match whole {
                Ok(whole) => table = whole,
                // They are not what they were when they were written.
                Err(_) => (table, reading) = read_all(&metrics, &mut file)?,
            }
            columns = None;
            if let Err(e) = columns::write(&beside, &table, reading.to, &file, &metadata) {
                tracing::debug!("'{}' was not written: {e}", beside.display());
            }
        }
        let (half_line, inode, read) = (reading.half_line > 0, metadata.ino(), reading.to.bytes);
        Ok(History { metrics, columns, table, half_line, inode, read })
    }

    /// Reads on behind this.
    pub fn follower(&self) -> MetricsFollower {
        MetricsFollower::behind(self.metrics.clone(), self.inode, self.read)
    }

    /// Whether the last line is only half there and was left out: a process is writing it just now, or was killed while
    /// it did.
    pub fn half_line(&self) -> bool {
        self.half_line
    }

    /// The names of all metrics, in the order in which they were first recorded.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.columns.iter().flat_map(Columns::names).collect();
        for column in &self.table.columns {
            // A line that was done again may have left a name without values.
            if !names.contains(&column.name.as_str()) && !column.values.is_empty() {
                names.push(&column.name);
            }
        }
        names
    }

    /// Steps and seconds of the first line and of the last one.
    pub fn ends(&self) -> Option<((u64, f64), (u64, f64))> {
        let first = self.columns.as_ref().and_then(Columns::first).or_else(|| self.table.first());
        first.zip(self.table.last())
    }

    /// A metric, where it was recorded; `None` if it never was.
    ///
    /// # Errors
    /// If the metrics can't be read again.
    pub fn series(&self, name: &str, over: Over) -> Result<Option<Series>, HistoryError> {
        let before = match self.columns.as_ref().map(|columns| stored(columns, name, over)).transpose() {
            Ok(before) => before.flatten(),
            Err(e) => return self.without_columns(&e)?.series(name, over),
        };
        let after = self.table.columns.iter().find(|column| column.name == name && !column.values.is_empty());
        if before.is_none() && after.is_none() {
            return Ok(None);
        }
        let mut series = before.unwrap_or_default();
        if let Some(column) = after {
            let x = match over {
                Over::Steps => as_numbers(&self.table.steps),
                Over::Seconds => self.table.seconds.clone(),
            };
            series.x.extend(pick(x, column.rows.as_deref(), column.values.len()));
            series.values.extend(&column.values);
        }
        Ok(Some(series))
    }

    /// All of it from the lines, as the columns have turned out to be damaged.
    fn without_columns(&self, why: &io::Error) -> Result<History, HistoryError> {
        let columns = columns_file(&self.metrics);
        tracing::debug!("'{}' is made again: {why}", columns.display());
        // Best effort: otherwise it is found to be damaged the next time too.
        let _ = std::fs::remove_file(columns);
        let mut file = File::open(&self.metrics).map_err(|e| FileError::new("read", &self.metrics, &e))?;
        let (table, reading) = read_all(&self.metrics, &mut file)?;
        let (half_line, read) = (reading.half_line > 0, reading.to.bytes);
        Ok(History {
            metrics: self.metrics.clone(),
            columns: None,
            table,
            half_line,
            inode: self.inode,
            read,
        })
    }
}

fn read_all(metrics: &Path, file: &mut File) -> Result<(Table, Reading), HistoryError> {
    let mut table = Table::default();
    let reading = read_lines(metrics, file, Position::default(), &mut table)?;
    Ok((table, reading))
}

fn columns_file(metrics: &Path) -> PathBuf {
    metrics.with_file_name("metrics.columns")
}

/// A metric from a file of columns; `None` if it is not in there.
fn stored(columns: &Columns, name: &str, over: Over) -> io::Result<Option<Series>> {
    let Some(Column { rows, values, .. }) = columns.column(name)? else { return Ok(None) };
    let x = match over {
        Over::Steps => as_numbers(&columns.steps()?),
        Over::Seconds => columns.seconds()?,
    };
    Ok(Some(Series { x: pick(x, rows.as_deref(), values.len()), values }))
}

fn as_numbers(steps: &[u64]) -> Vec<f64> {
    steps.iter().map(|step| *step as f64).collect()
}

/// What stands in the rows that have a value: `rows`, or the first ones.
fn pick(mut x: Vec<f64>, rows: Option<&[u32]>, count: usize) -> Vec<f64> {
    match rows {
        Some(rows) => rows.iter().map(|row| x[*row as usize]).collect(),
        None => {
            x.truncate(count);
            x
        }
    }
}

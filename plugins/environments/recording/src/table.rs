//! Tables: CSV and its relatives. A row is a frame, read when it is its turn: a table may be larger than memory.
//!
//! When it is opened, a table is read once from its beginning to its end: so all that is wrong with it is said before the first
//! step, and the texts of its columns are known.
mod cell;
mod reader;
mod scan;

use crate::column::Column;
use crate::options::Options;
use crate::source::{Place, Source, Sources, has_changed};
use cell::{Cell, cell};
use efference_sdk::{Result, bail, ensure};
use reader::{Reader, reader};
use scan::{Kind, Scan};
use std::path::{Path, PathBuf};

/// The columns of tables, and their rows.
///
/// # Errors
/// A table that cannot be read: a sentence with file, line and column.
pub(crate) fn open_all(paths: &[PathBuf], options: &Options) -> Result<(Vec<Column>, Sources)> {
    let mut scan = Scan::new(options);
    let scanned = paths.iter().map(|path| scan.file(path, u64::MAX)).collect::<Result<Vec<_>>>()?;
    scan.warn();
    let columns = scan.columns();
    let mut sources: Sources = Vec::new();
    for (path, scanned) in paths.iter().zip(scanned) {
        let mut table = Table {
            path: path.clone(),
            reader: reader(path, options)?,
            record: csv::ByteRecord::new(),
            chosen: scanned.chosen.into_iter().zip(scan.kinds()).collect(),
            width: scanned.width,
            decimal: options.decimal.as_bytes()[0],
            row: 0,
            start: scanned.start,
            rows: scanned.rows,
            checksum: scanned.checksum,
        };
        table.go(Place::default())?;
        sources.push(Box::new(table));
    }
    Ok((columns, sources))
}

/// How many rows files have, those that were read whole.
pub(crate) type Rows = Vec<Option<u64>>;

/// What so many bytes of tables say: the columns, if they say it, and their rows.
///
/// # Errors
/// What is wrong within them.
pub(crate) fn outline(
    paths: &[PathBuf],
    options: &Options,
    bytes: u64,
) -> Result<(Option<Vec<Column>>, Rows)> {
    let mut scan = Scan::new(options);
    let mut rows = Vec::new();
    for path in paths {
        let scanned = scan.file(path, (bytes / paths.len().max(1) as u64).max(1 << 16))?;
        rows.push(scanned.whole.then_some(scanned.rows));
    }
    // A text that is further down would take an element too.
    let whole = rows.iter().all(Option::is_some);
    let known = whole || scan.kinds().all(|kind| matches!(kind, Kind::Number));
    Ok((known.then(|| scan.columns()), rows))
}

/// A table that is read row by row.
struct Table {
    path: PathBuf,
    reader: Reader,
    record: csv::ByteRecord,
    /// The place of each column in a row, and what it holds.
    chosen: Vec<(usize, Kind)>,
    /// Values of a whole row.
    width: usize,
    decimal: u8,
    row: u64,
    /// Where the first row is.
    start: Place,
    rows: u64,
    checksum: u64,
}

impl Table {
    /// What is said of a row that was another one when the table was opened.
    fn changed(&self, path: &Path) -> String {
        format!("{}: row {} is not what it was", has_changed(path), self.row + 1)
    }
}

impl Source for Table {
    fn next(&mut self, row: &mut [f64]) -> Result<bool> {
        if !reader::next(&mut self.reader, &mut self.record, &self.path)? {
            ensure!(
                self.row == self.rows,
                "{}: it has {} rows and had {}",
                has_changed(&self.path),
                self.row,
                self.rows
            );
            return Ok(false);
        }
        ensure!(self.record.len() == self.width && self.row < self.rows, "{}", self.changed(&self.path));
        for ((at, kind), value) in self.chosen.iter().zip(row) {
            *value = match (cell(&self.record[*at], self.decimal), kind) {
                (Cell::Missing, _) => f64::NAN,
                (Cell::Number(number), Kind::Number) => number,
                (_, Kind::Texts(texts)) => match texts.place(&self.record[*at]) {
                    Some(place) => place as f64,
                    None => bail!("{}", self.changed(&self.path)),
                },
                _ => bail!("{}", self.changed(&self.path)),
            };
        }
        self.row += 1;
        Ok(true)
    }

    fn place(&self) -> Place {
        let position = self.reader.position();
        Place { row: self.row, byte: position.byte(), line: position.line() }
    }

    fn go(&mut self, place: Place) -> Result<()> {
        let place = if place == Place::default() { self.start } else { place };
        let mut position = csv::Position::new();
        position.set_byte(place.byte).set_line(place.line).set_record(place.row);
        reader::seek(&mut self.reader, position, &self.path)?;
        self.row = place.row;
        Ok(())
    }

    fn checksum(&self) -> u64 {
        self.checksum
    }

    fn rows(&self) -> Option<u64> {
        Some(self.rows)
    }
}

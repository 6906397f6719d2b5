//! Reads the lines of `metrics.jsonl`.
//!
//! A long run has hundreds of megabytes of them, all of one form, which is that of the writer beside this: it is read
//! without making anything of JSON in general. A line of any other form is given to serde_json, which takes it or says
//! what is wrong with it.
use super::error::HistoryError;
use super::table::Table;
use crate::FileError;
use memchr::{memchr, memchr2, memrchr};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// How far a file was read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Position {
    /// Bytes of whole lines.
    pub(super) bytes: u64,
    /// Whole lines.
    pub(super) lines: u64,
}

/// What reading came to.
pub(super) struct Reading {
    pub(super) to: Position,
    /// Bytes behind the last whole line: what a process was writing just then, or when it was killed.
    pub(super) half_line: usize,
    /// Whether a line takes the place of lines before the table.
    pub(super) beyond: bool,
}

/// Bytes that are read at once.
const BLOCK: usize = 1 << 20;

/// Adds the whole lines behind a position to a table.
pub(super) fn read_lines(
    path: &Path,
    file: &mut File,
    from: Position,
    table: &mut Table,
) -> Result<Reading, HistoryError> {
    let failed = |e| HistoryError::File(FileError::new("read", path, &e));
    file.seek(SeekFrom::Start(from.bytes)).map_err(failed)?;
    let mut reading = Reading { to: from, half_line: 0, beyond: false };
    let mut values = Vec::new();
    let mut buffer = vec![0; BLOCK];
    let mut filled = 0;
    loop {
        if filled == buffer.len() {
            buffer.resize(2 * filled, 0); // a line longer than all that was read
        }
        let count = match file.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => count,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(failed(e)),
        };
        filled += count;
        let Some(end) = memrchr(b'\n', &buffer[..filled]) else { continue };
        let mut lines = &buffer[..=end];
        while let Some(end) = memchr(b'\n', lines) {
            let line = &lines[..end];
            lines = &lines[end + 1..];
            reading.to.bytes += end as u64 + 1;
            reading.to.lines += 1;
            if line.is_empty() {
                continue;
            }
            values.clear();
            let (step, seconds) = match plain_line(line, table, &mut values) {
                Some(said) => said,
                None => any_line(line, table, &mut values).map_err(|cause| HistoryError::Damaged {
                    file: path.to_owned(),
                    line: reading.to.lines,
                    cause,
                })?,
            };
            reading.beyond |= table.add(step, seconds, &values);
        }
        buffer.copy_within(end + 1..filled, 0);
        filled -= end + 1;
    }
    reading.half_line = filled;
    Ok(reading)
}

/// A line as it is written here; `None` if it is of another form.
fn plain_line(line: &[u8], table: &mut Table, values: &mut Vec<(usize, f64)>) -> Option<(u64, f64)> {
    let rest = line.strip_prefix(b"{\"step\":")?;
    let end = memchr(b',', rest)?;
    let step = number(&rest[..end])?;
    let mut rest = rest[end..].strip_prefix(b",\"seconds\":")?;
    let mut seconds = None;
    loop {
        let end = memchr2(b',', b'}', rest)?;
        let text = &rest[..end];
        let value = if text == b"null" { f64::NAN } else { number(text)? };
        match (seconds, values.last_mut()) {
            (None, _) => seconds = Some(value),
            (_, Some((_, last))) => *last = value,
            _ => return None,
        }
        if rest[end] == b'}' {
            return (end + 1 == rest.len()).then_some((step, seconds?));
        }
        rest = rest[end + 1..].strip_prefix(b"\"")?;
        let end = memchr(b'"', rest)?;
        if memchr(b'\\', &rest[..end]).is_some() {
            return None;
        }
        values.push((table.column(&rest[..end])?, f64::NAN));
        rest = rest[end + 1..].strip_prefix(b":")?;
    }
}

/// The nearest number, to the last bit. What Rust takes and JSON does not (`inf`, `1.`, `+1`) is none.
fn number<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    let (first, last) = (text.first()?, text.last()?);
    if !(first.is_ascii_digit() || *first == b'-') || !last.is_ascii_digit() {
        return None;
    }
    str::from_utf8(text).ok()?.parse().ok()
}

/// A line of whatever form, or what is wrong with it. A value that is no number is left out.
fn any_line(line: &[u8], table: &mut Table, values: &mut Vec<(usize, f64)>) -> Result<(u64, f64), String> {
    values.clear();
    let fields: BTreeMap<String, &RawValue> = serde_json::from_slice(line).map_err(|e| {
        // The place within the line is of use, its "line 1" is not.
        format!("{}, at character {}", e.to_string().split(" at line").next().unwrap_or_default(), e.column())
    })?;
    let text = |name: &str| fields.get(name).map(|value| value.get().as_bytes());
    let step = text("step").ok_or("it has no `step`")?;
    let seconds = text("seconds").ok_or("it has no `seconds`")?;
    let step = number(step).ok_or("its `step` is no whole number")?;
    let seconds = number(seconds).ok_or("its `seconds` is no number")?;
    for (name, value) in &fields {
        let value = match value.get() {
            "null" => Some(f64::NAN),
            value => number(value.as_bytes()),
        };
        if let (Some(value), false) = (value, matches!(name.as_str(), "step" | "seconds")) {
            values.extend(table.column(name.as_bytes()).map(|at| (at, value)));
        }
    }
    Ok((step, seconds))
}

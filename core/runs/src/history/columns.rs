//! `metrics.columns`: what `metrics.jsonl` says, a block of bytes a metric, so that one metric of a long run is read
//! without the others.
//!
//! ```text
//! "EFFCOLS1" · length of the header (u32) · its CRC-32 (u32) · the header (JSON) · blocks of f64, u64 or u32, little endian
//! ```
//!
//! It is derived: made again where it is missing, and where the metrics are not those that it was made of. Nobody writes
//! into it; a new one takes its name. So two processes that make it at once do no harm, and neither does one that is
//! killed. It is not synced, as that would take longer than to make it again: each block has a checksum instead.
use super::parse::Position;
use super::table::{Column, Ending, Table};
use serde::{Deserialize, Serialize};
use std::fs::{File, Metadata};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::UNIX_EPOCH;

const MAGIC: &[u8; 8] = b"EFFCOLS1";
/// Bytes before the header.
const PREFIX: u64 = 16;
/// Bytes before the end of what was read that must still be the same.
const TAIL: u64 = 4_096;

/// Numbers of one kind, one after another.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Block {
    /// Where they begin, behind the header.
    at: u64,
    count: usize,
    crc: u32,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Stored {
    name: String,
    rows: Option<Block>,
    values: Block,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Header {
    /// How much of `metrics.jsonl` this is.
    covered: Position,
    /// CRC-32 of the last bytes of that.
    tail: u32,
    /// When `metrics.jsonl` was changed last, in nanoseconds since 1970.
    modified: u64,
    /// Step and seconds of the first line.
    first: Option<(u64, f64)>,
    ending: Ending,
    steps: Block,
    seconds: Block,
    columns: Vec<Stored>,
}

/// A file of columns that belongs to the metrics beside it.
#[derive(Debug)]
pub(super) struct Columns {
    file: File,
    header: Header,
    /// Where the blocks begin.
    blocks: u64,
}

impl Columns {
    /// The file, if it is there, whole, and made of these metrics.
    pub(super) fn open(path: &Path, metrics: &File, metadata: &Metadata) -> Option<Self> {
        let file = File::open(path).ok()?;
        let mut prefix = [0; PREFIX as usize];
        file.read_exact_at(&mut prefix, 0).ok()?;
        let (magic, numbers) = prefix.split_at(MAGIC.len());
        let [length, crc] =
            [&numbers[..4], &numbers[4..]].map(|n| n.try_into().map_or(0, u32::from_le_bytes));
        let blocks = PREFIX + u64::from(length);
        if magic != MAGIC || blocks > file.metadata().ok()?.len() {
            return None;
        }
        let mut header = vec![0; length as usize];
        file.read_exact_at(&mut header, PREFIX).ok()?;
        if crc32fast::hash(&header) != crc {
            return None;
        }
        let header: Header = serde_json::from_slice(&header).ok()?;
        let covered = header.covered.bytes;
        let same = match metadata.len() {
            length if length == covered => modified(metadata) == header.modified,
            length => length > covered,
        };
        (same && tail(metrics, covered).ok()? == header.tail).then_some(Columns { file, header, blocks })
    }

    pub(super) fn covered(&self) -> Position {
        self.header.covered
    }

    pub(super) fn first(&self) -> Option<(u64, f64)> {
        self.header.first
    }

    pub(super) fn ending(&self) -> Ending {
        self.header.ending
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.header.columns.iter().map(|column| column.name.as_str())
    }

    pub(super) fn steps(&self) -> io::Result<Vec<u64>> {
        self.block(self.header.steps, u64::from_le_bytes)
    }

    pub(super) fn seconds(&self) -> io::Result<Vec<f64>> {
        self.block(self.header.seconds, f64::from_le_bytes)
    }

    /// The column of this name, if there is one.
    pub(super) fn column(&self, name: &str) -> io::Result<Option<Column>> {
        match self.header.columns.iter().find(|column| column.name == name) {
            Some(stored) => self.stored(stored).map(Some),
            None => Ok(None),
        }
    }

    /// All of it.
    pub(super) fn table(&self) -> io::Result<Table> {
        let mut table = Table::after(self.header.ending);
        table.steps = self.steps()?;
        table.seconds = self.seconds()?;
        table.columns = self.header.columns.iter().map(|c| self.stored(c)).collect::<io::Result<_>>()?;
        Ok(table)
    }

    fn stored(&self, stored: &Stored) -> io::Result<Column> {
        let rows = stored.rows.map(|block| self.block(block, u32::from_le_bytes)).transpose()?;
        let values = self.block(stored.values, f64::from_le_bytes)?;
        let lines = self.header.steps.count.min(self.header.seconds.count);
        let fit = match &rows {
            Some(rows) => rows.len() == values.len() && rows.iter().all(|row| (*row as usize) < lines),
            None => values.len() <= lines,
        };
        if fit {
            Ok(Column { name: stored.name.clone(), rows, values })
        } else {
            Err(damaged("a column does not fit the lines"))
        }
    }

    fn block<const N: usize, T>(&self, block: Block, number: fn([u8; N]) -> T) -> io::Result<Vec<T>> {
        // Before memory is taken for it: the header says how long a block is, and only the file knows.
        let there = self.file.metadata()?.len().saturating_sub(self.blocks);
        let end = (block.count as u64).checked_mul(N as u64).and_then(|bytes| bytes.checked_add(block.at));
        if end.is_none_or(|end| end > there) {
            return Err(damaged("a block lies beyond its end"));
        }
        let mut numbers = Vec::with_capacity(block.count);
        let mut crc = crc32fast::Hasher::new();
        // In pieces that stay in the processor's cache.
        let mut piece = [0; 1 << 15];
        let mut at = self.blocks + block.at;
        let mut left = block.count * N;
        while left > 0 {
            let piece = &mut piece[..left.min(1 << 15)];
            self.file.read_exact_at(piece, at)?;
            crc.update(piece);
            numbers.extend(piece.as_chunks::<N>().0.iter().copied().map(number));
            at += piece.len() as u64;
            left -= piece.len();
        }
        if crc.finalize() == block.crc { Ok(numbers) } else { Err(damaged("a block's checksum is wrong")) }
    }
}

fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Makes the file, or replaces it. `metadata` is that of the metrics before they were read.
pub(super) fn write(
    path: &Path,
    table: &Table,
    covered: Position,
    metrics: &File,
    metadata: &Metadata,
) -> io::Result<()> {
    let mut at = 0;
    let mut block = |count: usize, size: usize, crc: u32| {
        let block = Block { at, count, crc };
        at += (count * size) as u64;
        block
    };
    let header = Header {
        covered,
        tail: tail(metrics, covered.bytes)?,
        modified: modified(metadata),
        first: table.first(),
        ending: table.ending,
        steps: block(table.steps.len(), 8, crc(&table.steps, u64::to_le_bytes)),
        seconds: block(table.seconds.len(), 8, crc(&table.seconds, f64::to_le_bytes)),
        columns: (table.columns.iter())
            .map(|column| Stored {
                name: column.name.clone(),
                rows: column.rows.as_ref().map(|rows| block(rows.len(), 4, crc(rows, u32::to_le_bytes))),
                values: block(column.values.len(), 8, crc(&column.values, f64::to_le_bytes)),
            })
            .collect(),
    };
    let header = serde_json::to_vec(&header)?;
    let file = tempfile::Builder::new()
        .prefix(".metrics.columns.")
        .suffix(".tmp")
        .tempfile_in(path.parent().unwrap_or(Path::new(".")))?;
    let mut to = BufWriter::with_capacity(1 << 18, file);
    to.write_all(MAGIC)?;
    to.write_all(&(header.len() as u32).to_le_bytes())?;
    to.write_all(&crc32fast::hash(&header).to_le_bytes())?;
    to.write_all(&header)?;
    by_pieces(&table.steps, u64::to_le_bytes, |bytes| to.write_all(bytes))?;
    by_pieces(&table.seconds, f64::to_le_bytes, |bytes| to.write_all(bytes))?;
    for column in &table.columns {
        if let Some(rows) = &column.rows {
            by_pieces(rows, u32::to_le_bytes, |bytes| to.write_all(bytes))?;
        }
        by_pieces(&column.values, f64::to_le_bytes, |bytes| to.write_all(bytes))?;
    }
    to.into_inner().map_err(io::IntoInnerError::into_error)?.persist(path)?;
    Ok(())
}

/// The bytes of numbers, in pieces.
fn by_pieces<const N: usize, T: Copy>(
    numbers: &[T],
    bytes: fn(T) -> [u8; N],
    mut take: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut piece = Vec::with_capacity(1 << 15);
    for some in numbers.chunks((1 << 15) / N) {
        piece.clear();
        some.iter().for_each(|number| piece.extend_from_slice(&bytes(*number)));
        take(&piece)?;
    }
    Ok(())
}

fn crc<const N: usize, T: Copy>(numbers: &[T], bytes: fn(T) -> [u8; N]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    // What takes the bytes here can't fail.
    let _ = by_pieces(numbers, bytes, |piece| {
        crc.update(piece);
        Ok(())
    });
    crc.finalize()
}

/// CRC-32 of the last bytes before a place.
fn tail(metrics: &File, end: u64) -> io::Result<u32> {
    let length = end.min(TAIL);
    let mut bytes = vec![0; length as usize];
    metrics.read_exact_at(&mut bytes, end - length)?;
    Ok(crc32fast::hash(&bytes))
}

fn modified(metadata: &Metadata) -> u64 {
    let time = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    time.map_or(0, |time| time.as_nanos() as u64)
}

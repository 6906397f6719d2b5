//! Reads the rows of a table, whatever they hold; a row is bounded, as a quote that is not closed would take in the rest of the
//! file.
use crate::options::Options;
use crate::source::{Summed, in_files, open};
use efference_sdk::{Error, Result, bail};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

/// Bytes of a row, at most.
const LONGEST: u64 = 8 << 20;

/// Rows of a file.
pub(super) type Reader = csv::Reader<Bounded<File>>;
/// Rows of a file whose checksum is wanted.
pub(super) type SummedReader = csv::Reader<Bounded<io::Take<Summed<File>>>>;

/// Reads no more than a row may have.
pub(super) struct Bounded<R> {
    pub(super) from: R,
    /// Bytes that may still be read for this row.
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            return Err(io::Error::other(
                "a row has more than 8 MiB: is a quote (\") opened there that is never closed?",
            ));
        }
        let count = self.from.read(to)?;
        self.left = self.left.saturating_sub(count as u64);
        Ok(count)
    }
}

impl<R: Seek> Seek for Bounded<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.from.seek(to)
    }
}

fn rows<R: Read>(from: R, path: &Path, options: &Options) -> Result<csv::Reader<Bounded<R>>> {
    let mut builder = csv::ReaderBuilder::new();
    // What a row lacks is said with its line, and that is not what csv calls it.
    builder.has_headers(false).flexible(true).delimiter(separator(path, options)?).buffer_capacity(1 << 16);
    Ok(builder.from_reader(Bounded { from, left: LONGEST }))
}

/// What stands between two values of a file: a tab, where its name says so and the spec says nothing.
pub(super) fn separator(path: &Path, options: &Options) -> Result<u8> {
    let tabs =
        path.extension().is_some_and(|e| e.eq_ignore_ascii_case("tsv") || e.eq_ignore_ascii_case("tab"));
    if tabs && options.separator == "," { Ok(b'\t') } else { options.separator() }
}

/// The rows of a file.
pub(super) fn reader(path: &Path, options: &Options) -> Result<Reader> {
    rows(open(path)?, path, options)
}

/// The rows of the first so many bytes of a file, with their checksum.
pub(super) fn summed_reader(path: &Path, options: &Options, bytes: u64) -> Result<SummedReader> {
    let mut file = open(path)?;
    let mut first = [0; 4];
    let mut length = 0;
    while length < first.len() {
        match file.read(&mut first[length..]).map_err(|e| unreadable(path, &e))? {
            0 => break,
            count => length += count,
        }
    }
    let wide = matches!(first[..length], [0xff, 0xfe, ..] | [0xfe, 0xff, ..]);
    if wide {
        bail!("{} is text in UTF-16: save it as UTF-8", path.display());
    }
    if first[..length] == *b"PK\x03\x04" || first[..length].starts_with(&[0x1f, 0x8b]) {
        let how = if first[0] == b'P' { "unzip" } else { "gunzip -k" };
        bail!("{} is packed: unpack it first (`{how}`)", path.display());
    }
    file.rewind().map_err(|e| unreadable(path, &e))?;
    rows(Summed::new(file).take(bytes), path, options)
}

fn unreadable(path: &Path, error: &io::Error) -> Error {
    in_files(format!("{} cannot be read: {error}", path.display()))
}

/// Reads the next row; false: there is none.
pub(super) fn next<R: Read>(
    reader: &mut csv::Reader<Bounded<R>>,
    record: &mut csv::ByteRecord,
    path: &Path,
) -> Result<bool> {
    reader.get_mut().left = LONGEST;
    let line = reader.position().line();
    reader.read_byte_record(record).map_err(|error| failed(path, line, error))
}

fn failed(path: &Path, line: u64, error: csv::Error) -> Error {
    let shown = path.display();
    match error.into_kind() {
        csv::ErrorKind::Io(error) => in_files(format!("{shown}, line {line}: {error}")),
        other => in_files(format!("{shown}, line {line}: {}", csv_words(&other))),
    }
}

fn csv_words(kind: &csv::ErrorKind) -> String {
    format!("the row cannot be read ({kind:?})")
}

/// Goes to a row.
pub(super) fn seek(reader: &mut Reader, to: csv::Position, path: &Path) -> Result<()> {
    reader.get_mut().left = LONGEST;
    let line = to.line();
    reader.seek(to).map_err(|error| failed(path, line, error))
}

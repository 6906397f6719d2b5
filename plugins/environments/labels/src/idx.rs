//! Reads files in the IDX format of MNIST (described at the end of its page, yann.lecun.com/exdb/mnist).
//!
//! ```text
//! 00 00 08 D                      unsigned bytes in D dims
//! D sizes, 4 bytes each, the highest byte first
//! the elements, the last dim changing fastest
//! ```
use efference_sdk::{Error, Result, bail, ensure};
use flate2::bufread::MultiGzDecoder;
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read};

/// Pixels of a picture's side at most; more is taken for damage.
const LONGEST_SIDE: u32 = 1_024;
/// Labels that are read at most.
const MOST_LABELS: u32 = 100_000_000;

/// The first pictures of a file.
pub(crate) struct Pictures {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    /// `rows · columns` a picture, row by row.
    pub(crate) pixels: Vec<u8>,
}

/// Rows and columns of the pictures of a file.
pub(crate) fn picture_size(path: &str) -> Result<[usize; 2]> {
    let (_, [_, rows, columns]) = open(path, "pictures", "images")?;
    Ok([rows as usize, columns as usize])
}

/// Reads the first `count` pictures of a file. What is behind them is not looked at.
pub(crate) fn pictures(path: &str, count: usize) -> Result<Pictures> {
    let (mut file, [pictures, rows, columns]) = open(path, "pictures", "images")?;
    for side in [rows, columns] {
        ensure!(
            (1..=LONGEST_SIDE).contains(&side),
            "{path} says that its pictures have {rows} × {columns} pixels, but a side can have 1 to {LONGEST_SIDE}: the file is damaged"
        );
    }
    ensure!(
        u64::from(pictures) >= count as u64,
        "count = {count}, but {path} holds {pictures} pictures: set environment.count to that or less"
    );
    let (rows, columns) = (rows as usize, columns as usize);
    let size = rows * columns;
    let pixels = read(&mut file, path, count * size)?;
    ensure!(
        pixels.len() == count * size,
        "{path} is cut off: it says that it holds {pictures} pictures of {rows} × {columns} pixels, but ends in picture {} of the {count} that are wanted; fetch it again",
        pixels.len() / size + 1
    );
    Ok(Pictures { rows, columns, pixels })
}

/// Reads all labels of a file.
pub(crate) fn labels(path: &str) -> Result<Vec<u8>> {
    let (mut file, [labels]) = open(path, "labels", "label_file")?;
    ensure!(
        labels <= MOST_LABELS,
        "{path} says that it holds {labels} labels, and can hold {MOST_LABELS}: the file is damaged"
    );
    let read = read(&mut file, path, labels as usize)?;
    ensure!(
        read.len() == labels as usize,
        "{path} is cut off: it says that it holds {labels} labels, but ends after {}; fetch it again",
        read.len()
    );
    Ok(read)
}

/// Opens a file of `what`, which `option` names, and reads its sizes.
fn open<const DIMS: usize>(path: &str, what: &str, option: &str) -> Result<(Box<dyn Read>, [u32; DIMS])> {
    let file = File::open(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => Error::msg(format!(
            "there is no file {path}: `apt-get install dataset-fashion-mnist` brings Debian's; or set environment.{option} to an IDX file of {what} that you have"
        )),
        _ => Error::from(error).context(format!("{path}, which environment.{option} names, cannot be opened")),
    })?;
    let mut file = BufReader::new(file);
    // Told by how it begins, not by its name: many tools unpack such files without renaming them.
    let packed = file.fill_buf().map_err(|e| unreadable(path, e))?.starts_with(&[0x1f, 0x8b]);
    let mut file: Box<dyn Read> = if packed { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
    let head = read(&mut file, path, 4 + 4 * DIMS)?;
    let magic = [0, 0, 8, DIMS as u8];
    if !head.starts_with(&magic) {
        let begins: String = head.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        let is = match begins.as_str() {
            "" => "it is empty".to_owned(),
            "00000801" => "it holds labels".to_owned(),
            "00000803" => "it holds pictures".to_owned(),
            _ => format!("it begins with {begins}"),
        };
        bail!(
            "{path} is no IDX file of {what}: {is}, but those begin with 0000080{DIMS}; set environment.{option} to one"
        );
    }
    ensure!(
        head.len() == 4 + 4 * DIMS,
        "{path} is cut off: it ends before it says how many {what} it holds; fetch it again"
    );
    let size = |i: usize| u32::from_be_bytes([0, 1, 2, 3].map(|byte| head[4 + 4 * i + byte]));
    Ok((file, std::array::from_fn(size)))
}

/// Reads up to `most` bytes; memory grows with what comes, not with what a damaged file says of itself.
fn read(file: &mut dyn Read, path: &str, most: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(most as u64).read_to_end(&mut bytes).map_err(|e| unreadable(path, e))?;
    Ok(bytes)
}

fn unreadable(path: &str, error: std::io::Error) -> Error {
    match error.kind() {
        ErrorKind::UnexpectedEof => {
            Error::msg(format!("{path} is cut off, so that it cannot be unpacked; fetch it again"))
        }
        ErrorKind::InvalidInput | ErrorKind::InvalidData => {
            Error::from(error).context(format!("{path} cannot be unpacked: it is damaged; fetch it again"))
        }
        _ => Error::from(error).context(format!("{path} cannot be read")),
    }
}

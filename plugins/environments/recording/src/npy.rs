//! Arrays of NumPy's (`numpy.save`). The first axis is time; the rest of them, in C order, are the values of a row.
use crate::column::{Column, Values};
use crate::options::Options;
use crate::source::{Place, Source, Sources, Summed, has_changed, in_files, open};
use efference_sdk::{Error, Result, Role, bail, ensure};
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// What an array's elements are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Dtype {
    kind: u8,
    bytes: usize,
    big_endian: bool,
}

/// What the head of a file says.
#[derive(Debug, PartialEq)]
struct Head {
    dtype: Dtype,
    rows: u64,
    /// Elements of a row.
    width: usize,
    /// Bytes before the first element.
    start: u64,
}

/// Elements of a row, at most, and of a row whose elements are chosen one by one.
const WIDEST: usize = 1 << 22;
const MOST_CHOSEN: usize = 1 << 16;
/// Bytes of a head, at most.
const LONGEST_HEAD: u64 = 1 << 16;

/// The columns of arrays, and their rows.
///
/// # Errors
/// A file that is no such array: a sentence with its path.
pub(crate) fn open_all(paths: &[PathBuf], options: &Options) -> Result<(Vec<Column>, Sources)> {
    let (columns, chosen) = outline(paths, options)?;
    let mut sources: Sources = Vec::new();
    for path in paths {
        let mut file = open(path)?;
        let head = head(&mut file, path)?;
        let checksum = check(path, &head)?;
        let buffer = vec![0; head.width * head.dtype.bytes];
        let mut array = Array {
            path: path.clone(),
            file: BufReader::new(file),
            head,
            chosen: chosen.clone(),
            row: 0,
            buffer,
            checksum,
        };
        array.go(Place::default())?;
        sources.push(Box::new(array));
    }
    Ok((columns, sources))
}

/// The columns of arrays, and which elements of a row they are (none: all).
pub(crate) fn outline(paths: &[PathBuf], options: &Options) -> Result<(Vec<Column>, Vec<usize>)> {
    let mut first: Option<(String, Head)> = None;
    for path in paths {
        let found = head(&mut open(path)?, path)?;
        let shown = path.display().to_string();
        match &first {
            Some((other, head)) if head.width != found.width || head.dtype.range() != found.dtype.range() => {
                return Err(in_files(format!(
                    "{shown} has rows of {} elements, or of another type, than {other}, which has {}: the streams of an \
                     environment observe the same",
                    found.width, head.width
                )));
            }
            Some(_) => {}
            None => first = Some((shown, found)),
        }
    }
    let Some((shown, head)) = first else { return Err(in_files("there is no file to read".to_owned())) };
    let values = head.dtype.range().map_or(Values::Numbers, |(min, max)| Values::Within(min, max));
    let Options { columns, seen_only, predicted_only, .. } = options;
    if columns.is_empty() && seen_only.is_empty() && predicted_only.is_empty() {
        return Ok((vec![Column::block("array", head.width, values)], Vec::new()));
    }
    let place = |option: &'static str, said: &String| -> Result<usize> {
        let number = said.strip_prefix('#').and_then(|n| n.parse::<usize>().ok());
        match number.and_then(|n| n.checked_sub(1)).filter(|place| *place < head.width) {
            Some(place) => Ok(place),
            None => {
                let message = format!(
                    "there is no column {said:?} in {shown}: the columns of an array have numbers, here \"#1\" to \"#{}\"",
                    head.width
                );
                Err(Error::msg(message).in_option(option))
            }
        }
    };
    ensure!(
        head.width <= MOST_CHOSEN,
        "{shown} has rows of {} elements: of more than {MOST_CHOSEN}, columns cannot be chosen; take columns, seen_only and \
         predicted_only out",
        head.width
    );
    let chosen: Vec<usize> = match &columns[..] {
        [] => (0..head.width).collect(),
        said => said.iter().map(|said| place("columns", said)).collect::<Result<_>>()?,
    };
    let mut roles = vec![Role::BOTH; chosen.len()];
    for (option, list, role) in
        [("seen_only", seen_only, Role::SEEN), ("predicted_only", predicted_only, Role::PREDICTED)]
    {
        for said in list {
            let place = place(option, said)?;
            let Some(at) = chosen.iter().position(|p| *p == place) else {
                let message =
                    format!("the column {said:?} is in {option}, and not among environment.columns");
                return Err(Error::msg(message).in_option(option));
            };
            roles[at] = role;
        }
    }
    let column = |(place, role): (&usize, Role)| Column {
        name: format!("#{}", place + 1),
        width: 1,
        values: values.clone(),
        role,
    };
    Ok((chosen.iter().zip(roles).map(column).collect(), chosen))
}

/// How many rows an array has, by its head.
pub(crate) fn rows(path: &Path) -> Result<u64> {
    Ok(head(&mut open(path)?, path)?.rows)
}

/// Reads the head.
fn head(file: &mut File, path: &Path) -> Result<Head> {
    let shown = path.display();
    let none = |why: &str| {
        in_files(format!("{shown} is no array of NumPy's ({why}); `numpy.save(file, array)` writes one"))
    };
    let mut read = |count: usize| -> Result<Vec<u8>> {
        let mut bytes = vec![0; count];
        file.read_exact(&mut bytes).map_err(|_| none("it ends within its head"))?;
        Ok(bytes)
    };
    let magic = read(8)?;
    if magic[..6] != *b"\x93NUMPY" {
        let hint = if magic.starts_with(b"PK") {
            "it is packed, as .npz is: `numpy.load` it, and save one array"
        } else {
            "it begins otherwise"
        };
        return Err(none(hint));
    }
    let (length, before) = match magic[6] {
        1 => (u64::from(u16::from_le_bytes(read(2)?.try_into().unwrap_or_default())), 10),
        2 | 3 => (u64::from(u32::from_le_bytes(read(4)?.try_into().unwrap_or_default())), 12),
        version => return Err(none(&format!("it is of version {version}, and 1 to 3 are known"))),
    };
    if length > LONGEST_HEAD {
        return Err(none("its head is too long"));
    }
    let text = String::from_utf8_lossy(&read(length as usize)?).into_owned();
    let value = |key: &str| -> Option<&str> {
        let after = text.split_once(&format!("'{key}':"))?.1.trim_start();
        Some(after)
    };
    let (Some(descr), Some(order), Some(shape)) = (value("descr"), value("fortran_order"), value("shape"))
    else {
        return Err(none("its head lacks descr, fortran_order or shape"));
    };
    let dtype = Dtype::read(descr).map_err(|why| in_files(format!("{shown} {why}")))?;
    let dims: Option<Vec<u64>> =
        shape.strip_prefix('(').and_then(|s| s.split_once(')')).and_then(|(dims, _)| {
            dims.split(',').map(str::trim).filter(|d| !d.is_empty()).map(|d| d.parse().ok()).collect()
        });
    let Some(dims) = dims else { return Err(none("its shape is none")) };
    let [rows, rest @ ..] = &dims[..] else {
        return Err(in_files(format!(
            "{shown} is a single number: its first axis must be time, a row a frame"
        )));
    };
    if order.starts_with("True") && !rest.iter().all(|d| *d == 1) {
        return Err(in_files(format!(
            "{shown} is in Fortran's order, where the values of a row do not lie together: save \
             `numpy.ascontiguousarray(array)`"
        )));
    }
    let width =
        rest.iter().try_fold(1u64, |product, d| product.checked_mul(*d)).filter(|w| *w <= WIDEST as u64);
    let Some(width) = width else {
        return Err(in_files(format!(
            "{shown} has the shape {dims:?}: a row of it has more than {WIDEST} elements. The first axis is time"
        )));
    };
    if *rows == 0 || width == 0 {
        return Err(in_files(format!("{shown} has the shape {dims:?}: there is nothing to observe in it")));
    }
    Ok(Head { dtype, rows: *rows, width: width as usize, start: before + length })
}

impl Dtype {
    fn read(descr: &str) -> std::result::Result<Dtype, String> {
        let numbers = "save numbers: `array.astype(\"float32\")`";
        if descr.starts_with('[') {
            return Err(format!(
                "has rows of several fields (a structured dtype): {numbers}, or save a table"
            ));
        }
        let name = descr.trim_start_matches('\'').split('\'').next().unwrap_or_default();
        let (order, rest) = match name.as_bytes() {
            [order @ (b'<' | b'>' | b'|' | b'='), rest @ ..] => (*order, rest),
            rest => (b'|', rest),
        };
        let kind = rest.first().copied().unwrap_or_default();
        let bytes = std::str::from_utf8(rest.get(1..).unwrap_or_default()).ok().and_then(|b| b.parse().ok());
        match (kind, bytes) {
            (b'b', Some(bytes @ 1))
            | (b'i' | b'u', Some(bytes @ (1 | 2 | 4 | 8)))
            | (b'f', Some(bytes @ (4 | 8))) => Ok(Dtype { kind, bytes, big_endian: order == b'>' }),
            (b'O', _) => {
                Err(format!("holds Python objects (dtype object), which only Python can read: {numbers}"))
            }
            _ => Err(format!("holds elements of dtype {name:?}, which are not read: {numbers}")),
        }
    }

    /// What its elements can be, where that is also what they are meant to be.
    fn range(self) -> Option<(f64, f64)> {
        match (self.kind, self.bytes) {
            (b'b', _) => Some((0.0, 1.0)),
            (b'u', 1) => Some((0.0, 255.0)),
            _ => None,
        }
    }

    fn element(self, bytes: &[u8]) -> f64 {
        let mut little = [0; 8];
        for (i, byte) in bytes.iter().enumerate() {
            little[if self.big_endian { bytes.len() - 1 - i } else { i }] = *byte;
        }
        let whole = u64::from_le_bytes(little);
        let unused = 64 - 8 * self.bytes as u32;
        match (self.kind, self.bytes) {
            (b'f', 4) => f64::from(f32::from_bits(whole as u32)),
            (b'f', _) => f64::from_bits(whole),
            // The sign is that of the element's own width.
            (b'i', _) => ((whole << unused) as i64 >> unused) as f64,
            _ => whole as f64,
        }
    }
}

/// Reads all of an array, which must be there and finite (NaN: missing). Returns its checksum.
fn check(path: &Path, head: &Head) -> Result<u64> {
    let shown = path.display();
    let mut from = Summed::new(open(path)?);
    let mut skipped = vec![0; head.start as usize];
    let cut = |row: u64| {
        in_files(format!(
            "{shown} is cut off: it says that it has {} rows, and ends in row {}",
            head.rows,
            row + 1
        ))
    };
    from.read_exact(&mut skipped).map_err(|_| cut(0))?;
    let mut buffered = BufReader::with_capacity(1 << 16, from);
    let mut bytes = vec![0; head.width * head.dtype.bytes];
    for row in 0..head.rows {
        buffered.read_exact(&mut bytes).map_err(|_| cut(row))?;
        if head.dtype.kind != b'f' {
            continue;
        }
        let infinite = bytes
            .chunks_exact(head.dtype.bytes)
            .position(|element| head.dtype.element(element).is_infinite());
        if let Some(column) = infinite {
            return Err(in_files(format!(
                "{shown}, row {}, column #{}: an infinite number cannot be scaled; NaN says that a value is missing",
                row + 1,
                column + 1
            )));
        }
    }
    // What lies behind the elements counts too.
    std::io::copy(&mut buffered, &mut std::io::sink())?;
    Ok(buffered.get_ref().checksum())
}

/// An array that is read row by row.
struct Array {
    path: PathBuf,
    file: BufReader<File>,
    head: Head,
    /// Which elements of a row; none: all.
    chosen: Vec<usize>,
    row: u64,
    buffer: Vec<u8>,
    checksum: u64,
}

impl Source for Array {
    fn next(&mut self, row: &mut [f64]) -> Result<bool> {
        if self.row == self.head.rows {
            return Ok(false);
        }
        if self.file.read_exact(&mut self.buffer).is_err() {
            bail!("{}: it ends in row {}", has_changed(&self.path), self.row + 1);
        }
        let Dtype { bytes, .. } = self.head.dtype;
        let element = |place: usize| self.head.dtype.element(&self.buffer[place * bytes..][..bytes]);
        for (i, value) in row.iter_mut().enumerate() {
            *value = element(self.chosen.get(i).copied().unwrap_or(i));
        }
        ensure!(row.iter().all(|value| !value.is_infinite()), "{}", has_changed(&self.path));
        self.row += 1;
        Ok(true)
    }

    fn place(&self) -> Place {
        Place { row: self.row, ..Place::default() }
    }

    fn go(&mut self, place: Place) -> Result<()> {
        let byte = self.head.start + place.row * self.buffer.len() as u64;
        self.file.seek(SeekFrom::Start(byte))?;
        self.row = place.row;
        Ok(())
    }

    fn checksum(&self) -> u64 {
        self.checksum
    }

    fn rows(&self) -> Option<u64> {
        Some(self.head.rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_of_all_types_are_read_as_numpy_writes_them() {
        let element = |descr: &str, bytes: &[u8]| Dtype::read(descr).unwrap().element(bytes);
        assert_eq!(element("'<f4', ", &(-1.5f32).to_le_bytes()), -1.5);
        assert_eq!(element("'>f8'", &2.25f64.to_be_bytes()), 2.25);
        assert_eq!(element("'<i2'", &(-300i16).to_le_bytes()), -300.0);
        assert_eq!(element("'>i4'", &(-70_000i32).to_be_bytes()), -70_000.0);
        assert_eq!(element("'|i1'", &[0xff]), -1.0);
        assert_eq!(element("'|u1'", &[0xff]), 255.0);
        assert_eq!(element("'<u8'", &u64::MAX.to_le_bytes()), u64::MAX as f64);
        assert_eq!(element("'<i8'", &i64::MIN.to_le_bytes()), i64::MIN as f64);
        assert_eq!(element("'|b1'", &[1]), 1.0);
        for (descr, says) in [
            ("'|O'", "Python objects"),
            ("[('a', '<f4')]", "structured"),
            ("'<c8'", "\"<c8\""),
            ("'<U3'", "\"<U3\""),
            ("'<f2'", "\"<f2\""),
        ] {
            let said = Dtype::read(descr).unwrap_err();
            assert!(said.contains(says) && said.contains("astype"), "{said}");
        }
    }
}

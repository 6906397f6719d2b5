//! UTF-8 text: a character, or a byte, is a frame.
use crate::column::{Column, Values};
use crate::options::{Options, Symbols};
use crate::source::{Place, Source, Sources, Summed, has_changed, in_files, open};
use efference_sdk::{Error, Result, bail, ensure};
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// The columns of texts, and their rows.
///
/// # Errors
/// A text that is empty, no UTF-8, or of too many different characters.
pub(crate) fn open_all(paths: &[PathBuf], options: &Options) -> Result<(Vec<Column>, Sources)> {
    let (mut places, mut found) = (HashMap::new(), Vec::new());
    for path in paths {
        found.push(scan(path, options, &mut places)?);
    }
    let mut sources: Sources = Vec::new();
    for (path, (rows, checksum)) in paths.iter().zip(found) {
        let file = BufReader::new(open(path)?);
        let mut text = Text {
            path: path.clone(),
            file,
            symbols: options.symbols,
            places: places.clone(),
            place: Place::default(),
            rows,
            checksum,
        };
        text.go(Place::default())?;
        sources.push(Box::new(text));
    }
    let names = match options.symbols {
        Symbols::Bytes => (0..=255u8).map(|byte| format!("{byte:02x}")).collect(),
        Symbols::Characters => {
            let mut names = vec![String::new(); places.len()];
            places.iter().for_each(|(character, place)| names[*place as usize] = character.to_string());
            names
        }
    };
    Ok((vec![Column::block("text", 1, Values::OneOf(names))], sources))
}

/// Reads all of a text: how many rows it has, and its checksum.
fn scan(path: &Path, options: &Options, places: &mut HashMap<char, u32>) -> Result<(u64, u64)> {
    let shown = path.display();
    let mut from = BufReader::with_capacity(1 << 16, Summed::new(open(path)?));
    let (mut rows, mut byte, mut line) = (0, 0, 1u64);
    if options.symbols == Symbols::Bytes {
        rows = std::io::copy(&mut from, &mut std::io::sink())?;
    } else {
        while let Some((character, bytes)) = next_character(&mut from)? {
            let Some(character) = character else {
                let message = format!(
                    "{shown}, line {line}, byte {}: this is no UTF-8. Convert it (`iconv -t utf-8`), or set \
                     environment.symbols = \"bytes\"",
                    byte + 1
                );
                return Err(Error::msg(message).in_option("symbols"));
            };
            byte += bytes;
            if !places.contains_key(&character) {
                if places.len() == options.categories {
                    let message = format!(
                        "{shown}, line {line}: {character:?} is one more than the {} different characters that a text may \
                         have, each of which takes an element: raise environment.categories, or set environment.symbols = \
                         \"bytes\"",
                        options.categories
                    );
                    return Err(Error::msg(message).in_option("categories"));
                }
                places.insert(character, places.len() as u32);
            }
            line += u64::from(character == '\n');
            rows += 1;
        }
    }
    if rows == 0 {
        return Err(in_files(format!("{shown} is empty")));
    }
    Ok((rows, from.get_ref().checksum()))
}

/// The next character with its bytes, `None` in its place if they are none; nothing at the end.
fn next_character(from: &mut impl BufRead) -> Result<Option<(Option<char>, u64)>> {
    let Some(first) = from.fill_buf()?.first().copied() else { return Ok(None) };
    let length = match first {
        0..0x80 => 1,
        0xc2..0xe0 => 2,
        0xe0..0xf0 => 3,
        0xf0..0xf5 => 4,
        _ => return Ok(Some((None, 1))),
    };
    let mut bytes = [0; 4];
    if from.read_exact(&mut bytes[..length]).is_err() {
        return Ok(Some((None, 1)));
    }
    let character = std::str::from_utf8(&bytes[..length]).ok().and_then(|text| text.chars().next());
    Ok(Some((character, length as u64)))
}

/// A text that is read symbol by symbol.
struct Text {
    path: PathBuf,
    file: BufReader<File>,
    symbols: Symbols,
    places: HashMap<char, u32>,
    place: Place,
    rows: u64,
    checksum: u64,
}

impl Source for Text {
    fn next(&mut self, row: &mut [f64]) -> Result<bool> {
        let changed = |at: u64| format!("{}: symbol {} is not what it was", has_changed(&self.path), at + 1);
        let bytes = match self.symbols {
            Symbols::Bytes => {
                let mut byte = [0];
                if self.file.read(&mut byte)? == 0 {
                    ensure!(self.place.row == self.rows, "{}", changed(self.place.row));
                    return Ok(false);
                }
                row[0] = f64::from(byte[0]);
                1
            }
            Symbols::Characters => {
                let Some((character, bytes)) = next_character(&mut self.file)? else {
                    ensure!(self.place.row == self.rows, "{}", changed(self.place.row));
                    return Ok(false);
                };
                let Some(place) = character.and_then(|c| self.places.get(&c)) else {
                    bail!("{}", changed(self.place.row))
                };
                row[0] = f64::from(*place);
                bytes
            }
        };
        self.place.byte += bytes;
        self.place.row += 1;
        Ok(true)
    }

    fn place(&self) -> Place {
        self.place
    }

    fn go(&mut self, place: Place) -> Result<()> {
        self.file.seek(SeekFrom::Start(place.byte))?;
        self.place = place;
        Ok(())
    }

    fn checksum(&self) -> u64 {
        self.checksum
    }

    fn rows(&self) -> Option<u64> {
        Some(self.rows)
    }
}

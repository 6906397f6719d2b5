//! Lines of `metrics.jsonl` read back: the last one without the others, or all as they come.
use crate::{FileError, Line};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A value that is no number reads back as NaN, which JSON has no word for.
impl<'de> Deserialize<'de> for Line {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = Line;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of numbers, `step` and `seconds` among them")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Line, A::Error> {
                let (mut step, mut seconds, mut values) = (None, None, Vec::new());
                while let Some(name) = fields.next_key::<String>()? {
                    match name.as_str() {
                        "step" => step = Some(fields.next_value()?),
                        "seconds" => seconds = Some(fields.next_value()?),
                        _ => values.push((name, fields.next_value::<Option<f64>>()?.unwrap_or(f64::NAN))),
                    }
                }
                Ok(Line {
                    step: step.ok_or_else(|| A::Error::missing_field("step"))?,
                    seconds: seconds.ok_or_else(|| A::Error::missing_field("seconds"))?,
                    values,
                })
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

/// Bytes that are read from the end at first: some lines of a dozen metrics.
const TAIL: u64 = 4 << 10;

/// The last whole line, read from the end of the file; `None` if there is none. What a process is just writing, the
/// half of a line that a killed one left, and lines that can't be read are passed over.
///
/// # Errors
/// If the file is there and can't be read.
pub fn last_line(metrics: &Path) -> Result<Option<Line>, FileError> {
    let failed = |e: io::Error| FileError::new("read", metrics, &e);
    let mut file = match File::open(metrics) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(failed(e)),
    };
    let length = file.metadata().map_err(failed)?.len();
    let mut size = TAIL;
    loop {
        let start = length.saturating_sub(size);
        file.seek(SeekFrom::Start(start)).map_err(failed)?;
        let mut bytes = Vec::new();
        Read::by_ref(&mut file).take(length - start).read_to_end(&mut bytes).map_err(failed)?;
        // What stands before the first line break may be the end of a line only.
        let whole = if start == 0 {
            0
        } else {
            bytes.iter().position(|b| *b == b'\n').map_or(bytes.len(), |at| at + 1)
        };
        let end = bytes.iter().rposition(|b| *b == b'\n').unwrap_or(0);
        if whole < end {
            let lines = bytes[whole..end].rsplit(|b| *b == b'\n');
            if let Some(line) = lines.filter_map(|line| serde_json::from_slice(line).ok()).next() {
                return Ok(Some(line));
            }
        }
        if start == 0 {
            return Ok(None);
        }
        size *= 8;
    }
}

/// Reads `metrics.jsonl` as it grows.
#[derive(Debug)]
pub struct MetricsFollower {
    path: PathBuf,
    /// Which file was read, and how far.
    inode: u64,
    read: u64,
    /// The beginning of a line whose end is not there yet.
    half: Vec<u8>,
    unreadable: u64,
}

/// What has become of a file since it was last read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Followed {
    /// It is not there, or nothing was added.
    Same,
    /// Lines were added.
    Grown,
    /// It was cut or replaced, as when a run is resumed: what came before is to be forgotten. Its lines follow.
    Anew,
}

impl MetricsFollower {
    /// Follows this file, from its beginning; it need not be there yet.
    pub fn new(path: PathBuf) -> Self {
        MetricsFollower { path, inode: 0, read: 0, half: Vec::new(), unreadable: 0 }
    }

    /// Follows this file from behind what was read of it by other means.
    pub(crate) fn behind(path: PathBuf, inode: u64, read: u64) -> Self {
        MetricsFollower { inode, read, ..MetricsFollower::new(path) }
    }

    /// Bytes that were added and are not read yet; `None` if the file was cut or replaced.
    pub fn left(&self) -> Option<u64> {
        let metadata = fs::metadata(&self.path).ok();
        match metadata {
            Some(metadata) if self.read > 0 && metadata.ino() != self.inode => None,
            Some(metadata) => metadata.len().checked_sub(self.read),
            None => Some(0),
        }
    }

    /// Lines that could not be read.
    pub fn unreadable(&self) -> u64 {
        self.unreadable
    }

    /// Passes on what is new. `line` gets each new whole line, after `anew` was called if the file began again.
    ///
    /// # Errors
    /// If the file is there and can't be read.
    pub fn read(&mut self, mut line: impl FnMut(Event)) -> Result<Followed, FileError> {
        let failed = |path: &Path, e: io::Error| FileError::new("read", path, &e);
        let metadata = match fs::metadata(&self.path) {
            Ok(metadata) => metadata,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Followed::Same),
            Err(e) => return Err(failed(&self.path, e)),
        };
        let mut followed = Followed::Same;
        if self.read > 0 && (metadata.ino() != self.inode || metadata.len() < self.read) {
            followed = Followed::Anew;
            (self.read, self.unreadable) = (0, 0);
            self.half.clear();
            line(Event::Anew);
        }
        self.inode = metadata.ino();
        if metadata.len() == self.read {
            return Ok(followed);
        }
        let mut file = File::open(&self.path).map_err(|e| failed(&self.path, e))?;
        file.seek(SeekFrom::Start(self.read)).map_err(|e| failed(&self.path, e))?;
        let mut reader = BufReader::with_capacity(1 << 18, file);
        loop {
            let length = reader.read_until(b'\n', &mut self.half).map_err(|e| failed(&self.path, e))?;
            self.read += length as u64;
            if self.half.last() != Some(&b'\n') {
                return Ok(followed);
            }
            match serde_json::from_slice(&self.half) {
                Ok(read) => {
                    if followed == Followed::Same {
                        followed = Followed::Grown;
                    }
                    line(Event::Line(read));
                }
                Err(_) => self.unreadable += 1,
            }
            self.half.clear();
        }
    }
}

/// What a [`MetricsFollower`] passes on.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The file begins again.
    Anew,
    /// A line.
    Line(Line),
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn written(text: &str) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metrics.jsonl");
        fs::write(&path, text).unwrap();
        (dir, path)
    }

    #[test]
    fn the_last_whole_line_is_found_whatever_follows_it() {
        for (text, step) in [
            ("", None),
            ("{\"step\":1,\"seco", None),
            ("{\"step\":1,\"seconds\":0.5}\n", Some(1)),
            ("{\"step\":1,\"seconds\":0.5}\n{\"step\":2,\"seconds\":0.6}\n{\"step\":3,\"sec", Some(2)),
            ("{\"step\":1,\"seconds\":0.5}\n\0\0\0\0\nno line\n{\"loss\":2}\n", Some(1)),
        ] {
            let (_dir, path) = written(text);
            assert_eq!(last_line(&path).unwrap().map(|line| line.step), step, "{text:?}");
        }
        let long: String = (0..3_000).map(|i| format!(",\"metric {i}\":{i}.5")).collect();
        let text =
            format!("{{\"step\":1,\"seconds\":1}}\n{{\"step\":7,\"seconds\":2,\"a\":null{long}}}\n{{\"st");
        let (_dir, path) = written(&text);
        let line = last_line(&path).unwrap().unwrap();
        assert_eq!((line.step, line.seconds, line.values.len()), (7, 2.0, 3_001));
        assert!(line.values[0].1.is_nan() && line.values[2] == ("metric 1".to_owned(), 1.5));
        assert_eq!(last_line(Path::new("/nowhere/metrics.jsonl")).unwrap(), None);
    }

    #[test]
    fn a_file_is_followed_through_half_lines_and_cuts() {
        let (_dir, path) = written("");
        let mut follower = MetricsFollower::new(path.clone());
        let mut read = || {
            let mut events = Vec::new();
            let followed = follower.read(|event| {
                events.push(match event {
                    Event::Anew => 0,
                    Event::Line(line) => line.step,
                });
            });
            (followed.unwrap(), events, follower.unreadable())
        };
        assert_eq!(read(), (Followed::Same, vec![], 0));
        let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"{\"step\":1,\"seconds\":1}\n{\"step\":2,").unwrap();
        assert_eq!(read(), (Followed::Grown, vec![1], 0));
        assert_eq!(read(), (Followed::Same, vec![], 0));
        file.write_all(b"\"seconds\":1}\nnonsense\n").unwrap();
        assert_eq!(read(), (Followed::Grown, vec![2], 1));
        fs::write(&path, "{\"step\":1,\"seconds\":9}\n").unwrap();
        assert_eq!(read(), (Followed::Anew, vec![0, 1], 0));
        fs::remove_file(&path).unwrap();
        assert_eq!(read(), (Followed::Same, vec![], 0));
    }
}

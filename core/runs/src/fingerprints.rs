//! Fingerprints: a few numbers a step that tell where two runs part.
//!
//! `fingerprints.bin` begins with a line of text, [`HEADER`] and the names of the components, separated by tabs. Records
//! of equal length follow: the step as u64, then a u32 a component, all little-endian. A component that had nothing to
//! tell in a step, as the gradient of a group that was not updated, has 0.
use crate::FileError;
use crate::growing::GrowingFile;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

/// How the file begins.
const HEADER: &str = "efference fingerprints 1";

/// The fingerprint of some floats: their number, and the bits of each, in order.
#[derive(Debug, Clone, Copy)]
pub struct Fingerprint(u64);

impl Default for Fingerprint {
    fn default() -> Self {
        Fingerprint(0x9e37_79b9_7f4a_7c15)
    }
}

impl Fingerprint {
    /// Takes in one word.
    #[inline]
    pub fn add(&mut self, word: u32) {
        // One multiplication a word; the rotation brings the high bits, which depend on all of it, down.
        self.0 = (self.0 ^ u64::from(word)).wrapping_mul(0xff51_afd7_ed55_8ccd).rotate_left(29);
    }

    /// Takes in the bits of floats.
    pub fn add_all(&mut self, numbers: &[f32]) {
        self.add(numbers.len() as u32);
        // Four at a time, so that one multiplication need not wait for the other.
        let mut quarters = [self.0, !self.0, self.0.rotate_left(7), !self.0.rotate_left(7)].map(Fingerprint);
        let (fours, rest) = numbers.as_chunks::<4>();
        for four in fours {
            quarters.iter_mut().zip(four).for_each(|(quarter, x)| quarter.add(x.to_bits()));
        }
        rest.iter().for_each(|x| quarters[0].add(x.to_bits()));
        quarters.into_iter().for_each(|quarter| self.add(quarter.finish()));
    }

    /// The fingerprint, never 0.
    pub fn finish(self) -> u32 {
        ((self.0 >> 32) as u32 ^ self.0 as u32).max(1)
    }
}

/// Adds records to the file.
#[derive(Debug)]
pub(super) struct FingerprintFile(GrowingFile);

impl FingerprintFile {
    /// Opens the file to add records of these components; makes it if there is none.
    pub(super) fn open(path: &Path, components: &[String]) -> Result<Self, FileError> {
        let mut file = GrowingFile::open(path)?;
        if file.written() == 0 {
            file.add(format!("{HEADER}\t{}\n", components.join("\t")).as_bytes());
        }
        Ok(FingerprintFile(file))
    }

    pub(super) fn add(&mut self, records: &[u8]) {
        self.0.add(records);
    }

    pub(super) fn flush(&mut self) -> Result<(), FileError> {
        self.0.flush()
    }

    /// Bytes that wait.
    pub(super) fn waiting(&self) -> usize {
        self.0.waiting()
    }

    /// See [`GrowingFile::waits_at_most`].
    pub(super) fn waits_at_most(&mut self, bytes: usize) -> usize {
        self.0.waits_at_most(bytes)
    }

    /// See [`GrowingFile::look_after`].
    pub(super) fn look_after(&mut self, now: bool) -> Option<String> {
        self.0.look_after(now)
    }
}

/// The fingerprints of a run, read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprints {
    /// The names of the components, in the order in which a step computes them.
    pub components: Vec<String>,
    /// Steps, each with its components.
    pub records: Vec<(u64, Vec<u32>)>,
}

impl Fingerprints {
    /// Reads `fingerprints.bin`. A half-written record at the end is left out.
    ///
    /// # Errors
    /// If the file cannot be read, or is none.
    pub fn read(path: &Path) -> Result<Self, FileError> {
        let bytes = fs::read(path).map_err(|e| FileError::new("read", path, &e))?;
        let (components, start) = header(&bytes).ok_or_else(|| {
            let foreign = io::Error::other("it holds no fingerprints, or those of a newer efference");
            FileError::new("read", path, &foreign)
        })?;
        let word = |bytes: &[u8]| bytes.try_into().map_or(0, u32::from_le_bytes);
        let record = |bytes: &[u8]| {
            let (step, rest) = bytes.split_at(8);
            (step.try_into().map_or(0, u64::from_le_bytes), rest.chunks_exact(4).map(word).collect())
        };
        let records = bytes[start..].chunks_exact(record_length(components.len())).map(record).collect();
        Ok(Fingerprints { components, records })
    }

    /// The last step that a file has a whole record of; 0 if there is none, or no such file.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn last_step(path: &Path) -> Result<u64, FileError> {
        const LONGEST_HEADER: u64 = 64 << 10;
        let read = || -> io::Result<u64> {
            let mut file = match File::open(path) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(0),
                file => file?,
            };
            let mut beginning = Vec::new();
            (&mut file).take(LONGEST_HEADER).read_to_end(&mut beginning)?;
            let Some((components, start)) = header(&beginning) else { return Ok(0) };
            let length = record_length(components.len()) as u64;
            let records = file.metadata()?.len().saturating_sub(start as u64) / length;
            let Some(last) = records.checked_sub(1) else { return Ok(0) };
            file.seek(SeekFrom::Start(start as u64 + last * length))?;
            let mut step = [0; 8];
            file.read_exact(&mut step)?;
            Ok(u64::from_le_bytes(step))
        };
        read().map_err(|e| FileError::new("read", path, &e))
    }

    /// The first step that both have and that differs, with the component that a step computes first of those that do.
    pub fn first_difference<'a>(&'a self, other: &'a Fingerprints) -> Option<(u64, &'a str)> {
        let place = |name: &String| other.components.iter().position(|c| c == name);
        let common: Vec<_> =
            self.components.iter().enumerate().filter_map(|(i, name)| Some((i, place(name)?))).collect();
        let mut theirs = other.records.iter().peekable();
        for (step, own) in &self.records {
            while theirs.next_if(|(s, _)| s < step).is_some() {}
            let Some((_, other)) = theirs.next_if(|(s, _)| s == step) else { continue };
            if let Some((i, _)) = common.iter().find(|(i, j)| own[*i] != other[*j]) {
                return Some((*step, &self.components[*i]));
            }
        }
        None
    }

    /// How many steps both have.
    pub fn steps_in_common(&self, other: &Fingerprints) -> usize {
        let theirs: std::collections::HashSet<u64> = other.records.iter().map(|(step, _)| *step).collect();
        self.records.iter().filter(|(step, _)| theirs.contains(step)).count()
    }
}

/// Cuts the file after the last record of a step up to `step`.
pub(super) fn cut(path: &Path, step: u64) -> Result<(), FileError> {
    let Ok(bytes) = fs::read(path) else { return Ok(()) };
    // A file that is none, or of a run that was killed while its first line was written, begins anew.
    let keep = header(&bytes).map_or(0, |(components, start)| {
        let length = record_length(components.len());
        let before = |record: &&[u8]| record[..8].try_into().is_ok_and(|s| u64::from_le_bytes(s) <= step);
        start + length * bytes[start..].chunks_exact(length).take_while(before).count()
    });
    let cut = || OpenOptions::new().write(true).open(path)?.set_len(keep as u64);
    cut().map_err(|e| FileError::new("cut", path, &e))
}

/// The components, and where the records begin.
fn header(bytes: &[u8]) -> Option<(Vec<String>, usize)> {
    let end = bytes.iter().position(|b| *b == b'\n')?;
    let line = std::str::from_utf8(&bytes[..end]).ok()?;
    let names = line.strip_prefix(HEADER)?.strip_prefix('\t')?;
    Some((names.split('\t').map(str::to_owned).collect(), end + 1))
}

fn record_length(components: usize) -> usize {
    8 + 4 * components
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(step: u64, words: [u32; 2]) -> Vec<u8> {
        let mut bytes = step.to_le_bytes().to_vec();
        words.iter().for_each(|w| bytes.extend_from_slice(&w.to_le_bytes()));
        bytes
    }

    fn written(path: &Path, records: &[(u64, [u32; 2])]) -> Fingerprints {
        let components = ["observation".to_owned(), "gradient of cell".to_owned()];
        let mut file = FingerprintFile::open(path, &components).unwrap();
        records.iter().for_each(|(step, words)| file.add(&record(*step, *words)));
        file.flush().unwrap();
        Fingerprints::read(path).unwrap()
    }

    #[test]
    fn the_first_step_that_differs_is_found_and_in_it_the_first_component() {
        let root = tempfile::tempdir().unwrap();
        let a = written(&root.path().join("a"), &[(1, [5, 6]), (2, [7, 8]), (3, [9, 9])]);
        let b = written(&root.path().join("b"), &[(1, [5, 6]), (2, [7, 1]), (3, [2, 9])]);
        assert_eq!(a.first_difference(&b), Some((2, "gradient of cell")));
        assert_eq!(a.first_difference(&a), None);
        let fork = written(&root.path().join("c"), &[(3, [1, 1])]);
        assert_eq!((a.first_difference(&fork), a.steps_in_common(&fork)), (Some((3, "observation")), 1));
    }

    #[test]
    fn a_file_is_cut_after_a_step_and_goes_on_there() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("f");
        written(&path, &[(1, [5, 6]), (2, [7, 8]), (3, [9, 9])]);
        let mut bytes = fs::read(&path).unwrap();
        bytes.extend_from_slice(&[1, 2, 3]); // half a record
        fs::write(&path, bytes).unwrap();
        cut(&path, 2).unwrap();
        let all = written(&path, &[(3, [4, 4])]);
        assert_eq!(Fingerprints::last_step(&path).unwrap(), 3);
        assert_eq!(Fingerprints::last_step(&root.path().join("none")).unwrap(), 0);
        assert_eq!(all.records, [(1, vec![5, 6]), (2, vec![7, 8]), (3, vec![4, 4])]);
        fs::write(&path, "something else").unwrap();
        assert!(Fingerprints::read(&path).is_err());
        cut(&path, 2).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"");
        cut(&root.path().join("none"), 2).unwrap();
    }

    #[test]
    fn a_bit_anywhere_changes_a_fingerprint() {
        let of = |numbers: &[f32]| {
            let mut fingerprint = Fingerprint::default();
            fingerprint.add_all(numbers);
            fingerprint.finish()
        };
        let numbers: Vec<f32> = (0..100).map(|i| i as f32 * 0.1).collect();
        let whole = of(&numbers);
        for at in 0..numbers.len() {
            for bit in 0..32 {
                let mut other = numbers.clone();
                other[at] = f32::from_bits(other[at].to_bits() ^ (1 << bit));
                assert_ne!(of(&other), whole, "element {at}, bit {bit}");
            }
        }
        assert_ne!(of(&numbers[..99]), whole);
        assert_ne!(of(&[0.0]), of(&[0.0, 0.0]));
    }
}

//! Plugin libraries: a real one, damaged where it matters.
//!
//! An input is a list of changes to the library, 8 bytes each: which region of the file, where in it (4 bytes), what is
//! done there, and a byte for it.
use efference_abi::MAGIC;
use efference_registry::{FileManifest, Identity, checked_bytes, seal};
use efference_trials::fuzz::{Failure, Scratch, Target, holds};
use std::env;
use std::fs::{self, File};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

/// Bytes of a seal: 16 that say so, and a SHA-256.
const SEAL: usize = 48;

pub(crate) fn make(scratch: &Scratch) -> Result<Box<dyn Target>, String> {
    let own = env::current_exe().map_err(|e| format!("nobody knows where this program is: {e}"))?;
    let mut libraries: Vec<PathBuf> =
        fs::read_dir(own.with_file_name("")).into_iter().flatten().flatten().map(|e| e.path()).collect();
    libraries.retain(|path| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("libefference_"))
            && path.extension().is_some_and(|e| e == "so")
    });
    // The smallest one is the quickest to put right again.
    libraries.sort_by_key(|path| fs::metadata(path).map_or(u64::MAX, |m| m.len()));
    let first = libraries
        .first()
        .ok_or("there are no plugin libraries beside this program; `cargo xtask build` makes them")?;
    let whole = fs::read(first).map_err(|e| format!("cannot read {}: {e}", first.display()))?;
    let path = scratch.path("libefference_x.so");
    fs::write(&path, &whole).map_err(|e| format!("cannot copy {}: {e}", first.display()))?;
    let regions = regions(&whole);
    seal(&path).map_err(|e| format!("cannot seal the copy: {e}"))?;
    let whole = fs::read(&path).map_err(|e| format!("cannot read the copy: {e}"))?;
    let file = File::options()
        .read(true)
        .write(true)
        .open(&path)
        .map_err(|e| format!("cannot open {}: {e}", path.display()))?;
    let host = efference_cli::engine_identity();
    let mut regions = regions.ok_or_else(|| format!("{} has no manifest", first.display()))?;
    let unsealed = whole.len().saturating_sub(SEAL);
    regions.push(unsealed..whole.len());
    Ok(Box::new(Libraries { path, file, whole, unsealed, regions, host }))
}

/// What of a library is read: its first bytes, what they say of sections, and the manifest.
fn regions(whole: &[u8]) -> Option<Vec<Range<usize>>> {
    let word =
        |at: usize| whole.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes).map(|word| word as usize);
    let half = |at: usize| whole.get(at..at + 2)?.try_into().ok().map(u16::from_le_bytes).map(usize::from);
    // e_shoff, e_shentsize and e_shnum of a 64-bit ELF file.
    let (sections, size, count) = (word(0x28)?, half(0x3a)?, half(0x3c)?);
    let mut regions = vec![0..64, sections..sections + size * count];
    for section in 0..count {
        // Of the sections that symbols, their names and dynamic tags lie in.
        let header = sections + section * size;
        let kind = u32::from_le_bytes(whole.get(header + 4..header + 8)?.try_into().ok()?);
        if matches!(kind, 3 | 6 | 11) {
            let start = word(header + 24)?;
            regions.push(start..(start + word(header + 32)?).min(whole.len()));
        }
    }
    let manifest = whole.windows(MAGIC.len()).position(|bytes| bytes == MAGIC)?;
    regions.push(manifest..manifest + size_of::<efference_abi::Manifest>());
    regions.push(0..whole.len());
    Some(regions)
}

struct Libraries {
    path: PathBuf,
    file: File,
    whole: Vec<u8>,
    /// Its length without the seal.
    unsealed: usize,
    regions: Vec<Range<usize>>,
    host: Identity,
}

impl Target for Libraries {
    fn seeds(&self) -> Vec<Vec<u8>> {
        // One change in each region, of each kind.
        (0..self.regions.len() as u8)
            .flat_map(|region| (0..8).map(move |how| vec![region, 7, 0, 0, 0, how, 0xff, 0]))
            .collect()
    }

    fn check(&mut self, input: &[u8]) -> Result<bool, Failure> {
        let mut changed: Vec<Range<usize>> = Vec::new();
        let mut length = self.whole.len();
        for change in input.as_chunks::<8>().0 {
            let [region, a, b, c, d, how, byte, _] = *change;
            let region = &self.regions[usize::from(region) % self.regions.len()];
            let at = region.start + u32::from_le_bytes([a, b, c, d]) as usize % region.len().max(1);
            let bytes: Vec<u8> = match how % 8 {
                0 => vec![self.whole[at] ^ 1 << (byte % 8)],
                1 => vec![byte],
                2 => vec![0xff; 4],
                3 => vec![0xff; 8],
                4 => u64::from(byte).to_le_bytes().to_vec(),
                5 => (self.whole.len() as u64).wrapping_sub(u64::from(byte)).to_le_bytes().to_vec(),
                6 => vec![byte; 64],
                _ => {
                    length = at;
                    continue;
                }
            };
            let end = (at + bytes.len()).min(self.whole.len());
            self.put(&bytes[..end - at], at);
            changed.push(at..end);
        }
        self.file.set_len(length as u64).unwrap_or_else(|e| panic!("cannot cut the copy: {e}"));
        let read = FileManifest::read(&self.path, &self.host);
        let loaded = checked_bytes(&self.path)
            .and_then(|bytes| FileManifest::of_bytes(&self.path, &bytes, &self.host));
        self.file
            .set_len(self.whole.len() as u64)
            .unwrap_or_else(|e| panic!("cannot lengthen the copy: {e}"));
        if length < self.whole.len() {
            changed.push(length..self.whole.len());
        }
        let same = length == self.whole.len() && changed.iter().all(|range| self.is_as_before(range.clone()));
        // A seal that is damaged itself may be none any more.
        let sealed =
            changed.iter().all(|range| range.end <= self.unsealed || self.is_as_before(range.clone()));
        changed.into_iter().for_each(|range| self.put(&self.whole[range.clone()], range.start));
        holds("a damaged library is loaded", loaded.is_err() || same || !sealed, || format!("{input:02x?}"))?;
        // Of inputs that change nothing there are enough.
        Ok((read.is_ok() || loaded.is_ok()) && !same)
    }
}

impl Libraries {
    fn is_as_before(&self, range: Range<usize>) -> bool {
        let mut now = vec![0; range.len()];
        self.file.read_exact_at(&mut now, range.start as u64).is_ok() && now == self.whole[range]
    }

    fn put(&self, bytes: &[u8], at: usize) {
        self.file.write_all_at(bytes, at as u64).unwrap_or_else(|e| panic!("cannot write to the copy: {e}"));
    }
}

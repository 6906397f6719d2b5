//! The pictures of a run, as the commands that show them read them.
//!
//! An input of even length has the checksums of its chunks put right, so that what they guard is reached too.
use efference_runs::{picture_files, read_picture};
use efference_trials::fuzz::{Failure, Scratch, Target, equal, write};
use std::path::PathBuf;

pub(crate) fn make(scratch: &Scratch) -> Result<Box<dyn Target>, String> {
    Ok(Box::new(Pictures { directory: scratch.directory("pictures") }))
}

struct Pictures {
    directory: PathBuf,
}

impl Target for Pictures {
    fn words(&self) -> &'static [&'static [u8]] {
        &[
            b"\x89PNG\r\n\x1a\n",
            b"IHDR",
            b"IDAT",
            b"IEND",
            b"PLTE",
            b"tRNS",
            b"acTL",
            b"fdAT",
            b"iCCP",
            b"zTXt",
            b"\0\0\0\x0d",
        ]
    }

    /// A picture of a run has 8,192 pixels a side at most.
    fn memory(&self) -> usize {
        512 << 20
    }

    fn check(&mut self, input: &[u8]) -> Result<bool, Failure> {
        let mut png = input.to_vec();
        if png.len().is_multiple_of(2) {
            mend(&mut png);
        }
        write(&self.directory.join("step-000000000500-stream-0.png"), png);
        let files = picture_files(&self.directory)
            .map_err(|e| Failure::new("pictures can't be listed", e.to_string()))?;
        equal("a picture is not listed", &files.len(), &1)?;
        match read_picture(&files[0].path) {
            Ok(picture) => {
                equal(
                    "a picture has other bytes than its size",
                    &picture.rgb.len(),
                    &(3 * picture.width * picture.height),
                )?;
                Ok(true)
            }
            Err(_) => Ok(false),
        }
    }
}

/// Puts the checksum of each chunk right. A chunk: length (4 bytes), kind (4 bytes), data, CRC-32 of kind and data.
fn mend(png: &mut [u8]) {
    let mut at = 8;
    while let Some(length) = png.get(at..at + 4).and_then(|l| Some(u32::from_be_bytes(l.try_into().ok()?))) {
        let end = at.saturating_add(8).saturating_add(length as usize);
        let Some(chunk) = png.get(at + 4..end) else { return };
        let crc = crc32fast::hash(chunk).to_be_bytes();
        let Some(place) = png.get_mut(end..end + 4) else { return };
        place.copy_from_slice(&crc);
        at = end + 4;
    }
}

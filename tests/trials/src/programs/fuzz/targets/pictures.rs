//! The pictures of a run, as the commands that show them read them.
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
        write(&self.directory.join("step-000000000500-stream-0.png"), input);
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

//! Checkpoints: what is accepted is what was written, to the last bit.
//!
//! An input is a byte, the length of the manifest's file (4 bytes), that file, and the arrays' file. The byte says what is put right
//! before it is read, so that what lies behind the checksums is reached too: 1, the checksum of the arrays; 2, that of the
//! manifest.
use efference_runs::checkpoint::{Array, Checkpoint, CheckpointFiles, Manifest, Restored, Written};
use efference_trials::fuzz::{Failure, Scratch, Target, equal, write};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::PathBuf;

const STEP: u64 = 7;

pub(crate) fn make(scratch: &Scratch) -> Result<Box<dyn Target>, String> {
    let directory = scratch.directory("checkpoints");
    let files = CheckpointFiles::new(directory.clone());
    let manifest = Manifest {
        version: Manifest::VERSION,
        step: STEP,
        seconds: 1.5,
        written: Written::Due,
        restores: Restored::Exact,
        trainer_exact: true,
        efference: "0.1.0".to_owned(),
        libtorch: "2.13.0".to_owned(),
        device: "cpu".to_owned(),
        threads: 2,
        libtorch_threads: None,
        lines: 3,
        metrics: vec!["loss".to_owned(), "error".to_owned()],
        figure: Some(0.25),
        bytes: 0,
        sha256: String::new(),
    };
    let arrays = [
        Array::of("parameters/cell.weight".to_owned(), &[0.5_f32, -1.0, f32::NAN, 3.0]),
        Array::of("loop/steps".to_owned(), &[7_u64, u64::MAX]),
        Array::of("metrics/sums".to_owned(), &[0.1_f64]),
    ];
    files.write(manifest, &arrays).map_err(|e| e.to_string())?;
    let right = files.read(STEP).map_err(|e| e.to_string())?;
    let name = |ending| directory.join(format!("step-{STEP:012}.{ending}"));
    let read = |path: &PathBuf| fs::read(path).map_err(|e| e.to_string());
    let (manifest, arrays) = (name("json"), name("safetensors"));
    let real = (read(&manifest)?, read(&arrays)?);
    Ok(Box::new(Checkpoints { files, manifest, arrays, real, right }))
}

struct Checkpoints {
    files: CheckpointFiles,
    manifest: PathBuf,
    arrays: PathBuf,
    real: (Vec<u8>, Vec<u8>),
    right: Checkpoint,
}

impl Target for Checkpoints {
    fn seeds(&self) -> Vec<Vec<u8>> {
        let (manifest, arrays) = &self.real;
        let length = (manifest.len() as u32).to_le_bytes();
        (0..4).map(|first| [&[first], &length[..], manifest, arrays].concat()).collect()
    }

    fn words(&self) -> &'static [&'static [u8]] {
        &[
            b"\"version\":",
            b"\"step\":",
            b"\"bytes\":",
            b"\"lines\":",
            b"\"figure\":",
            b"\"data_offsets\":[0,16]",
            b"\"shape\":[4]",
            b"\"dtype\":\"F32\"",
            b"\"dtype\":\"U64\"",
            b"__metadata__",
            b"\"due\"",
            b"\"failure\"",
            b"null",
            b"{",
            b"}",
            b"[",
            b",",
        ]
    }

    fn check(&mut self, input: &[u8]) -> Result<bool, Failure> {
        let (first, rest) = input.split_first().unwrap_or((&0, &[]));
        let (length, rest) = rest.split_first_chunk::<4>().unwrap_or((&[0; 4], rest));
        let (manifest, arrays) = rest.split_at((u32::from_le_bytes(*length) as usize).min(rest.len()));
        let mut manifest = manifest.to_vec();
        if first & 3 != 0 {
            manifest = self.sealed(&manifest, arrays, *first);
        }
        write(&self.manifest, &manifest);
        write(&self.arrays, arrays);
        let newest = self.files.newest(None);
        let read = self.files.read(STEP);
        equal(
            "it is the newest or not by another measure",
            &newest.is_ok(),
            &self.files.manifest(STEP).is_ok(),
        )?;
        let Ok(read) = read else { return Ok(false) };
        if first & 3 == 0 {
            equal("a damaged checkpoint is accepted", &said(&read), &said(&self.right))?;
        }
        for array in &read.arrays {
            let elements = array.shape.iter().try_fold(1_usize, |n, side| n.checked_mul(*side));
            let bytes = elements.and_then(|n| n.checked_mul(array.dtype.bitsize())).map(|bits| bits / 8);
            equal("an array has other bytes than its shape", &bytes, &Some(array.data.len()))?;
        }
        Ok(true)
    }
}

impl Checkpoints {
    /// The manifest's file with checksums that are right.
    fn sealed(&self, file: &[u8], arrays: &[u8], what: u8) -> Vec<u8> {
        let text = if what & 2 == 0 {
            // The manifest that was written, of these arrays.
            let mut manifest = self.right.manifest.clone();
            (manifest.bytes, manifest.sha256) = (arrays.len() as u64, hex(arrays));
            serde_json::to_vec(&manifest).unwrap_or_default()
        } else {
            // What stands in the file in its place: between the first key and the last.
            let start = file.windows(12).position(|w| w == b"{\"manifest\":").map_or(0, |at| at + 12);
            let end = file.windows(11).rposition(|w| w == b",\"sha256\":\"").unwrap_or(file.len()).max(start);
            let text = file[start..end].to_vec();
            match what & 1 {
                0 => text,
                _ => String::from_utf8_lossy(&text)
                    .replace(&self.right.manifest.sha256, &hex(arrays))
                    .into_bytes(),
            }
        };
        [&b"{\"manifest\":"[..], &text, b",\"sha256\":\"", hex(&text).as_bytes(), b"\"}"].concat()
    }
}

/// All of it, as bits, since NaN is not itself; the order of arrays does not matter.
fn said(checkpoint: &Checkpoint) -> String {
    let mut arrays = checkpoint.arrays.clone();
    arrays.sort_by(|a, b| a.name.cmp(&b.name));
    format!("{:?} {arrays:?}", checkpoint.manifest)
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

//! Files, and an agent that receives and responds.
use crate::{Options, Recording};
use efference_sdk::{Environment, EnvironmentSetup, Frame, Frames, Plugin, Result};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

/// A folder for files.
pub(super) struct Place(TempDir);

impl Place {
    pub(super) fn new() -> Place {
        Place(tempfile::tempdir().expect("a folder"))
    }

    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes a file, and returns its path.
    pub(super) fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> String {
        let path = self.path().join(name);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).expect("a folder");
        }
        std::fs::write(&path, contents).expect("written");
        path.to_string_lossy().into_owned()
    }

    /// Options for a file with these contents.
    pub(super) fn with(&self, name: &str, contents: impl AsRef<[u8]>) -> Options {
        Options { files: vec![self.write(name, contents)], ..Options::default() }
    }

    /// A sentence, without the folder's path.
    pub(super) fn plain(&self, said: &str) -> String {
        said.replace(&format!("{}/", self.path().display()), "")
    }
}

/// A file of PNG with one grey for each pixel.
pub(super) fn png(path: &Path, width: u32, pixels: &[u8]) {
    let picture = image::GrayImage::from_raw(width, pixels.len() as u32 / width, pixels.to_vec());
    picture.expect("a whole picture").save(path).expect("written");
}

pub(super) fn new(options: Options) -> Recording {
    match make(options) {
        Ok(recording) => recording,
        Err(error) => panic!("{error:#}"),
    }
}

pub(super) fn make(options: Options) -> Result<Recording> {
    Recording::new(options, &EnvironmentSetup::with_seed(1))
}

/// What came of a poll.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Received {
    /// Stream, and the bits of the observation: NaN equals nothing.
    pub(super) frames: Vec<(u64, Vec<u32>)>,
    pub(super) ended: Vec<u64>,
    pub(super) closed: bool,
}

impl Frames for Received {
    fn begin(&mut self, _: u64) -> Result<()> {
        Ok(())
    }
    fn frame(&mut self, frame: Frame<'_>) -> Result<()> {
        assert!(frame.actions.is_empty() && frame.reward.is_none());
        self.frames.push((frame.stream, frame.observation.iter().map(|x| x.to_bits()).collect()));
        Ok(())
    }
    fn end(&mut self, stream: u64) -> Result<()> {
        self.ended.push(stream);
        Ok(())
    }
    fn close(&mut self) -> Result<()> {
        self.closed = true;
        Ok(())
    }
}

pub(super) fn try_poll(recording: &mut Recording) -> Result<Received> {
    let mut received = Received::default();
    recording.poll(Duration::ZERO, &mut received)?;
    Ok(received)
}

/// Polls and acts, until it is over, at most `steps` times. What is predicted depends on what came.
pub(super) fn drive(recording: &mut Recording, steps: usize) -> Vec<Received> {
    let mut all = Vec::new();
    for step in 0..steps {
        let received = try_poll(recording).unwrap_or_else(|error| panic!("{error:#}"));
        for (stream, observation) in &received.frames {
            let value = |(i, bits): (usize, &u32)| {
                let x = f32::from_bits(*bits);
                if x.is_nan() { 0.1 } else { (0.9 * x + 0.01 * ((step + i) % 7) as f32).clamp(-1.0, 1.0) }
            };
            let prediction: Vec<f32> = observation.iter().enumerate().map(value).collect();
            recording.act(*stream, &prediction, &[]).expect("the response has the right lengths");
        }
        let over = received.closed;
        all.push(received);
        if over {
            break;
        }
    }
    all
}

/// The observations of the first stream, to the end.
pub(super) fn rows(options: Options) -> Vec<Vec<f32>> {
    let received = drive(&mut new(options), 1_000);
    let of_first = received.iter().filter_map(|r| r.frames.iter().find(|(stream, _)| *stream == 0));
    of_first.map(|(_, bits)| bits.iter().map(|bits| f32::from_bits(*bits)).collect()).collect()
}

/// What is said of options.
#[track_caller]
pub(super) fn refused(options: Options) -> String {
    match make(options) {
        Ok(_) => panic!("it was made"),
        Err(error) => format!("{error:#}"),
    }
}

/// A file of NumPy's.
pub(super) fn npy(descr: &str, order: &str, shape: &str, elements: &[u8]) -> Vec<u8> {
    let mut head = format!("{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}");
    while !(10 + head.len() + 1).is_multiple_of(64) {
        head.push(' ');
    }
    head.push('\n');
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    file.extend((head.len() as u16).to_le_bytes());
    file.extend(head.as_bytes());
    file.extend(elements);
    file
}

/// A WAV file of 16-bit samples, interleaved.
pub(super) fn wav(channels: u16, samples: &[i16]) -> Vec<u8> {
    let data: Vec<u8> = samples.iter().flat_map(|s| s.to_le_bytes()).collect();
    let mut file = b"RIFF".to_vec();
    file.extend((36 + data.len() as u32).to_le_bytes());
    file.extend(b"WAVEfmt ");
    file.extend(16u32.to_le_bytes());
    for word in [1, channels] {
        file.extend(word.to_le_bytes());
    }
    file.extend(8_000u32.to_le_bytes());
    file.extend((8_000 * u32::from(channels) * 2).to_le_bytes());
    for word in [channels * 2, 16] {
        file.extend(word.to_le_bytes());
    }
    file.extend(b"data");
    file.extend((data.len() as u32).to_le_bytes());
    file.extend(data);
    file
}

/// Paths as options have them.
pub(super) fn paths(all: &[PathBuf]) -> Vec<String> {
    all.iter().map(|path| path.to_string_lossy().into_owned()).collect()
}

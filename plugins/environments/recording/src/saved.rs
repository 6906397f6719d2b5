//! What is saved: a line of JSON, and behind it numbers, each of 8 bytes, bit for bit.
use crate::source::Place;
use efference_sdk::serde::{Deserialize, Serialize};
use efference_sdk::{Result, ResultExt, bail, ensure, serde_json};

/// Goes up when older saved bytes can no longer be read.
const FORMAT: u32 = 1;

/// The line.
#[derive(Serialize, Deserialize)]
#[serde(crate = "efference_sdk::serde", deny_unknown_fields)]
pub(crate) struct Head {
    pub(crate) format: u32,
    pub(crate) options: serde_json::Value,
    pub(crate) streams: Vec<SavedStream>,
}

/// Where a stream is.
#[derive(Serialize, Deserialize)]
#[serde(crate = "efference_sdk::serde", deny_unknown_fields)]
pub(crate) struct SavedStream {
    /// Tells a file of other contents.
    pub(crate) checksum: u64,
    pub(crate) place: Place,
    pub(crate) pass: u64,
    pub(crate) moment: usize,
    pub(crate) ready: bool,
    pub(crate) ended: bool,
    /// Whether something was predicted of its next row.
    pub(crate) predicted: bool,
}

impl Head {
    pub(crate) fn new(options: serde_json::Value, streams: Vec<SavedStream>) -> Head {
        Head { format: FORMAT, options, streams }
    }

    /// The bytes of it and of numbers.
    pub(crate) fn write(&self, numbers: impl Iterator<Item = f64>) -> Result<Vec<u8>> {
        let mut bytes = serde_json::to_vec(self)?;
        bytes.push(b'\n');
        numbers.for_each(|number| bytes.extend(number.to_le_bytes()));
        Ok(bytes)
    }

    /// Reads such bytes.
    pub(crate) fn read(saved: &[u8]) -> Result<(Head, Vec<f64>)> {
        let none = "these bytes are no saved state of `recording`, or are damaged";
        let Some(end) = saved.iter().position(|byte| *byte == b'\n') else { bail!("{none}") };
        let head: Head = serde_json::from_slice(&saved[..end]).context(none)?;
        ensure!(
            head.format == FORMAT,
            "this environment was saved in format {}, but this version of the plugin reads format {FORMAT}; resume with the \
             version that saved it",
            head.format
        );
        let (numbers, rest) = saved[end + 1..].as_chunks();
        ensure!(rest.is_empty(), "{none}");
        Ok((head, numbers.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect()))
    }
}

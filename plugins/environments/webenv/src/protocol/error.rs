//! What can be wrong with what WebEnv writes.
use std::fmt::Write;

/// Why bytes are no packet. `came` shows them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// The number of a stream is not below the limit.
    #[error("stream {stream} where streams below {limit} are allowed; what came: {came}")]
    Stream {
        /// The number that came.
        stream: u32,
        /// What it must be below.
        limit: u32,
        /// The bytes.
        came: String,
    },
    /// A length is above its limit.
    #[error(
        "{what} of {length} elements on stream {stream}, where at most {limit} are allowed; what came: {came}"
    )]
    Length {
        /// Of what.
        what: &'static str,
        /// The stream.
        stream: u32,
        /// The length that came.
        length: u32,
        /// What it may be at most.
        limit: u32,
        /// The bytes.
        came: String,
    },
    /// The bytes fit none of the forms that a first packet can have.
    #[error("bytes that are no packet in any form that the start allows; what came: {came}")]
    Unrecognised {
        /// The bytes.
        came: String,
    },
    /// The bytes stop inside a packet.
    #[error("the end of its output {have} bytes into a packet's part of {need} bytes")]
    Truncated {
        /// How many bytes of the part came.
        have: usize,
        /// How many the part has.
        need: usize,
    },
    /// Reading failed.
    #[error("an error while its output was read")]
    Read(#[from] std::io::Error),
}

/// Shows bytes for a person: in hex, and as text where that helps to see where they are from.
pub(crate) fn show(bytes: &[u8]) -> String {
    let mut shown = String::new();
    for word in bytes[..bytes.len().min(16)].chunks(4) {
        if !shown.is_empty() {
            shown.push(' ');
        }
        for byte in word {
            let _ = write!(shown, "{byte:02x}");
        }
    }
    let printable = bytes.iter().take_while(|b| matches!(b, b' '..=b'~' | b'\n' | b'\r' | b'\t')).count();
    if printable >= 8.min(bytes.len()) {
        let text = String::from_utf8_lossy(&bytes[..printable.min(80)]);
        let _ = write!(shown, " (the text \"{}\": something prints on WebEnv's stdout)", text.escape_debug());
    }
    shown
}

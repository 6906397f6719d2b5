//! The packets that WebEnv and its agent exchange over stdio.
//!
//! Unsigned 32-bit ints and arrays of values, back to back: no padding, no version, no ids. The byte order is
//! the agent's own: the environment looks at the [`MAGIC`] word and swaps if it must.
//!
//! | who | when | what |
//! |---|---|---|
//! | agent | once | [`MAGIC`], kind of the values (0: f32, 1: i8, 2: i16) |
//! | environment | each step | stream, N, N values, action length |
//! | environment | a stream ends | stream, 0, [`END`] |
//! | agent | for each packet of a stream, first in, first out | stream, P, P predictions, A, A actions |
mod error;
mod form;
mod packet;
mod reader;

pub use error::ProtocolError;
pub use form::Form;
pub use packet::{Packet, Reply};
pub use reader::{PacketReader, read_reply};

/// The first word of the agent; it shows the agent's byte order.
pub const MAGIC: u32 = 0x0102_0304;

/// The action length that says: this stream has ended.
pub const END: u32 = u32::MAX;

/// How many features WebEnv's `directScore` puts in front of each observation: the reward, and three that are always NaN.
pub const REWARD_LENGTH: usize = 4;

/// What a packet may be at most. A packet beyond it is an error before any memory is taken for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Streams: each stream's number is below this.
    pub streams: u32,
    /// Values in an observation, the reward's four included.
    pub observation: u32,
    /// Actions that a packet asks for.
    pub action: u32,
}

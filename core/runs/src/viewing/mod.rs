//! Looking at a run while it goes: the engine offers, viewers ask, and no step waits for either.
//!
//! ```text
//! step ──▶ is anything wanted? ──no──▶ step            a viewer: `efference view`, `efference run --view`
//!             │ yes (one atomic)                            │  one line a request
//!             ▼                                             ▼
//!        Offer::answer ──▶ what is shown ──▶ thread ──▶ socket `view` in the run's directory
//! ```
//!
//! The socket is there while the run is, for its owner alone. A request is a line (see [`Request`]); each has one reply: the
//! length of a JSON object, the object, the length of what follows, and the pictures that the object describes, red, green and
//! blue of each pixel; both lengths are 32 bits, little endian. A viewer that does not read is sent nothing more, as it asks for
//! nothing more.
mod link;
mod message;
mod offer;
mod pace;

pub use link::{Link, LinkError, Reply};
pub use message::{ActionTaken, Delay, Request, Shown, Snapshot};
pub use offer::{Held, Offer};

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::PathBuf;

/// The socket's name in the directory of its run.
const SOCKET: &str = "view";

/// Streams that are drawn at once, at most.
pub const MOST_STREAMS: usize = 8;

/// The path of the socket in an open directory. It is short however long the directory's own is: an address has room for
/// 107 bytes.
fn socket_in(directory: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", directory.as_raw_fd()))
}

//! Finds plugin libraries and reads what they are from their files. Nothing of them is run, and no libtorch is
//! needed: what a library is stands in its stamp ([`efference_abi::Stamp`]).

mod file;
mod files;
mod refusal;

pub use file::{FileStamp, Identity, Listed};
pub use files::{Found, MissingPlugin, PluginFiles};
pub use refusal::Refusal;

use efference_abi::Kind;

/// All kinds, in the order in which a step meets them.
pub const KINDS: [Kind; 5] = [Kind::Environment, Kind::Trainer, Kind::Goal, Kind::Cell, Kind::Layer];

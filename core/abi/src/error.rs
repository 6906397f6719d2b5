//! Errors, as fields.
use crate::{List, Str};

/// One message of an error, and the plugin that it came through, if it came through one there.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ErrorFrame {
    /// A [`Kind`](crate::Kind); 0: the frame names no plugin.
    pub plugin_kind: u32,
    /// The plugin's name.
    pub plugin: Str,
    /// The message; empty if the frame only names a plugin.
    pub message: Str,
}

/// Why a call failed. The receiver frees `frames`, whose owner also owns the texts.
#[repr(C)]
pub struct Error {
    /// From the outermost to the innermost.
    pub frames: List<ErrorFrame>,
    /// The path of the option that is wrong, such as `synthetic_gradient.layers`; empty: no option is.
    pub option: Str,
}

impl Error {
    /// An error that nobody has filled yet.
    pub const EMPTY: Error = Error { frames: List::EMPTY, option: Str::new("") };
}

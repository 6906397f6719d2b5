//! What a plugin library exports, and what the host reads of it before running any of its code.
use crate::{Buf, HostApi, Status, Str};
use core::ffi::c_void;

/// The number of this boundary. It changes when an old plugin could no longer be called safely.
pub const ABI_VERSION: u32 = 1;
/// The first bytes of every [`Stamp`].
pub const MAGIC: [u8; 8] = *b"EFFERENC";
/// The one symbol that a plugin library exports: a static [`Library`].
pub const ENTRY_SYMBOL: &str = "efference_plugin";
/// Room for the list of plugins in a [`Stamp`], in bytes, with the terminating zero.
pub const PLUGINS_LEN: usize = 2048;

/// Says what a library is, in plain bytes without pointers: the host reads it from the FILE and decides on it
/// before the library is loaded. Texts are UTF-8, ended by a zero.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Stamp {
    /// [`MAGIC`].
    pub magic: [u8; 8],
    /// [`ABI_VERSION`] of the maker.
    pub abi_version: u32,
    /// Size of the maker's [`Stamp`], in bytes.
    pub size: u32,
    /// Version of the SDK that made it, or the author's own for a library made without it.
    pub sdk_version: [u8; 16],
    /// Version of libtorch that the library was compiled against, such as `2.13.0`.
    pub libtorch_version: [u8; 16],
    /// Target that it was compiled for, such as `x86_64-unknown-linux-gnu`.
    pub target: [u8; 48],
    /// One line a plugin: `kind/name`, version and description, with tabs between them.
    pub plugins: [u8; PLUGINS_LEN],
}

/// What a plugin is for.
#[repr(u32)]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Kind {
    /// Gives observations and takes actions; its table is an `EnvironmentVTable`.
    Environment = 1,
    /// A linear map; its table is a `LayerVTable`.
    Layer = 2,
    /// State and input to next state; its table is a `CellVTable`.
    Cell = 3,
    /// How gradients travel through time; its table is a `TrainerVTable`.
    Trainer = 4,
    /// What is minimised and maximised; its table is a `GoalVTable`.
    Goal = 5,
}

impl Kind {
    /// All kinds, in the order of their sections in a spec.
    pub const ALL: [Kind; 5] = [Kind::Environment, Kind::Layer, Kind::Cell, Kind::Trainer, Kind::Goal];

    /// The name of the kind in stamps, specs and messages.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Environment => "environment",
            Kind::Layer => "layer",
            Kind::Cell => "cell",
            Kind::Trainer => "trainer",
            Kind::Goal => "goal",
        }
    }
}

/// One plugin of a library.
#[repr(C)]
pub struct Entry {
    /// A [`Kind`].
    pub kind: u32,
    /// The name that a spec says, such as `ldl`.
    pub name: Str,
    /// The plugin's version.
    pub version: Str,
    /// What it is, in one line.
    pub description: Str,
    /// Writes the JSON Schema of the plugin's options.
    pub options_schema: unsafe extern "C" fn(out: *mut Buf, err: *mut Buf) -> Status,
    /// Reads options, given as a JSON object, and does nothing else. The first message of the chain that it
    /// answers is the path of the option at fault, such as `synthetic_gradient.layers`.
    pub check_options: unsafe extern "C" fn(options: Str, err: *mut Buf) -> Status,
    /// The table of the plugin's kind.
    pub vtable: *const c_void,
}

// SAFETY: an entry is constant data.
unsafe impl Sync for Entry {}

/// The static that a library exports as [`ENTRY_SYMBOL`].
#[repr(C)]
pub struct Library {
    /// Read from the file first.
    pub stamp: Stamp,
    /// The library's plugins, as many as its stamp names.
    pub entries: *const Entry,
    /// How many.
    pub entry_count: usize,
    /// Called once, before anything else of the library. `host` lives as long as the process.
    pub init: unsafe extern "C" fn(host: *const HostApi, err: *mut Buf) -> Status,
}

// SAFETY: a library's table is constant data.
unsafe impl Sync for Library {}

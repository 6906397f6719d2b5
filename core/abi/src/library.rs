//! What a plugin library exports, and what the host reads of it before running any of its code.
use crate::{Error, HostApi, List, Object, Outline, Status, Str};
use core::ffi::c_void;

/// The number of this boundary. It changes when an old plugin could no longer be called safely.
pub const ABI_VERSION: u32 = 2;
/// The first bytes of every [`Manifest`].
pub const MAGIC: [u8; 8] = *b"EFFERENC";
/// The one symbol that a plugin library exports: a static [`Library`].
pub const ENTRY_SYMBOL: &str = "efference_plugin";
/// Room for the list of plugins in a [`Manifest`], in bytes, with the terminating zero.
pub const PLUGINS_LEN: usize = 2048;
/// Room for the list of features in a [`Manifest`], in bytes, with the terminating zero.
pub const FEATURES_LEN: usize = 256;

/// What this boundary has beyond its first version. A library names in its [`Manifest`] those that it cannot do
/// without; a host refuses a library that needs one which the host does not have.
pub const FEATURES: &[&str] = &["custom-vjp", "episodes", "action-groups", "slow-cell", "cell-memory"];

/// Says what a library is, in plain bytes without pointers: the host reads it from the FILE and decides on it
/// before the library is loaded. Texts are UTF-8, ended by a zero.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Manifest {
    /// [`MAGIC`].
    pub magic: [u8; 8],
    /// [`ABI_VERSION`] of the maker.
    pub abi_version: u32,
    /// Size of the maker's [`Manifest`], in bytes.
    pub size: u32,
    /// Version of the SDK that made it, or the author's own for a library made without it.
    pub sdk_version: [u8; 16],
    /// Version of libtorch that the library was compiled against, such as `2.13.0`; empty for one that uses none, as an
    /// environment need not.
    pub libtorch_version: [u8; 16],
    /// Target that it was compiled for, such as `x86_64-unknown-linux-gnu`.
    pub target: [u8; 48],
    /// The [`FEATURES`] that the library needs, one a line.
    pub features: [u8; FEATURES_LEN],
    /// One line a plugin: `kind/name`, version and description, with tabs between them.
    pub plugins: [u8; PLUGINS_LEN],
}

/// What a plugin is for.
#[repr(u32)]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Kind {
    /// Sends observations and takes actions.
    Environment = 1,
    /// A linear map.
    Layer = 2,
    /// State and input to next state.
    Cell = 3,
    /// How gradients travel through time.
    Trainer = 4,
    /// What is minimised and maximised.
    Goal = 5,
}

impl Kind {
    /// All kinds, in the order of their sections in a spec.
    pub const ALL: [Kind; 5] = [Kind::Environment, Kind::Layer, Kind::Cell, Kind::Trainer, Kind::Goal];

    /// The name of the kind in manifests, specs and messages.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Environment => "environment",
            Kind::Layer => "layer",
            Kind::Cell => "cell",
            Kind::Trainer => "trainer",
            Kind::Goal => "goal",
        }
    }

    /// The kind of this number.
    pub const fn of(number: u32) -> Option<Kind> {
        match number {
            1 => Some(Kind::Environment),
            2 => Some(Kind::Layer),
            3 => Some(Kind::Cell),
            4 => Some(Kind::Trainer),
            5 => Some(Kind::Goal),
            _ => None,
        }
    }
}

/// One plugin of a library.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Entry {
    /// Size of this struct, in bytes.
    pub size: usize,
    /// A [`Kind`].
    pub kind: u32,
    /// The name that a spec says, such as `ldl`.
    pub name: Str,
    /// The plugin's version.
    pub version: Str,
    /// What it is, in one line.
    pub description: Str,
    /// Writes the JSON Schema of the plugin's options.
    pub options_schema: unsafe extern "C" fn(out: *mut List<u8>, err: *mut Error) -> Status,
    /// Reads options, given as a JSON object, and does nothing else. An error names the option that is wrong, or says
    /// which contradict each other.
    pub check_options: unsafe extern "C" fn(options: Str, out: *mut c_void, err: *mut Error) -> Status,
    /// Makes an object of the plugin's kind. `options` is a JSON object; `setup` points to the setup struct of the
    /// kind, such as [`LayerSetup`](crate::LayerSetup); the object's table is the one of the kind, such as
    /// [`LayerVTable`](crate::LayerVTable).
    pub create: unsafe extern "C" fn(
        options: Str,
        setup: *const c_void,
        out: *mut Object<c_void>,
        err: *mut Error,
    ) -> Status,
    /// What the options of an environment say of it, without making one: nothing is started, and no file is changed.
    /// Optional, as a function that is appended to a table.
    pub outline: Option<unsafe extern "C" fn(options: Str, out: *mut Outline, err: *mut Error) -> Status>,
}

// SAFETY: an entry is constant data.
unsafe impl Sync for Entry {}

/// The static that a library exports as [`ENTRY_SYMBOL`].
#[repr(C)]
pub struct Library {
    /// Read from the file first.
    pub manifest: Manifest,
    /// The library's plugins, as many as its manifest names. One begins [`Entry::size`] bytes after the other, as the
    /// library's maker knows it.
    pub entries: *const Entry,
    /// How many.
    pub entry_count: usize,
    /// Called once, before anything else of the library. `host` lives as long as the process.
    pub init: unsafe extern "C" fn(host: *const HostApi, out: *mut c_void, err: *mut Error) -> Status,
}

// SAFETY: a library's table is constant data.
unsafe impl Sync for Library {}

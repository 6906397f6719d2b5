//! Why a file is not loaded, in sentences: the file, both sides, and the help.
use std::path::PathBuf;
use thiserror::Error;

/// Why a file is not loaded as a plugin library.
#[derive(Debug, Clone, Error)]
#[allow(missing_docs)] // the messages say it
pub enum Refusal {
    #[error("{} cannot be read: {reason}", file.display())]
    Unreadable { file: PathBuf, reason: String },

    #[error("{} is not a library: {reason}. Give the path of a plugin's shared library (lib….so)", file.display())]
    NotALibrary { file: PathBuf, reason: String },

    #[error("{} is cut off: it should have {needed} bytes and has {length}. Copy or build it again", file.display())]
    Truncated { file: PathBuf, needed: u64, length: u64 },

    #[error(
        "{} was built for {theirs} and this host runs on {ours}. Build the plugin on this machine, or for its target",
        file.display()
    )]
    OtherMachine { file: PathBuf, theirs: String, ours: String },

    #[error(
        "{} is a library, but no plugin: it exports no '{}'. A plugin's crate has `efference_sdk::export!` in it \
         and `crate-type = [\"cdylib\"]` in its Cargo.toml",
        file.display(), efference_abi::ENTRY_SYMBOL
    )]
    NotAPlugin { file: PathBuf },

    #[error("{} has a damaged manifest: {reason}. Build the plugin again", file.display())]
    DamagedManifest { file: PathBuf, reason: String },

    #[error(
        "{} speaks boundary {theirs} (efference-sdk {sdk}) and this host speaks boundary {ours}. Build the plugin \
         again with the efference-sdk {} that belongs to this host",
        file.display(), env!("CARGO_PKG_VERSION")
    )]
    OtherBoundary { file: PathBuf, theirs: u32, ours: u32, sdk: String },

    #[error(
        "{} was compiled against libtorch {theirs} and this host runs libtorch {ours}; two cannot live in one \
         process. Build the plugin again with LIBTORCH set to the host's libtorch",
        file.display()
    )]
    OtherLibtorch { file: PathBuf, theirs: String, ours: String },

    #[error(
        "{} needs {library}, which is not the libtorch that this host has loaded. Build the plugin again with \
         LIBTORCH set to the host's libtorch",
        file.display()
    )]
    NeedsOtherLibrary { file: PathBuf, library: String },

    #[error(
        "{} needs the feature '{feature}', which this host does not have. Use a newer efference, or a version of the \
         plugin that does without it",
        file.display()
    )]
    NeedsFeature { file: PathBuf, feature: String },

    #[error(
        "{} is damaged: it is not what was sealed (SHA-256 {sealed:.12}…, found {found:.12}…). Copy or build it again",
        file.display()
    )]
    NotAsSealed { file: PathBuf, sealed: String, found: String },

    #[error("{} cannot be sealed: {reason}", file.display())]
    Unsealable { file: PathBuf, reason: String },

    #[error("{} cannot be loaded: {reason}", file.display())]
    Unloadable { file: PathBuf, reason: String },

    #[error(
        "{} says in its manifest that it holds {plugin}, and has no entry for it. Build the plugin again",
        file.display()
    )]
    MissingEntry { file: PathBuf, plugin: String },

    #[error("{} failed to start: {reason}. The plugin's author can say why", file.display())]
    Init { file: PathBuf, reason: String },
}

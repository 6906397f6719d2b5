//! Finds plugin libraries, reads what they are from their files, and remembers which options their plugins have.
//!
//! Nothing of a library is run here, and no libtorch is needed: what a library is stands in its manifest
//! ([`efference_abi::Manifest`]). Which options a plugin has is known by the plugin alone; [`KnownPlugins`] asks the
//! engine once ([`Describe`]) and remembers it under the hash of the library's file ([`OptionsCache`]).

mod cache;
mod describe;
mod file;
mod files;
mod folder;
mod hash;
mod known;
mod refusal;
mod remembered;
mod seal;

pub use cache::{OptionsCache, user_directory};
pub use describe::{Describe, PluginOptions, Reply, Request};
pub use file::{FileManifest, Identity, PluginInfo};
pub use files::{MissingPlugin, PluginFiles, PluginLocation};
pub use known::KnownPlugins;
pub use refusal::Refusal;
pub use remembered::Remembered;
pub use seal::{Sealed, checked_bytes, seal};

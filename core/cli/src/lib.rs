//! The command line of `efference`: one file a command in [`commands`].
//!
//! There are two programs: `efference`, which people type, and `efference-engine` beside it, which has libtorch. What
//! does not compute is done here, in milliseconds; `run` and `bench` check what they can and start the [`engine`], which they wait for. What
//! options a plugin has is remembered by [`efference_registry`]; for a library that is new, the engine is asked.

pub mod commands;
pub mod engine;
mod force;
pub mod forecast;
pub mod output;
mod page;
mod paths;
pub mod plugin_check;
pub mod plugin_folders;
pub mod run_spec;
pub mod scaffold;
mod spec_file;
mod supervisor;
mod sweep;
pub mod temporary;
mod today;

pub use force::ForceArgs;
use output::{fail, print};
pub use page::PageArgs;
pub use spec_file::{SpecArgs, report};

use efference_registry::Identity;

/// What the engine beside this program is, to the plugins that it may load.
pub fn engine_identity() -> Identity {
    Identity {
        libtorch_version: env!("EFFERENCE_LIBTORCH_VERSION").to_owned(),
        target: env!("EFFERENCE_TARGET").to_owned(),
    }
}

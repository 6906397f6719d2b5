//! Specs: experiments written in TOML. Read, merged, checked and explained.
//!
//! [`load`] does all of it. What is said by a file, by those that it `extends`, by `EFFERENCE_…` variables and by
//! `--set` is merged (by figment) over the defaults of the host and of the plugins; each value is checked against
//! the declaration of its key, which is JSON Schema for the host's keys and for those of plugins alike; and all
//! that is wrong is told at once, each mistake with the line that it is on and the key that was meant. To know
//! the plugins takes knowing where they are, which the spec says: so [`read`] first, ask
//! [`Draft::plugin_paths`], make a [`PluginCatalogue`], and let [`Draft::resolve`] do the rest.
//!
//! ```text
//! files, variables, --set ──(file, overrides)──▶ layers with spans ──(merge)──▶ one tree, each value with its origin
//!   ──(examine, validate, sweep)──▶ findings, by path ──(resolve)──▶ Mistakes, by place, or a Spec
//! ```

mod defaults;
mod examine;
mod file;
mod key_path;
mod keys;
mod merge;
mod mistakes;
mod nearest;
mod options_table;
mod overrides;
mod registry;
mod resolve;
mod resolved;
mod schema;
mod sweep;
mod validate;
mod values;
mod write;

#[cfg(test)]
mod tests;

pub use file::SourceFile;
pub use key_path::KeyPath;
pub use keys::{Checkpoint, Device, OptimizerKind, OptimizerSettings, PluginStdout, Plugins, Record, State};
pub use merge::{Origin, Origins};
pub use mistakes::{Mistake, Mistakes, ReportStyle};
pub use options_table::{host_keys_table, options_table};
pub use overrides::variables;
pub use registry::{KINDS, OptionMistake, PluginCatalogue, section};
pub use resolve::{Draft, load, read};
pub use resolved::{Optimizer, PluginChoice, Spec};
pub use sweep::Swept;
pub use write::to_toml_value;

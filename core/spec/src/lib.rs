//! Specs: experiments written in TOML. Read, merged, checked and explained.
//!
//! [`load`] does all of it. What is said by a file, by those that it `extends`, by `EFFERENCE_…` variables and by
//! `--set` is merged (by figment) over the defaults of the host and of the plugins; each value is checked against
//! the declaration of its key, which is JSON Schema for the host's keys and for those of plugins alike; and all
//! that is wrong is reported at once, each diagnostic with the line that it is on and the key that was meant. To know
//! the plugins takes knowing where they are, which the spec says: so [`read`] first, ask
//! [`ParsedSpec::plugin_paths`], make a [`PluginRegistry`], and let [`ParsedSpec::resolve`] do the rest.
//!
//! ```text
//! files, variables, --set ──(extends, overrides)──▶ layers with spans ──(merge)──▶ one tree, each value with its origin
//!   ──(check, validate, sweep)──▶ diagnostics, by path ──(resolve)──▶ Diagnostics, by place, or a Spec
//! ```

mod change;
mod check;
mod defaults;
mod diagnostic;
mod excerpt;
mod explain;
mod extends;
mod json_schema;
mod key_path;
mod keys;
mod layer;
mod merge;
mod name;
mod nearest;
mod one_plugin;
mod option_rows;
mod options_table;
mod overrides;
mod read_text;
mod reference;
mod registry;
mod renamed;
mod resolve;
mod resolved;
mod saving;
mod schema;
mod section;
mod source;
mod sweep;
mod syntax;
mod validate;
mod values;
mod visible;
mod wanted;
mod write;

#[cfg(test)]
mod tests;

pub use change::{Change, ChangeKind};
pub use diagnostic::{Diagnostic, Diagnostics, ReportStyle};
pub use explain::explain_key;
pub use json_schema::json_schema;
pub use key_path::KeyPath;
pub use keys::{
    Device, Moments, NormaliseBy, OptimizerKind, OptimizerSettings, PluginStdout, Plugins, Record, State,
    StateSize,
};
pub use layer::Origin;
pub use merge::Origins;
pub use name::check_name;
pub use nearest::nearest;
pub use one_plugin::plugin_options;
#[cfg(test)]
pub(crate) use options_table::host_keys_table;
pub use options_table::options_table;
pub use overrides::{sets_a_key, variables};
pub use reference::markdown_reference;
pub use registry::{OptionError, PluginRegistry};
pub use resolve::{ParsedSpec, PluginPath, load, read};
pub use resolved::{Optimizer, OptimizerGroup, PluginChoice, Spec};
pub use saving::{BestIs, Checkpoint, CheckpointEvery, Evaluation, Keep};
pub use section::Section;
pub use source::{SourceFile, expand_home};
pub use sweep::{SweepAxis, SweepMember, SweepMembers, SweepPoint};
pub use visible::visible;
pub use write::to_toml_value;

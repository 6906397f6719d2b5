//! Finding, checking, loading and calling plugins.
//!
//! A library is read as a file first: only one whose manifest agrees with this host is loaded. What it makes is
//! called through the SDK's proxies, whose calls a monitor checks: errors name the plugin, shapes are
//! checked, and what libtorch keeps for the whole thread is left as it was found.

mod float_mode;
mod library;
mod load;
mod monitor;
mod op_count;
mod registry;
mod services;
mod stdout;
mod this_host;
mod working_directory;

pub use efference_registry::{FileManifest, MissingPlugin, PluginInfo, PluginLocation, Refusal};
pub use library::Plugin;
pub use monitor::CallMonitor;
pub(crate) use monitor::{all_finite, is_finite};
pub(crate) use op_count::CostModel;
pub use op_count::OpCount;
pub use registry::{Registry, load_library};
pub(crate) use services::set_step_seed;
pub use services::{PluginMetric, take_metrics};
pub use stdout::{OnPrint, capture_stdout};
pub use this_host::this_host;

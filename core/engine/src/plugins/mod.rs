//! Finding, checking, loading and calling plugins.
//!
//! A library is read as a file first: only one whose stamp agrees with this host is loaded. What it makes is
//! wrapped in types that implement the SDK's traits and watch the calls: errors name the plugin, shapes are
//! checked, and what libtorch keeps for the whole thread is found as it was left.

mod guard;
mod library;
mod registry;
mod services;
mod stdout;
mod work;

pub use efference_registry::{FileStamp, Found, Listed, MissingPlugin, Refusal};
pub(crate) use guard::is_finite;
pub use guard::{Health, plugin_in_error};
pub use library::Plugin;
pub use registry::{Registry, load_library, this_host};
pub use services::take_metrics;
pub use stdout::{OnPrint, capture_stdout};
pub use work::Work;

use efference_abi::Kind;

/// The name of a kind in specs and messages.
pub fn kind_name(kind: Kind) -> &'static str {
    kind.name()
}

/// All kinds.
pub(crate) const KINDS: [Kind; 5] = Kind::ALL;

//! What this program is to plugins.
use efference_registry::Identity;
use efference_sdk as sdk;

/// What this host is, to the plugins that it may load.
pub fn this_host() -> Identity {
    Identity::of(&sdk::export::manifest(&[], &[]))
}

//! The command line of `efference`, and what can be answered without libtorch.
//!
//! There are two programs: `efference`, which people type, and `efference-engine` beside it, which has libtorch. Both
//! read the same [`arguments`]; the first [becomes](hand_over) the second where libtorch is needed.

pub mod arguments;
pub mod hand_over;
pub mod listing;

use efference_registry::Identity;

/// What the host beside this program is, to the plugins that it may load.
pub fn host_identity() -> Identity {
    Identity {
        libtorch_version: env!("EFFERENCE_LIBTORCH_VERSION").to_owned(),
        target: env!("EFFERENCE_TARGET").to_owned(),
    }
}

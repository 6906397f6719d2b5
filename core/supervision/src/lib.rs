//! What the programs `efference` and `efference-engine` share while one waits for the other.
//!
//! A plugin may end its process (by a signal, `abort`, `exit`) or never return, and then no code of the engine's runs any more
//! that could say so. So `efference` stays: it starts the engine, and reads out of a block of shared memory ([`Activity`])
//! what that was doing.

mod activity;
mod block;
mod parent;
mod signals;
mod text;
mod usage;

pub use activity::{Activity, Call, Doing, Phase, Standing};
pub use block::{Shared, of_this_process};
pub use parent::{follow_parent, is_stopped};
pub use signals::{Meaning, is_ignored, meaning};
pub use usage::Usage;

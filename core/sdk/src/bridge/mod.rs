//! The bridge over the C boundary: how the SDK's traits, types and errors cross it, in both directions.
//!
//! Both the plugins and the host use it; a plugin's author needs nothing of it. `interface!` declares each trait that
//! crosses, and makes from the one declaration the trait, the `extern "C"` functions that serve it, their check against
//! the hand-written table in `efference-abi`, and a proxy that calls a foreign object through its table and
//! implements the same trait.
//!
//! # Rules of the unsafe code in this folder
//!
//! * `this_` of an object points to a fat pointer to a trait object (`Box<dyn Trait>` of an object that is owned,
//!   `&dyn Trait` or `&mut dyn Trait` on the caller's stack of one that is borrowed), which has the layout of
//!   `*mut dyn Trait` in each case. `destroy` drops the `Box`, once.
//! * A table is a static. A proxy reads an optional function only where the table's `size` covers it.
//! * What is borrowed for a call ([`Arg`]) is kept in the frames of caller and callee until the call returns.
//! * What the other side passes follows the rules on the first page of `efference-abi`; it was made by this
//!   module too, or by an author who read them.
#![allow(unsafe_code)]

mod answer;
mod call;
mod cross;
mod error;
mod interface;
mod kinds;
mod library;
mod lists;
mod moments;
mod panics;
mod structs;
mod traced;

pub use call::{Caller, Method, Monitor, call, guard};
pub use cross::{Arg, Ret};
pub use library::{check_options, create, init, latest_metric, metric, options_schema, outline, step_seed};
pub use lists::read_str;
pub use panics::{caught, collect_panics, panicked_while_dropped};

pub(crate) use answer::{check_answer, check_numbers, check_shape};
pub(crate) use interface::interface;
pub(crate) use library::{
    check_options_of, create_of, host_threads, init_library, options_schema_of, outline_of,
};

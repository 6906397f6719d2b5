//! The one place where things change sides: tensors, texts, errors and objects, in both directions.
//!
//! Both the plugins and the host use it; a plugin's author needs nothing of it. Each trait that crosses has
//! here a table of functions that serves any `dyn` of it (`lend_…`, `give_…`) and a type that calls such a
//! table and implements the same trait (`Foreign…`). So nobody can tell an object of the own library from one
//! of another.
//!
//! # Rules of the unsafe code in this folder
//!
//! * `ctx` and `this_` pointers are made here and read here: `ctx` of something lent is a `*const &dyn Trait`
//!   that outlives the call, `this_` of something given is a `*mut Box<dyn Trait>` that its table's `destroy`
//!   frees once.
//! * Tables point to statics.
//! * What the other side passes obeys the rules on the first page of `efference-abi`; it was made by this
//!   module too, or by an author who read them.
#![allow(unsafe_code)]

mod agent;
mod build;
mod environment;
mod goal;
mod host;
mod network;
mod passes;
mod raw;

pub use agent::{create_trainer, trainer_vtable};
pub use environment::{create_environment, environment_vtable};
pub use goal::{create_goal, goal_vtable};
pub use host::{check_options, init, metric, options_schema};
pub use network::{cell_vtable, create_cell, create_layer, layer_vtable};
pub use raw::{call, guard, see_str, take_bytes};

pub(crate) use host::{check_options_of, init_library, options_schema_of};

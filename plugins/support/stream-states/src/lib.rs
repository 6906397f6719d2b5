//! What trainers share: the cell's input, and what streams have gone through.
//!
//! [`Input`] makes the cell's input of a state and what was observed. [`Streams`] is for trainers that look back: the last
//! transitions of each stream, so that they can be made again with the parameters of today. [`Window`] is a trainer but for
//! its options: one update a step, through the last transitions.

mod input;
mod merge;
mod side_by_side;
mod streams;
mod window;

pub use input::Input;
pub use merge::Merge;
pub use streams::{Streams, Went};
pub use window::{Window, loss_gradient};

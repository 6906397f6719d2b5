//! What plugins share that start programs: a process group that ends with the thread which started it ([`group`]), what
//! a program prints, bounded and escaped ([`Printed`]), and both in one ([`Program`]).

pub mod group;
mod printed;
mod program;

pub use printed::Printed;
pub use program::{Program, Started};

//! What plugins share that start programs: a process group that ends with the thread which started it ([`group`]), and what
//! a program prints, bounded and escaped ([`Printed`]).

pub mod group;
mod printed;

pub use printed::Printed;

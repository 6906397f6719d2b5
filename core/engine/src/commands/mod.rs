//! What the program does with runs that are there already, one file a command.

pub(crate) mod evaluate;
pub(crate) mod fork;
pub(crate) mod resume;

//! The commands that need libtorch, one file each. Their arguments are declared in `core/cli`.

pub(crate) mod bench;
pub(crate) mod check_plugin;
pub(crate) mod draw;
pub(crate) mod evaluate;
pub(crate) mod forecast;
pub(crate) mod fork;
pub(crate) mod resume;
pub(crate) mod run;

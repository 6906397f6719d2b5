//! End-to-end tests: the program as a user runs it, with plugins that it loads from their files.
//!
//! Every test starts the built `efference` in a directory of its own with an empty environment, and looks at what
//! it says, at its exit status and at the files that it leaves.

mod bench;
mod bonus;
mod book;
mod browser;
mod budget;
mod check;
mod chromium;
mod contract;
mod control;
mod disks;
mod experiments;
mod foreign;
mod forks;
mod gymnasium;
mod hostile;
mod input;
mod labels;
mod own_plugins;
mod plugin_checks;
mod plugins;
mod process;
mod program;
mod recording;
mod refusals;
mod resume;
mod seeing;
mod signals;
mod slurm;
mod streams;
mod supervisor;
mod sweep;
mod view;

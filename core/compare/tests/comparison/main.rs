//! Comparisons of runs on a disk.
mod bad_input;
mod reports;
mod runs;
mod verdicts;

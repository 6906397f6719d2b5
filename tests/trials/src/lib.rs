//! Trials of efference by chance: the fuzzer that all targets have in common.
//!
//! A target is a file in `programs/fuzz/targets`, and one line of the table there. The parsers of a plugin are reached by
//! linking it, and no program can link two plugins: each is a program of its own, which the table names.

pub mod fuzz;

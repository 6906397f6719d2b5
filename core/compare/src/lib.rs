//! Compares runs: which is better, by how much, and whether there are seeds enough to say so.
//!
//! Why which interval and which test: [`statistics`].
pub mod statistics;

//! What recordings show, what they refuse, and that they go on exactly.

mod bad_input;
mod driver;
mod formats;
mod saving;
mod streams;

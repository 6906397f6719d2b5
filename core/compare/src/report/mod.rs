//! A comparison to read: in a terminal, in a text, in other programs, as a picture, as a page.
//html

mod table;

pub use table::{csv, markdown, text};

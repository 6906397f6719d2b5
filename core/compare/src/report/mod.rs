//! A comparison to read: in a terminal, in a text, in other programs, as a picture, as a page.
mod html;
mod plot;
mod svg;
mod table;
mod ticks;

pub use html::html;
pub use plot::plot;
pub use svg::Colours;
pub use table::{csv, markdown, text};

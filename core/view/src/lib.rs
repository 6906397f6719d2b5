//! What people look at: [a table of runs](runs_table), [a run in the terminal](terminal) or [in a browser](page), [sheets](sheet) and
//! [animations](animation) of its pictures, and [drawings](drawing) of how a layer connects inputs to outputs.
//!
//! Nothing here computes or writes into a run: what is shown is what [`efference_runs`] reads.

pub mod animation;
mod canvas;
mod curve;
pub mod drawing;
pub mod page;
mod raster;
pub mod runs_table;
pub mod sheet;
pub mod terminal;

pub use raster::{RasterError, png_of_svg};

//! Cells: input to next state.
use crate::{LayerFactory, Options, Params, Passes, Result, Size};
use std::ops::Range;
use tch::Tensor;

/// A cell plugin. Its input, made by the trainer, holds the state and what was observed; its output is the
/// next state.
pub trait Cell: Send + Sized + 'static {
    /// The name that a spec says.
    const NAME: &'static str;
    /// What it is, in one line.
    const DESCRIPTION: &'static str;
    /// Its options.
    type Options: Options;

    /// Makes a cell of layers from `layers`, with its parameters in `params`.
    fn new(
        options: Self::Options,
        size: Size,
        layers: &dyn LayerFactory,
        params: &Params<'_>,
    ) -> Result<Self>;

    /// Of `x` (batch, ins): the numbers `outs` of the next state, (batch, outs.len()).
    fn forward(&self, x: &Tensor, outs: Range<i64>) -> Result<Tensor>;

    /// Passes of the cell's own, if it has them.
    fn passes(&self) -> Option<&dyn Passes> {
        None
    }
}

/// Any cell: one of this library, or one behind the boundary.
pub trait AnyCell: Send {
    /// See [`Cell::forward`].
    fn forward(&self, x: &Tensor, outs: Range<i64>) -> Result<Tensor>;

    /// See [`Cell::passes`].
    fn passes(&self) -> Option<&dyn Passes> {
        None
    }
}

impl<C: Cell> AnyCell for C {
    fn forward(&self, x: &Tensor, outs: Range<i64>) -> Result<Tensor> {
        Cell::forward(self, x, outs)
    }

    fn passes(&self) -> Option<&dyn Passes> {
        Cell::passes(self)
    }
}

/// Which numbers of an evaluation's input carry gradient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carries {
    /// All of them.
    All,
    /// The input is cut into chunks of `size` numbers; those of even number (the first is 0) carry gradient.
    EvenChunks {
        /// Numbers in a chunk; the input's width is a multiple of it.
        size: i64,
    },
    /// As above, those of odd number.
    OddChunks {
        /// Numbers in a chunk; the input's width is a multiple of it.
        size: i64,
    },
}

/// One way for the gradient to run through an evaluation of the cell whose value all lanes share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lane {
    /// The outputs wanted.
    pub outs: Range<i64>,
    /// Which inputs their gradient reaches.
    pub carries: Carries,
    /// Whether the cell's parameters get no gradient from them.
    pub frozen: bool,
}

/// The experiment's cell, as a goal sees it.
pub trait Transition {
    /// Evaluates the cell on `x` (batch, input size) for all lanes at once; one tensor a lane,
    /// (batch, lane.outs.len()).
    fn evaluate(&self, x: &Tensor, lanes: &[Lane]) -> Result<Vec<Tensor>>;
    /// The size of the state.
    fn outs(&self) -> i64;
}

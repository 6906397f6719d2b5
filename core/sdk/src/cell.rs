//! Cells: input to next state.
use crate::{LayerFactory, Options, Params, Result, Size, Vjp};
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

    /// The custom VJP, if the cell has one: see [`Vjp`].
    fn vjp(&self) -> Option<&dyn Vjp> {
        None
    }
}

/// Any cell: one of this library, or one behind the boundary.
pub trait AnyCell: Send {
    /// See [`Cell::forward`].
    fn forward(&self, x: &Tensor, outs: Range<i64>) -> Result<Tensor>;

    /// See [`Cell::passes`].
    fn vjp(&self) -> Option<&dyn Vjp> {
        None
    }
}

impl<C: Cell> AnyCell for C {
    fn forward(&self, x: &Tensor, outs: Range<i64>) -> Result<Tensor> {
        Cell::forward(self, x, outs)
    }

    fn vjp(&self) -> Option<&dyn Vjp> {
        Cell::vjp(self)
    }
}

/// Which features of an evaluation's input the gradient reaches; the others stop it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GradMask {
    /// All of them.
    All,
    /// The input is cut into chunks of `size` features; the gradient reaches the even chunks (the first is chunk 0).
    EvenChunks {
        /// Features in a chunk; the input's width is a multiple of it.
        size: i64,
    },
    /// As above; the gradient reaches the odd chunks.
    OddChunks {
        /// Features in a chunk; the input's width is a multiple of it.
        size: i64,
    },
}

/// A gradient path: one way for the gradient through an evaluation of the cell whose value all paths share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GradPath {
    /// The outputs wanted.
    pub outs: Range<i64>,
    /// Which features of the input their gradient reaches.
    pub mask: GradMask,
    /// Whether the cell's parameters get no gradient from them.
    pub frozen: bool,
}

/// The experiment's cell, as a goal sees it.
pub trait Transition {
    /// Evaluates the cell on `x` (batch, input size) for all gradient paths at once; returns one tensor a path,
    /// (batch, path.outs.len()).
    fn evaluate(&self, x: &Tensor, paths: &[GradPath]) -> Result<Vec<Tensor>>;
    /// The size of the state.
    fn outs(&self) -> i64;
}

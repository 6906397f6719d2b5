//! Layers: linear maps with tricks of their own inside.
use crate::{Options, Params, Result, Vjp};
use std::ops::Range;
use tch::Tensor;

/// How many numbers go in and come out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Numbers in, at least 1.
    pub ins: i64,
    /// Numbers out, at least 1.
    pub outs: i64,
}

/// A layer plugin: a linear map `ins → outs`.
pub trait Layer: Send + Sized + 'static {
    /// The name that a spec says.
    const NAME: &'static str;
    /// What it is, in one line.
    const DESCRIPTION: &'static str;
    /// Its options.
    type Options: Options;

    /// Makes a layer, with its parameters in `params`.
    fn new(options: Self::Options, size: Size, params: &Params<'_>) -> Result<Self>;

    /// Of `x` (batch, ins): the outputs `outs`, (batch, outs.len()). `outs` lies within the layer's size.
    fn forward(&self, x: &Tensor, outs: Range<i64>) -> Result<Tensor>;

    /// The custom VJP, if the layer has one: see [`Vjp`].
    fn vjp(&self) -> Option<&dyn Vjp> {
        None
    }

    /// Multiply-accumulates of a forward pass over one row, all outputs; `None` if unknown.
    ///
    /// `efference bench` estimates the work of a step from it. It counts matrix products, not elementwise
    /// work (biases, nonlinearities): for a full matrix it is `ins · outs`.
    fn multiply_accumulates(&self) -> Option<u64> {
        None
    }
}

/// Any layer: one of this library, or one behind the boundary.
pub trait AnyLayer: Send {
    /// See [`Layer::forward`].
    fn forward(&self, x: &Tensor, outs: Range<i64>) -> Result<Tensor>;

    /// See [`Layer::passes`].
    fn vjp(&self) -> Option<&dyn Vjp> {
        None
    }

    /// See [`Layer::multiplications`].
    fn multiply_accumulates(&self) -> Option<u64> {
        None
    }
}

impl<L: Layer> AnyLayer for L {
    fn forward(&self, x: &Tensor, outs: Range<i64>) -> Result<Tensor> {
        Layer::forward(self, x, outs)
    }

    fn vjp(&self) -> Option<&dyn Vjp> {
        Layer::vjp(self)
    }

    fn multiply_accumulates(&self) -> Option<u64> {
        Layer::multiply_accumulates(self)
    }
}

/// Makes layers of the kind that the experiment names.
pub trait LayerFactory {
    /// Makes a layer, with its parameters in `params`.
    fn make(&self, size: Size, params: &Params<'_>) -> Result<Box<dyn AnyLayer>>;
}

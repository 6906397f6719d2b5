//! One layer whose outputs begin with unit deviation.
use super::Nonlinearity;
use super::stack::normalising_factor;
use crate::{Layer, LayerFactory, Params, Result, Saved, Size};
use tch::Tensor;

/// A layer with a constant factor behind it: `y = factor · layer(x)`.
///
/// The factor is set so that standard normal features give outputs of unit deviation at the start, as in a
/// [`Stack`](crate::Stack), where it is trained. Here it stays: a trained number that all outputs share would feed all units
/// of a [`Recurrence`](crate::Recurrence). It is the buffer `factor`; the layer's parameters are under `layer`.
pub struct Normalised {
    layer: Box<dyn Layer>,
    size: Size,
    factor: Tensor,
}

impl Normalised {
    /// Makes a layer from `layers`, with its parameters in `params`.
    pub fn new(size: Size, layers: &dyn LayerFactory, params: &Params<'_>) -> Result<Self> {
        let layer = layers.make(size, &params.scope("layer"))?;
        let factor = normalising_factor(&*layer, size, Nonlinearity::None, "factor", params)?;
        let factor = params.buffer("factor", Tensor::from(factor as f32))?;
        Ok(Normalised { layer, size, factor })
    }

    /// Of `x` (batch, ins): all outputs, (batch, outs).
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        Ok(self.layer.forward(x, 0..self.size.outs)?.f_mul(&self.factor)?)
    }

    /// What [`Layer::units`](crate::Layer::units) says of the layer, with names as in the scope `scope` of a cell in which
    /// this was made.
    pub fn units(&self, scope: &str) -> Result<Saved> {
        let units = self.layer.units()?.into_iter();
        Ok(units.map(|(name, units)| (format!("{scope}.layer.{name}"), units)).collect())
    }
}

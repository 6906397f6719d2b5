//! A small cell whose units do not see each other, so that every trainer can train it.
use efference_sdk::tch::{Device, Kind, Tensor};
use efference_sdk::{Cell, Params, Recurrence, Result, Size, bail};
use std::ops::Range;

/// Of `x` (batch, ins), whose first `outs` features are the state `h`, and `u` what is beside it, without gradient:
///
/// ```text
/// next state = tanh(keep ⊙ h + u · weight)
/// ```
pub(super) struct UnitsCell {
    size: Size,
    keep: Tensor,
    weight: Tensor,
}

impl UnitsCell {
    pub(super) fn new(size: Size, params: &Params<'_>) -> Result<Self> {
        let beside = size.ins - size.outs;
        if beside < 1 {
            bail!("the cell's input of {} features has nothing beside a state of {}", size.ins, size.outs);
        }
        Ok(UnitsCell {
            size,
            keep: params.normal("keep", &[size.outs], 0.5)?,
            weight: params.normal("weight", &[beside, size.outs], 1.0 / (beside as f64).sqrt())?,
        })
    }
}

impl Cell for UnitsCell {
    fn forward(&self, x: &Tensor, outs: Range<i64>) -> Result<Tensor> {
        let Size { ins, outs: all } = self.size;
        let (from, count) = (outs.start, outs.end - outs.start);
        let old = x.f_narrow(1, from, count)?.f_mul(&self.keep.f_narrow(0, from, count)?)?;
        let beside = x.f_narrow(1, all, ins - all)?.f_detach()?;
        Ok(old.f_add(&beside.f_matmul(&self.weight.f_narrow(1, from, count)?)?)?.f_tanh()?)
    }

    fn recurrence(&self) -> Result<Option<Recurrence>> {
        let units = Tensor::f_arange(self.size.outs, (Kind::Int64, Device::Cpu))?;
        let of = |name: &str| (name.to_owned(), units.shallow_clone());
        Ok(Some(Recurrence { elements: 0..self.size.outs, parts: 1, units: vec![of("keep"), of("weight")] }))
    }
}

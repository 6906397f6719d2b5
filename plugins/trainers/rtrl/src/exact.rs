//! Which parameters get exact gradients, and how their sensitivities follow from their units.
use efference_sdk::tch::{Kind, Tensor};
use efference_sdk::{Recurrence, Result, Saved, ensure, tracing};
use std::ops::Range;

/// The cell's parameters, by what can be carried of them.
pub(crate) struct Exact {
    /// Where the units are in a state: part after part.
    pub(crate) elements: Range<i64>,
    pub(crate) parts: i64,
    /// How many units there are.
    pub(crate) count: i64,
    /// Parameters whose sensitivities are carried.
    pub(crate) carried: Vec<Carried>,
    by_themselves: Vec<String>,
    immediate: Vec<String>,
}

/// A parameter each of whose elements feeds one unit.
pub(crate) struct Carried {
    pub(crate) name: String,
    pub(crate) parameter: Tensor,
    /// Which unit each element feeds: broadcasts to the parameter. `None`: the units in order.
    units: Option<Tensor>,
    /// The shape of `units`.
    shape: Vec<i64>,
}

impl Exact {
    /// Of a cell with these trained parameters.
    pub(crate) fn new(recurrence: Recurrence, parameters: &Saved) -> Result<Self> {
        let (parts, count) = (recurrence.parts, recurrence.count());
        let (mut carried, mut by_themselves, mut immediate) = (Vec::new(), Vec::new(), Vec::new());
        for (name, parameter) in parameters {
            let Some((_, units)) = recurrence.units.iter().find(|(listed, _)| listed == name) else {
                immediate.push(name.clone());
                continue;
            };
            ensure!(
                units.kind() == Kind::Int64,
                "the cell says which units '{name}' feeds by {:?} in place of 64-bit integers",
                units.kind()
            );
            let fits = units.f_expand(parameter.size(), false).is_ok() && units.numel() > 0;
            ensure!(
                fits,
                "the cell says which units '{name}' feeds by a tensor of shape {:?}, which does not broadcast to {:?}",
                units.size(),
                parameter.size()
            );
            let (least, most) = (units.f_min()?.f_int64_value(&[])?, units.f_max()?.f_int64_value(&[])?);
            ensure!(
                least >= -1 && most < count,
                "the cell says that '{name}' feeds units {least} to {most}, and it has {count}"
            );
            if most == -1 {
                by_themselves.push(name.clone());
            } else {
                carried.push(Carried::new(name, parameter, units, count)?);
            }
        }
        Ok(Exact { elements: recurrence.elements, parts, count, carried, by_themselves, immediate })
    }

    /// What each part of the units is summed by: like `states`, 1 where that part is and 0 elsewhere.
    pub(crate) fn sum_of_part(&self, part: i64, states: &Tensor) -> Result<Tensor> {
        let sum = states.f_detach()?.f_zeros_like()?;
        let _ = self.part(part, &sum)?.f_fill_(1.0)?;
        Ok(sum)
    }

    /// A part of all units, (units), of one state or of the gradient in one, (1, state size).
    pub(crate) fn part(&self, part: i64, state: &Tensor) -> Result<Tensor> {
        let start = self.elements.start + part * self.count;
        Ok(state.f_narrow(1, start, self.count)?.f_squeeze_dim(0)?)
    }

    /// Says which parameters get exact gradients.
    pub(crate) fn log(&self) {
        let names = |names: &mut dyn Iterator<Item = &str>| {
            let names: Vec<_> = names.collect();
            if names.is_empty() { "none".to_owned() } else { names.join(", ") }
        };
        let (parts, count) = (self.parts, self.count);
        tracing::info!(
            "{count} units of {parts} elements. Exact gradients, carried forward: {}. Exact without that, for they feed no \
             unit: {}. Immediate gradients alone, for they feed several units: {}",
            names(&mut self.carried.iter().map(|carried| carried.name.as_str())),
            names(&mut self.by_themselves.iter().map(String::as_str)),
            names(&mut self.immediate.iter().map(String::as_str)),
        );
    }
}

impl Carried {
    fn new(name: &str, parameter: &Tensor, units: &Tensor, count: i64) -> Result<Self> {
        let shape = units.size();
        let units = units.f_flatten(0, -1)?.f_contiguous()?;
        let in_order = Vec::<i64>::try_from(&units)?.into_iter().eq(0..count);
        // What feeds no unit has no sensitivity, whatever it is multiplied with.
        let units = (!in_order).then(|| units.f_clamp_min(0)?.f_to_device(parameter.device())).transpose()?;
        Ok(Carried { name: name.to_owned(), parameter: parameter.shallow_clone(), units, shape })
    }

    /// For each element the number of its unit: of `numbers`, (units), what broadcasts to the parameter.
    pub(crate) fn of_units(&self, numbers: &Tensor) -> Result<Tensor> {
        let each = match &self.units {
            None => numbers.f_contiguous()?,
            Some(units) => numbers.f_index_select(0, units)?,
        };
        Ok(each.f_view(&self.shape[..])?)
    }

    /// The shape of its sensitivity: one number an element and part.
    pub(crate) fn sensitivity_shape(&self, parts: i64) -> Vec<i64> {
        [&[parts], &self.parameter.size()[..]].concat()
    }
}

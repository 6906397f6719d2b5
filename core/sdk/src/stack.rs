//! Stacks: normalised layers in a row.
use crate::fused::{Residual, rejoin, residual};
use crate::op::{Context, Gradients, Op, apply, is_plain};
use crate::passes::{Passing, join, split_all};
use crate::{
    AnyLayer, Incoming, LayerFactory, Nonlinearity, Outgoing, ParamStore, Params, Passes, Result, Size, bail,
    ensure,
};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tch::{Device, Kind, Tensor};

/// What a [`Stack`] consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StackSpec {
    /// Numbers in and out.
    pub size: Size,
    /// How many layers, at least 1: all of them map `ins → ins`, but for the last one, `ins → outs`.
    pub layers: i64,
    /// Applied to the input of each layer but the first.
    pub nonlinearity: Nonlinearity,
    /// Whether the layers add nothing to their input at the start of training: a stack of equal sizes then
    /// answers with its input, another one with zeros. What is zero at first are factors behind the layers, so
    /// that gradient reaches these at once, and the layers after the first update.
    pub zero_at_start: bool,
}

/// Layers in a row, each with a trained factor behind it and a skip connection around it.
///
/// Layer `i` computes, of `x` (batch, ins),
///
/// ```text
/// y = nonlinearity(x)                  (not before the first layer)
/// y = layer.i(y) · mult.i
/// x = y + x                            if sizes agree, else x = y
/// ```
///
/// and the end result is clamped to ±1000. The factor `mult.i` is set so that the layer answers standard normal
/// numbers (behind the nonlinearity, where there is one) with numbers of unit deviation. Parameters: `mult.i`,
/// and those of the layers under `layer.i`.
///
/// On the CPU, if its layers have [`Passes`] of their own, so has the stack; [`forward`](Self::forward) is then one
/// operation for autograd.
pub struct Stack {
    size: Size,
    layers: Shared,
    trained: Vec<Tensor>,
    has_passes: bool,
}

/// The layers in a row, which a graph of autograd's may outlive the stack with.
#[derive(Clone)]
struct Shared(Arc<Mutex<Row>>);

struct Row {
    nonlinearity: Nonlinearity,
    /// Each with the factor behind it.
    layers: Vec<(Box<dyn AnyLayer>, Tensor)>,
    /// Whether there is a skip connection around the last layer.
    last_skips: bool,
}

impl Shared {
    fn row(&self) -> MutexGuard<'_, Row> {
        // What a panicking layer leaves behind is its own.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a stack's outputs are clamped to: far beyond what is of use, and no way to infinity.
const LIMIT: f32 = 1000.0;

impl Stack {
    /// Makes a stack of layers from `layers`, with its parameters in `params`.
    pub fn new(spec: StackSpec, layers: &dyn LayerFactory, params: &Params<'_>) -> Result<Self> {
        let StackSpec { size, layers: count, nonlinearity, zero_at_start } = spec;
        ensure!(count >= 1, "a stack needs at least 1 layer, and {count} were asked for");
        ensure!(
            size.ins >= 1 && size.outs >= 1,
            "a stack needs at least 1 number in and 1 out, and {} → {} was asked for",
            size.ins,
            size.outs
        );
        let before = params.tensors()?.len();
        let made = (0..count).map(|i| {
            let last = i + 1 == count;
            let size = if last { size } else { Size { ins: size.ins, outs: size.ins } };
            let layer = layers.make(size, &params.scope(format_args!("layer.{i}")))?;
            let name = format!("mult.{i}");
            // Where the last layer stands alone, without a skip connection, zeros there are zeros at the end.
            let factor = if zero_at_start && (last || spec.size.ins == spec.size.outs) {
                0.0
            } else {
                let before = if i == 0 { Nonlinearity::None } else { nonlinearity };
                normalising_factor(&*layer, size, before, &name, params)?
            };
            let factor = params.parameter(&name, Tensor::from(factor as f32))?;
            Ok((layer, factor))
        });
        let layers = made.collect::<Result<Vec<_>>>()?;
        let trained =
            params.tensors()?.into_iter().skip(before).map(|(_, t)| t).filter(Tensor::requires_grad);
        let has_passes = params.device() == Device::Cpu
            && layers.iter().all(|(layer, factor)| layer.passes().is_some() && factor.requires_grad());
        let row = Row { nonlinearity, layers, last_skips: size.ins == size.outs };
        Ok(Stack { size, layers: Shared(Arc::new(Mutex::new(row))), trained: trained.collect(), has_passes })
    }

    /// Numbers in and out.
    pub fn size(&self) -> Size {
        self.size
    }

    /// Of `x` (batch, ins): all outputs, (batch, outs).
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.forward_range(x, 0..self.size.outs)
    }

    /// Of `x` (batch, ins): the outputs `outs`, (batch, outs.len()).
    pub fn forward_range(&self, x: &Tensor, outs: Range<i64>) -> Result<Tensor> {
        if self.has_passes && outs == (0..self.size.outs) && is_plain(x) {
            let mut inputs = vec![x];
            inputs.extend(&self.trained);
            return Ok(apply(StackOp(self.layers.clone()), &inputs)?.remove(0));
        }
        self.layers.row().forward_range(x, outs)
    }
}

impl Passing for Stack {
    fn own(&self) -> Option<&dyn Passes> {
        self.has_passes.then_some(&self.layers)
    }
}

impl Row {
    fn skips(&self, layer: usize) -> bool {
        layer + 1 < self.layers.len() || self.last_skips
    }

    fn residual(&self, layer: usize) -> Residual {
        Residual { limit: if layer + 1 < self.layers.len() { f32::INFINITY } else { LIMIT } }
    }

    fn forward_range(&self, x: &Tensor, outs: Range<i64>) -> Result<Tensor> {
        let last = self.layers.len() - 1;
        let mut x = x.shallow_clone();
        for (i, (layer, factor)) in self.layers.iter().enumerate() {
            let range = if i == last { outs.clone() } else { 0..x.size()[1] };
            let y = if i == 0 { x.shallow_clone() } else { self.nonlinearity.apply(&x)? };
            let y = layer.forward(&y, range.clone())?;
            let skip = self.skips(i).then(|| narrowed(&x, range)).transpose()?;
            x = residual(&y, factor, skip.as_ref(), f64::from(self.residual(i).limit))?;
        }
        Ok(x)
    }
}

impl Passes for Shared {
    /// Keeps, for each layer: what it was handed and what it answered, with what the residual kept; and what the layer
    /// kept itself.
    fn forward(&self, x: &Tensor) -> Result<(Tensor, Vec<Tensor>)> {
        let row = self.row();
        let mut kept = Vec::new();
        let mut x = x.shallow_clone();
        for (i, (layer, factor)) in row.layers.iter().enumerate() {
            let layer = layer.required()?;
            let (y, of_layer) = match i {
                0 => layer.forward(&x)?,
                _ => layer.forward(&row.nonlinearity.apply(&x)?)?,
            };
            let (out, cut) = row.residual(i).forward(&y, factor, row.skips(i).then_some(&x))?;
            kept.push([x, y].into_iter().chain(cut).collect());
            kept.push(of_layer);
            x = out;
        }
        Ok((x, join(kept)?))
    }

    fn backward(&self, kept: &[Tensor], incoming: &Incoming<'_>) -> Result<Outgoing> {
        let row = self.row();
        let kept = split_all(kept)?;
        ensure!(
            kept.len() == 2 * row.layers.len(),
            "a stack keeps two parts a layer, and was given {}",
            kept.len()
        );
        let mut gradient = incoming.gradient.shallow_clone();
        // Found from the last layer to the first.
        let mut parameters = Vec::new();
        for (i, (layer, factor)) in row.layers.iter().enumerate().rev() {
            let ([x, y, cut @ ..], of_layer) = (kept[2 * i], kept[2 * i + 1]) else {
                bail!("a stack was not given what it kept")
            };
            let incoming = Incoming { gradient: &gradient, ..*incoming };
            let behind = row.residual(i).backward(&incoming, y, factor, cut.first())?;
            let to_input = if i == 0 { incoming.to_input } else { incoming.lanes() };
            let found = layer
                .required()?
                .backward(of_layer, &Incoming { gradient: &behind.y, to_input, ..incoming })?;
            parameters.push(behind.factor);
            parameters.extend(found.parameters.into_iter().rev());
            let Some(of_input) = found.input else {
                ensure!(to_input == 0, "a layer answered without the gradient of its input");
                parameters.reverse();
                return Ok(Outgoing { input: None, parameters });
            };
            let before = (i > 0).then_some((row.nonlinearity, x));
            let skip = row.skips(i).then(|| behind.skip.as_ref().unwrap_or(&gradient));
            gradient = rejoin(to_input, of_input, before, skip)?;
        }
        parameters.reverse();
        Ok(Outgoing { input: Some(gradient), parameters })
    }
}

/// A stack's passes as an operation of autograd. Inputs: `x`, then the trained parameters.
struct StackOp(Shared);

impl Op for StackOp {
    const NAME: &'static str = "stack";

    fn forward(&mut self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        let (y, kept) = self.0.forward(inputs[0])?;
        if context.differentiable() {
            kept.into_iter().for_each(|t| context.save(t));
            // Not needed, but libtorch refuses the backward pass if they were changed meanwhile.
            inputs[1..].iter().for_each(|p| context.save(p.shallow_clone()));
        }
        Ok(vec![y])
    }

    fn backward(&self, saved: &[Tensor], gradients: &Gradients<'_>) -> Result<Vec<Option<Tensor>>> {
        let count = gradients.inputs();
        let Some(gradient) = gradients.of_output(0) else { return Ok((0..count).map(|_| None).collect()) };
        let kept = &saved[..saved.len() - (count - 1)];
        let incoming = Incoming {
            gradient: &gradient.f_contiguous()?,
            to_parameters: &[(1..count).any(|i| gradients.wanted(i))],
            to_input: usize::from(gradients.wanted(0)),
        };
        self.0.backward(kept, &incoming)?.for_operation(gradients)
    }
}

/// The columns `range` of `x`; without an operation of libtorch's if these are all.
fn narrowed(x: &Tensor, range: Range<i64>) -> Result<Tensor> {
    let length = range.end - range.start;
    let whole = range.start == 0 && x.size().last() == Some(&length);
    Ok(if whole { x.shallow_clone() } else { x.f_narrow(1, range.start, length)? })
}

/// One over the deviation of what a layer answers standard normal numbers with.
fn normalising_factor(
    layer: &dyn AnyLayer,
    size: Size,
    before: Nonlinearity,
    name: &str,
    params: &Params<'_>,
) -> Result<f64> {
    // Thousands of numbers out, if they can be had for a few million in.
    let rows = (4096 / size.outs).min((1 << 22) / size.ins).clamp(2, 256);
    let x = params.random(name).normal(&[rows, size.ins], 1.0).f_to_device(params.device())?;
    let _no_grad = tch::no_grad_guard();
    let y = layer.forward(&before.apply(&x)?, 0..size.outs)?;
    let deviation = y.f_to_kind(Kind::Double)?.f_std(false)?.f_double_value(&[])?;
    Ok(if deviation.is_normal() { 1.0 / deviation } else { 1.0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit;

    fn stack(size: Size, layers: i64, zero_at_start: bool) -> (testkit::MemoryStore, Stack) {
        let store = testkit::MemoryStore::new(7);
        let spec = StackSpec { size, layers, nonlinearity: Nonlinearity::Softsign, zero_at_start };
        let factory = testkit::LayersOf::<testkit::Matrix>::new("{}").unwrap();
        let stack = Stack::new(spec, &factory, &Params::new(&store)).unwrap();
        (store, stack)
    }

    fn normal(shape: &[i64]) -> Tensor {
        crate::Random::new(5).normal(shape, 1.0)
    }

    #[test]
    fn standard_normal_numbers_come_out_with_unit_deviation() {
        for outs in [1, 7, 400] {
            let (_store, stack) = stack(Size { ins: 300, outs }, 1, false);
            let deviation = stack.forward(&normal(&[500, 300])).unwrap().std(false).double_value(&[]);
            assert!((0.85..1.15).contains(&deviation), "{outs} outputs have a deviation of {deviation}");
        }
    }

    #[test]
    fn a_range_is_what_it_is_of_all_outputs() {
        for outs in [6, 10] {
            let (_store, stack) = stack(Size { ins: 10, outs }, 3, false);
            let x = normal(&[3, 10]);
            let whole = stack.forward(&x).unwrap();
            let range = stack.forward_range(&x, 2..5).unwrap();
            assert_eq!(range.size(), [3, 3]);
            assert!(range.allclose(&whole.narrow(1, 2, 3), 1e-6, 1e-6, false));
        }
    }

    #[test]
    fn passes_are_what_autograd_makes_of_the_same_layers() {
        let nonlinearities =
            [Nonlinearity::None, Nonlinearity::Softsign, Nonlinearity::Relu, Nonlinearity::Tanh];
        for (trial, nonlinearity) in (0..).zip(nonlinearities.into_iter().cycle().take(12)) {
            let size = Size { ins: 10, outs: if trial % 2 == 0 { 10 } else { 7 } };
            let layers = 1 + trial % 3;
            let spec = StackSpec { size, layers, nonlinearity, zero_at_start: trial % 5 == 4 };
            let made = |passes: bool| {
                let store = testkit::MemoryStore::new(7);
                let options = format!(r#"{{"passes": {passes}}}"#);
                let factory = testkit::LayersOf::<testkit::Matrix>::new(&options).unwrap();
                let stack = Stack::new(spec, &factory, &Params::new(&store)).unwrap();
                (store, stack)
            };
            let ((plain_store, plain), (store, stack)) = (made(false), made(true));
            assert!(plain.own().is_none());
            // Some numbers are cut off.
            let x = normal(&[3, 10]) * if trial == 8 { 900.0 } else { 1.0 };
            let passes = stack.required().unwrap();
            testkit::check_passes(passes, &x, &plain_store, |x| plain.forward(x)).unwrap();
            // As one operation of autograd.
            testkit::check_passes(passes, &x, &store, |x| stack.forward(x)).unwrap();
        }
    }

    #[test]
    fn a_graph_may_outlive_its_stack() {
        let factory = testkit::LayersOf::<testkit::Matrix>::new(r#"{"passes": true}"#).unwrap();
        let store = testkit::MemoryStore::new(7);
        let spec = StackSpec {
            size: Size { ins: 10, outs: 10 },
            layers: 2,
            nonlinearity: Nonlinearity::Softsign,
            zero_at_start: false,
        };
        let y = Stack::new(spec, &factory, &Params::new(&store)).unwrap().forward(&normal(&[3, 10])).unwrap();
        y.sum(Kind::Float).backward();
        assert!(store.get("mult.0").unwrap().grad().defined());
    }

    #[test]
    fn zero_at_start_adds_nothing_and_still_learns() {
        let x = normal(&[3, 10]);
        for outs in [4, 10] {
            let (store, stack) = stack(Size { ins: 10, outs }, 2, true);
            let y = stack.forward(&x).unwrap();
            let expected = if outs == 10 { x.shallow_clone() } else { Tensor::zeros_like(&y) };
            assert_eq!(y, expected);
            (&y * normal(&[3, outs])).sum(Kind::Float).backward();
            let factor = &store.list("mult.1").unwrap()[0].1;
            assert!(factor.grad().abs().double_value(&[]) > 0.0);
        }
    }
}

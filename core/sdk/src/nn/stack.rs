//! Stacks: normalised layers in a row.
use super::nonlinearity::{Nonlinearity, backward_with_skip};
use super::residual::{Residual, residual};
use crate::autograd::{
    Context, GradInput, GradOutput, Gradients, Op, Vjp, apply, is_contiguous_cpu_f32, pack_saved, required,
    unpack_all_saved,
};
use crate::{AnyLayer, LayerFactory, ParamStore, Params, Result, Size, bail, ensure};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tch::{Device, Kind, Tensor};

/// What a [`Stack`] consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StackSpec {
    /// Features in and out.
    pub size: Size,
    /// How many layers, at least 1: all of them map `ins → ins`, but for the last one, `ins → outs`.
    pub layers: i64,
    /// Applied to the input of each layer but the first.
    pub nonlinearity: Nonlinearity,
    /// Whether the layers add nothing to their input at the start of training: a stack of equal sizes then returns
    /// its input, another one zeros. The factors behind the layers are what is zero at first, so that gradient
    /// reaches these at once, and the layers after the first update.
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
/// and the result is clamped to ±1000. The factor `mult.i` is set so that standard normal features (before the
/// nonlinearity, where there is one) give outputs of unit deviation. Parameters: `mult.i`, and those of the layers under
/// `layer.i`.
///
/// On the CPU, if all its layers have a custom VJP, so has the stack; [`forward`](Self::forward) is then one operation
/// for autograd.
pub struct Stack {
    size: Size,
    layers: Shared,
    trained: Vec<Tensor>,
    has_vjp: bool,
}

/// The layers in a row, shared with autograd's graph, which may outlive the stack.
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

/// What a stack's outputs are clamped to: far beyond useful values, and short of infinity.
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
        let has_vjp = params.device() == Device::Cpu
            && layers.iter().all(|(layer, factor)| layer.vjp().is_some() && factor.requires_grad());
        let row = Row { nonlinearity, layers, last_skips: size.ins == size.outs };
        Ok(Stack { size, layers: Shared(Arc::new(Mutex::new(row))), trained: trained.collect(), has_vjp })
    }

    /// Features in and out.
    pub fn size(&self) -> Size {
        self.size
    }

    /// Of `x` (batch, ins): all outputs, (batch, outs).
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.forward_range(x, 0..self.size.outs)
    }

    /// Of `x` (batch, ins): the outputs `outs`, (batch, outs.len()).
    pub fn forward_range(&self, x: &Tensor, outs: Range<i64>) -> Result<Tensor> {
        if self.has_vjp && outs == (0..self.size.outs) && is_contiguous_cpu_f32(x) {
            let mut inputs = vec![x];
            inputs.extend(&self.trained);
            return Ok(apply(StackOp(self.layers.clone()), &inputs)?.remove(0));
        }
        self.layers.row().forward_range(x, outs)
    }

    /// The custom VJP: on the CPU, if all layers have one.
    pub fn vjp(&self) -> Option<&dyn Vjp> {
        self.has_vjp.then_some(&self.layers)
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

impl Vjp for Shared {
    /// Saved, for each layer: one part with its input `x`, its output `y` and the residual's mask if there is one, and
    /// one part with what the layer saved itself.
    fn forward(&self, x: &Tensor) -> Result<(Tensor, Vec<Tensor>)> {
        let row = self.row();
        let mut saved = Vec::new();
        let mut x = x.shallow_clone();
        for (i, (layer, factor)) in row.layers.iter().enumerate() {
            let layer = required(layer.vjp())?;
            let (y, of_layer) = match i {
                0 => layer.forward(&x)?,
                _ => layer.forward(&row.nonlinearity.apply(&x)?)?,
            };
            let (out, unclamped) = row.residual(i).forward(&y, factor, row.skips(i).then_some(&x))?;
            saved.push([x, y].into_iter().chain(unclamped).collect());
            saved.push(of_layer);
            x = out;
        }
        Ok((x, pack_saved(saved)?))
    }

    fn backward(&self, saved: &[Tensor], grad: &GradOutput<'_>) -> Result<GradInput> {
        let row = self.row();
        let saved = unpack_all_saved(saved)?;
        ensure!(
            saved.len() == 2 * row.layers.len(),
            "a stack saves two parts a layer, and received {}",
            saved.len()
        );
        let mut g = grad.grad.shallow_clone();
        // From the last layer to the first.
        let mut params = Vec::new();
        for (i, (layer, factor)) in row.layers.iter().enumerate().rev() {
            let ([x, y, unclamped @ ..], of_layer) = (saved[2 * i], saved[2 * i + 1]) else {
                bail!("a stack did not receive what it saved")
            };
            let grad = GradOutput { grad: &g, ..*grad };
            let residual = row.residual(i).backward(&grad, y, factor, unclamped.first())?;
            let input_paths = if i == 0 { grad.input_paths } else { grad.path_count() };
            let found = required(layer.vjp())?
                .backward(of_layer, &GradOutput { grad: &residual.y, input_paths, ..grad })?;
            params.push(residual.factor);
            params.extend(found.params.into_iter().rev());
            let Some(of_input) = found.input else {
                ensure!(input_paths == 0, "a layer returned no gradient of its input");
                params.reverse();
                return Ok(GradInput { input: None, params });
            };
            let before = (i > 0).then_some((row.nonlinearity, x));
            let skip = row.skips(i).then(|| residual.skip.as_ref().unwrap_or(&g));
            g = backward_with_skip(input_paths, of_input, before, skip)?;
        }
        params.reverse();
        Ok(GradInput { input: Some(g), params })
    }
}

/// A stack's VJP as an operation of autograd. Inputs: `x`, then the trained parameters.
struct StackOp(Shared);

impl Op for StackOp {
    const NAME: &'static str = "stack";

    fn forward(&mut self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        let (y, saved) = self.0.forward(inputs[0])?;
        if context.differentiable() {
            saved.into_iter().for_each(|t| context.save(t));
            // Not needed, but libtorch refuses the backward pass if they were changed meanwhile.
            inputs[1..].iter().for_each(|p| context.save(p.shallow_clone()));
        }
        Ok(vec![y])
    }

    fn backward(&self, saved: &[Tensor], gradients: &Gradients<'_>) -> Result<Vec<Option<Tensor>>> {
        let count = gradients.input_count();
        let Some(grad) = gradients.of_output(0) else { return Ok(gradients.none()) };
        let saved = &saved[..saved.len() - (count - 1)];
        let grad = GradOutput {
            grad: &grad.f_contiguous()?,
            needs_param_grad: &[(1..count).any(|i| gradients.needs_input_grad(i))],
            input_paths: usize::from(gradients.needs_input_grad(0)),
        };
        self.0.backward(saved, &grad)?.into_input_grads(gradients)
    }
}

/// The columns `range` of `x`; without an operation of libtorch's if these are all.
fn narrowed(x: &Tensor, range: Range<i64>) -> Result<Tensor> {
    let length = range.end - range.start;
    let whole = range.start == 0 && x.size().last() == Some(&length);
    Ok(if whole { x.shallow_clone() } else { x.f_narrow(1, range.start, length)? })
}

/// One over the deviation of a layer's outputs for standard normal inputs.
fn normalising_factor(
    layer: &dyn AnyLayer,
    size: Size,
    before: Nonlinearity,
    name: &str,
    params: &Params<'_>,
) -> Result<f64> {
    // Thousands of outputs, from a few million inputs at most.
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
    fn the_vjp_is_what_autograd_makes_of_the_same_layers() {
        let nonlinearities =
            [Nonlinearity::None, Nonlinearity::Softsign, Nonlinearity::Relu, Nonlinearity::Tanh];
        for (trial, nonlinearity) in (0..).zip(nonlinearities.into_iter().cycle().take(12)) {
            let size = Size { ins: 10, outs: if trial % 2 == 0 { 10 } else { 7 } };
            let layers = 1 + trial % 3;
            let spec = StackSpec { size, layers, nonlinearity, zero_at_start: trial % 5 == 4 };
            let made = |vjp: bool| {
                let store = testkit::MemoryStore::new(7);
                let options = format!(r#"{{"vjp": {vjp}}}"#);
                let factory = testkit::LayersOf::<testkit::Matrix>::new(&options).unwrap();
                let stack = Stack::new(spec, &factory, &Params::new(&store)).unwrap();
                (store, stack)
            };
            let ((plain_store, plain), (store, stack)) = (made(false), made(true));
            assert!(plain.vjp().is_none());
            // Some elements are clamped.
            let x = normal(&[3, 10]) * if trial == 8 { 900.0 } else { 1.0 };
            let vjp = stack.vjp().unwrap();
            testkit::check_vjp(vjp, &x, &plain_store, |x| plain.forward(x)).unwrap();
            // As one operation of autograd.
            testkit::check_vjp(vjp, &x, &store, |x| stack.forward(x)).unwrap();
        }
    }

    #[test]
    fn a_graph_may_outlive_its_stack() {
        let factory = testkit::LayersOf::<testkit::Matrix>::new(r#"{"vjp": true}"#).unwrap();
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

//! Stacks: normalised layers in a row.
use super::nonlinearity::{Nonlinearity, backward_with_skip};
use super::residual::Residual;
use super::shape::columns;
use crate::autograd::{GradInput, GradOutput, NamedVjp, SharedVjp, Vjp, pack_saved, required, unpack_saved};
use crate::{Layer, LayerFactory, ParamStore, Params, Result, Size, bail, ensure};
use std::ops::Range;
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
/// On the CPU, if all its layers have a custom VJP, so has the stack; [`forward`](Self::forward) is then that VJP, as one
/// operation for autograd.
pub struct Stack {
    size: Size,
    row: SharedVjp<Row>,
    trained: Vec<Tensor>,
    has_vjp: bool,
}

/// The layers in a row.
struct Row {
    nonlinearity: Nonlinearity,
    /// Each with the factor behind it.
    layers: Vec<(Box<dyn Layer>, Tensor)>,
    /// Whether there is a skip connection around the last layer.
    last_skips: bool,
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
        let has_vjp = params.device()? == Device::Cpu
            && layers.iter().all(|(layer, factor)| layer.vjp().is_some() && factor.requires_grad());
        let row = Row { nonlinearity, layers, last_skips: size.ins == size.outs };
        Ok(Stack { size, row: SharedVjp::new(row), trained: trained.collect(), has_vjp })
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
        if self.has_vjp && outs == (0..self.size.outs) {
            return self.row.apply(x, &self.trained);
        }
        self.row.lock().forward_by_autograd(x, &outs)
    }

    /// The custom VJP: on the CPU, if all layers have one.
    pub fn vjp(&self) -> Option<&dyn Vjp> {
        self.has_vjp.then_some(&self.row)
    }
}

impl Row {
    /// The formula of [`Stack`] but for what a layer and its residual do: for each layer `i` in turn,
    /// `x = layer_and_residual(i, x, nonlinearity(x))`.
    fn forward_with(
        &self,
        x: &Tensor,
        mut layer_and_residual: impl FnMut(usize, Tensor, Tensor) -> Result<Tensor>,
    ) -> Result<Tensor> {
        let mut x = x.shallow_clone();
        for i in 0..self.layers.len() {
            let input = if i == 0 { x.shallow_clone() } else { self.nonlinearity.apply(&x)? };
            x = layer_and_residual(i, x, input)?;
        }
        Ok(x)
    }

    fn skips(&self, layer: usize) -> bool {
        layer + 1 < self.layers.len() || self.last_skips
    }

    fn residual(&self, layer: usize) -> Residual {
        Residual { limit: if layer + 1 < self.layers.len() { f32::INFINITY } else { LIMIT } }
    }

    /// Layers and residuals recorded by autograd one by one: on every device, for layers without a custom VJP, and for
    /// some of the outputs.
    fn forward_by_autograd(&self, x: &Tensor, outs: &Range<i64>) -> Result<Tensor> {
        self.forward_with(x, |i, x, input| {
            let (layer, factor) = &self.layers[i];
            let range = if i + 1 == self.layers.len() { outs.clone() } else { 0..x.size()[1] };
            let y = layer.forward(&input, range.clone())?;
            let skip = self.skips(i).then(|| columns(&x, &range)).transpose()?;
            self.residual(i).apply(&y, factor, skip.as_ref())
        })
    }
}

impl NamedVjp for Row {
    const NAME: &'static str = "stack";
}

impl Vjp for Row {
    /// Saved, for each layer: one part with its input `x`, its output `y` and the residual's mask if there is one, and
    /// one part with what the layer saved itself.
    fn forward(&self, x: &Tensor) -> Result<(Tensor, Vec<Tensor>)> {
        let mut saved = Vec::with_capacity(2 * self.layers.len());
        let out = self.forward_with(x, |i, x, input| {
            let (layer, factor) = &self.layers[i];
            let (y, of_layer) = required(layer.vjp())?.forward(&input)?;
            let (out, unclamped) = self.residual(i).forward(&y, factor, self.skips(i).then_some(&x))?;
            saved.push([x, y].into_iter().chain(unclamped).collect());
            saved.push(of_layer);
            Ok(out)
        })?;
        Ok((out, pack_saved(saved)?))
    }

    fn backward(&self, saved: &[Tensor], grad: &GradOutput<'_>) -> Result<GradInput> {
        let saved = unpack_saved(saved)?;
        ensure!(
            saved.len() == 2 * self.layers.len(),
            "a stack saves two parts a layer, and received {}",
            saved.len()
        );
        let mut g = grad.grad.shallow_clone();
        // From the last layer to the first; none if no path reaches them.
        let mut params = Vec::new();
        for (i, (layer, factor)) in self.layers.iter().enumerate().rev() {
            let ([x, y, unclamped @ ..], of_layer) = (saved[2 * i], saved[2 * i + 1]) else {
                bail!("a stack did not receive what it saved")
            };
            let grad = GradOutput { grad: &g, ..*grad };
            let residual = self.residual(i).backward(&grad, y, factor, unclamped.first())?;
            let input_paths = if i == 0 { grad.input_paths } else { grad.path_count() };
            let found = required(layer.vjp())?
                .backward(of_layer, &GradOutput { grad: &residual.y, input_paths, ..grad })?;
            if grad.needs_any_param_grad() {
                params.push(residual.factor);
                params.extend(found.params.into_iter().rev());
            }
            let Some(of_input) = found.input else {
                ensure!(input_paths == 0, "a layer returned no gradient of its input");
                params.reverse();
                return Ok(GradInput { input: None, params });
            };
            let before = (i > 0).then_some((self.nonlinearity, x));
            let skip = self.skips(i).then(|| residual.skip.as_ref().unwrap_or(&g));
            g = backward_with_skip(input_paths, of_input, before, skip)?;
        }
        params.reverse();
        Ok(GradInput { input: Some(g), params })
    }
}

/// One over the deviation of a layer's outputs for standard normal inputs.
pub(super) fn normalising_factor(
    layer: &dyn Layer,
    size: Size,
    before: Nonlinearity,
    name: &str,
    params: &Params<'_>,
) -> Result<f64> {
    // A layer of stand-ins has nothing to measure.
    if params.only_counts()? {
        return Ok(1.0);
    }
    // Thousands of outputs, from a few million inputs at most.
    let rows = (4096 / size.outs).min((1 << 22) / size.ins).clamp(2, 256);
    let x = params.random(name)?.f_normal(&[rows, size.ins], 1.0)?.f_to_device(params.device()?)?;
    let _no_grad = tch::no_grad_guard();
    let y = layer.forward(&before.apply(&x)?, 0..size.outs)?;
    // Not by libtorch, whose sums depend on its number of threads in their last bits.
    let y = Vec::<f64>::try_from(y.f_to_device(Device::Cpu)?.f_to_kind(Kind::Double)?.f_flatten(0, -1)?)?;
    let mean_of = |of: &dyn Fn(f64) -> f64| y.iter().map(|y| of(*y)).sum::<f64>() / y.len() as f64;
    let mean = mean_of(&|y| y);
    let deviation = mean_of(&|y| (y - mean).powi(2)).sqrt();
    Ok(if deviation.is_normal() { 1.0 / deviation } else { 1.0 })
}

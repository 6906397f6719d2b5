//! Watches the calls of plugins: names the plugin in its errors, checks what it returns, finds what it left behind,
//! and counts the work of layers.
//!
//! Rules of the unsafe code here: grad mode is a flag of the thread that libtorch lets anybody set.
#![allow(unsafe_code)]
#[cfg(test)]
mod tests;

use super::stdout::{OnPrint, printed};
use super::work::{Cost, Counter, Work};
use super::{KINDS, kind_name};
use efference_sdk::autograd::required;
use efference_sdk::{
    Agent, AnyCell, AnyEnvironment, AnyGoal, AnyLayer, AnyTrainer, Batch, Error, Frames, GradInput,
    GradOutput, Loss, LossInput, Params, Picture, Restores, Result, ResultExt, Saved, Size, Transition, Vjp,
    autograd, bail, elementwise, ensure,
};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tch::{Device, Tensor};

/// What all watched plugins of an agent share.
#[derive(Debug, Default)]
pub struct Health {
    searching: AtomicBool,
    work: Counter,
}

impl Health {
    /// While `f` runs, each layer and cell is checked for turning finite numbers into others; the first that
    /// does is named by its error. Too slow for every step: it is for finding out who was at fault.
    pub fn search<R>(&self, f: impl FnOnce() -> R) -> R {
        self.searching.store(true, Ordering::Relaxed);
        let result = f();
        self.searching.store(false, Ordering::Relaxed);
        result
    }

    /// Adds work that was done elsewhere.
    pub(crate) fn add_work(&self, work: Work) {
        self.work.add(work);
    }

    /// The work since the last call.
    ///
    /// It is an estimate. A layer's calls are counted as they come; a call for some of the outputs counts as one for all
    /// of them. What autograd does later is not seen: where an answer asks for gradients, one backward pass is counted in
    /// advance, which may never come, or come once for each gradient path.
    pub fn take_work(&self) -> Work {
        self.work.take()
    }
}

/// The plugin at fault: the innermost that the error went through, such as `layer 'ldl'`.
pub fn plugin_in_error(error: &Error) -> Option<String> {
    let named = |message: &str| {
        let kind = KINDS.iter().find(|k| message.starts_with(&format!("{} '", kind_name(**k))))?;
        let name = message.split('\'').nth(1)?;
        Some(format!("{} '{name}'", kind_name(*kind)))
    };
    error.chain().filter_map(named).last()
}

/// Something that a plugin made.
pub(super) struct Guarded<T: ?Sized> {
    name: String,
    inner: Box<T>,
    health: Arc<Health>,
    /// Of a layer, whose work is counted.
    cost: Option<Cost>,
}

impl<T: ?Sized> Guarded<T> {
    pub(super) fn make(
        name: String,
        health: &Arc<Health>,
        f: impl FnOnce() -> Result<Box<T>>,
    ) -> Result<Self> {
        let inner = watch(&name, f)?;
        Ok(Guarded { name, inner, health: health.clone(), cost: None })
    }

    fn count(&self, of: impl FnOnce(&Cost) -> Work) {
        if let Some(cost) = &self.cost {
            self.health.work.add(of(cost));
        }
    }
}

/// Makes a call of the plugin `name`.
fn watch<R>(name: &str, f: impl FnOnce() -> Result<R>) -> Result<R> {
    let gradients = grad_mode();
    let mut result = f();
    if grad_mode() != gradients {
        set_grad_mode(gradients);
        let (left, guard) = if gradients { ("off", "`no_grad` guard") } else { ("on", "guard") };
        result = result.and_then(|_| {
            bail!(
                "left gradients switched {left} when it returned. The plugin must drop each {guard} before it \
                 returns: use `tch::no_grad(|| …)`"
            )
        });
    }
    if let Some((text, on_print)) = printed() {
        let text: String = text.chars().take(200).collect();
        match on_print {
            OnPrint::Log => tracing::info!("{name} printed: {text:?}"),
            OnPrint::Fail => {
                result = result.and_then(|_| {
                    bail!(
                        "printed to standard output, which is the host's: {text:?}. Use `tracing::info!` in the \
                         plugin, or let it print with `stdout = \"log\"` under [plugins]"
                    )
                });
            }
        }
    }
    result.with_context(|| name.to_owned())
}

fn set_grad_mode(on: bool) -> bool {
    // SAFETY: sets a flag of this thread and answers with what it was.
    unsafe { torch_sys::at_grad_set_enabled(i32::from(on)) != 0 }
}

fn grad_mode() -> bool {
    // There is no function that asks without setting.
    let on = set_grad_mode(true);
    if !on {
        set_grad_mode(false);
    }
    on
}

fn check_shape(y: &Tensor, expected: [i64; 2]) -> Result<()> {
    let shape = y.size();
    ensure!(shape == expected, "returned a tensor of shape {shape:?} where {expected:?} was expected");
    Ok(())
}

/// Whether all numbers of `t` are finite.
pub(crate) fn is_finite(t: &Tensor) -> Result<bool> {
    if let Ok(numbers) = autograd::slice(t) {
        // A number is not finite if all bits of its exponent are set.
        const EXPONENT: u32 = 0x7f80_0000;
        let is_not = |n: &f32| u32::from(n.to_bits() & EXPONENT == EXPONENT);
        let found = elementwise!(numbers.len(), [], |range, []| {
            f64::from(numbers[range].iter().map(is_not).fold(0, |all, one| all | one))
        });
        return Ok(found == 0.0);
    }
    // A sum is not finite if one of its numbers is not, and in float64 it does not overflow by itself.
    Ok(t.f_sum(tch::Kind::Double)?.f_double_value(&[])?.is_finite())
}

impl<T: ?Sized> Guarded<T> {
    fn check_numbers(&self, x: &Tensor, y: &Tensor) -> Result<()> {
        if self.health.searching.load(Ordering::Relaxed) && is_finite(x)? && !is_finite(y)? {
            bail!(
                "turned finite numbers into others (NaN or infinity). If its parameters have become that, lower \
                 the learning rate; if not, the plugin has a mistake"
            );
        }
        Ok(())
    }
}

impl Guarded<dyn AnyLayer> {
    /// Makes a layer whose parameters are the tensors that it adds to `params`.
    pub(super) fn make_layer(
        name: String,
        health: &Arc<Health>,
        size: Size,
        params: &Params<'_>,
        f: impl FnOnce() -> Result<Box<dyn AnyLayer>>,
    ) -> Result<Self> {
        let before = params.tensors()?.len();
        let made = Self::make(name, health, f)?;
        let tensors: Vec<_> = params.tensors()?.into_iter().skip(before).collect();
        let cost = Cost {
            ins: size.ins as u64,
            outs: size.outs as u64,
            parameters: tensors.iter().map(|(_, t)| t.numel() as u64).sum(),
            trained: tensors.iter().any(|(_, t)| t.requires_grad()),
            multiply_accumulates: made.inner.multiply_accumulates(),
        };
        Ok(Guarded { cost: Some(cost), ..made })
    }
}

impl AnyLayer for Guarded<dyn AnyLayer> {
    fn forward(&self, x: &Tensor, outs: Range<i64>) -> Result<Tensor> {
        watch(&self.name, || {
            let rows = x.size()[0];
            let expected = [rows, outs.end - outs.start];
            let y = self.inner.forward(x, outs)?;
            check_shape(&y, expected)?;
            self.check_numbers(x, &y)?;
            self.count(|cost| cost.forward(rows as u64));
            if y.requires_grad() {
                self.count(|cost| cost.backward(rows as u64, 1, u64::from(x.requires_grad()), cost.trained));
            }
            Ok(y)
        })
    }

    fn vjp(&self) -> Option<&dyn Vjp> {
        self.inner.vjp().map(|_| self as &dyn Vjp)
    }

    fn multiply_accumulates(&self) -> Option<u64> {
        self.inner.multiply_accumulates()
    }
}

impl AnyCell for Guarded<dyn AnyCell> {
    fn forward(&self, x: &Tensor, outs: Range<i64>) -> Result<Tensor> {
        watch(&self.name, || {
            let expected = [x.size()[0], outs.end - outs.start];
            let y = self.inner.forward(x, outs)?;
            check_shape(&y, expected)?;
            self.check_numbers(x, &y)?;
            Ok(y)
        })
    }

    fn vjp(&self) -> Option<&dyn Vjp> {
        self.inner.vjp().map(|_| self as &dyn Vjp)
    }
}

/// What may have a custom VJP.
trait HasVjp {
    fn vjp(&self) -> Option<&dyn Vjp>;
}

impl HasVjp for dyn AnyLayer {
    fn vjp(&self) -> Option<&dyn Vjp> {
        AnyLayer::vjp(self)
    }
}

impl HasVjp for dyn AnyCell {
    fn vjp(&self) -> Option<&dyn Vjp> {
        AnyCell::vjp(self)
    }
}

impl<T: HasVjp + ?Sized> Vjp for Guarded<T> {
    fn forward(&self, x: &Tensor) -> Result<(Tensor, Vec<Tensor>)> {
        watch(&self.name, || {
            let (y, saved) = required(self.inner.vjp())?.forward(x)?;
            ensure!(
                y.dim() == 2 && y.size()[0] == x.size()[0],
                "returned a tensor of shape {:?} for {} rows",
                y.size(),
                x.size()[0]
            );
            self.check_numbers(x, &y)?;
            self.count(|cost| cost.forward(x.size()[0] as u64));
            Ok((y, saved))
        })
    }

    fn backward(&self, saved: &[Tensor], grad: &GradOutput<'_>) -> Result<GradInput> {
        watch(&self.name, || {
            let found = required(self.inner.vjp())?.backward(saved, grad).context("in its backward pass")?;
            let rows = found.input.as_ref().map_or(0, |g| g.size()[0]);
            let expected = grad.input_paths as i64 * grad.batch();
            ensure!(rows == expected, "returned a gradient of {rows} rows where {expected} were expected");
            let (batch, paths) = (grad.batch() as u64, grad.path_count() as u64);
            let (input_paths, params) = (grad.input_paths as u64, grad.needs_any_param_grad());
            self.count(|cost| cost.backward(batch, paths, input_paths, params && cost.trained));
            Ok(found)
        })
    }
}

impl AnyGoal for Guarded<dyn AnyGoal> {
    fn reserved(&self) -> i64 {
        self.inner.reserved()
    }

    fn transition(&mut self, cell: &dyn Transition, x: &Tensor) -> Result<Tensor> {
        watch(&self.name, || {
            let y = self.inner.transition(cell, x)?;
            check_shape(&y, [x.size()[0], cell.outs()])?;
            Ok(y)
        })
    }

    fn act(&mut self, state: &Tensor, length: i64) -> Result<Tensor> {
        watch(&self.name, || {
            let actions = self.inner.act(state, length)?;
            check_shape(&actions, [state.size()[0], length])?;
            Ok(actions)
        })
    }

    fn loss(&mut self, input: &LossInput<'_>, loss: &mut Loss) -> Result<()> {
        watch(&self.name, || {
            self.inner.loss(input, loss)?;
            for (name, value) in loss.terms.iter().chain(&loss.metrics) {
                ensure!(
                    value.numel() == 1,
                    "the loss term '{name}' holds {} numbers instead of one",
                    value.numel()
                );
            }
            for (name, value) in &loss.terms {
                // What it was made from was finite. On a GPU this would wait for it; there the loss shows in the
                // next state.
                if value.device() == Device::Cpu {
                    let number = autograd::item(value)?;
                    ensure!(
                        number.is_finite(),
                        "the loss term '{name}' is {number}. If the goal's parameters have become such, lower the \
                         learning rate; if not, the plugin has a mistake"
                    );
                }
            }
            Ok(())
        })
    }

    fn save(&self) -> Result<Saved> {
        watch(&self.name, || self.inner.save().context("saving"))
    }

    fn restore(&mut self, saved: Saved) -> Result<()> {
        watch(&self.name, || self.inner.restore(saved).context("restoring"))
    }
}

impl AnyTrainer for Guarded<dyn AnyTrainer> {
    fn input_size(&self) -> i64 {
        self.inner.input_size()
    }

    fn step(&mut self, agent: &dyn Agent, batch: &Batch<'_>) -> Result<Tensor> {
        watch(&self.name, || {
            let states = self.inner.step(agent, batch)?;
            ensure!(
                states.size().first() == Some(&(batch.live.len() as i64)) && states.dim() == 2,
                "returned states of shape {:?} for {} live streams",
                states.size(),
                batch.live.len()
            );
            Ok(states)
        })
    }

    fn save(&self) -> Result<Saved> {
        watch(&self.name, || self.inner.save().context("saving"))
    }

    fn restore(&mut self, saved: Saved) -> Result<()> {
        watch(&self.name, || self.inner.restore(saved).context("restoring"))
    }
}

impl AnyEnvironment for Guarded<dyn AnyEnvironment> {
    fn poll(&mut self, timeout: Duration, frames: &mut dyn Frames) -> Result<()> {
        watch(&self.name, || self.inner.poll(timeout, frames))
    }

    fn act(&mut self, stream: u64, prediction: &[f32], action: &[f32]) -> Result<()> {
        watch(&self.name, || self.inner.act(stream, prediction, action))
    }

    fn picture(&self, stream: u64, observation: &[f32]) -> Result<Option<Picture>> {
        watch(&self.name, || self.inner.picture(stream, observation))
    }

    fn restores(&self) -> Restores {
        self.inner.restores()
    }

    fn save(&self) -> Result<Vec<u8>> {
        watch(&self.name, || self.inner.save().context("saving"))
    }

    fn restore(&mut self, saved: &[u8]) -> Result<()> {
        watch(&self.name, || self.inner.restore(saved).context("restoring"))
    }
}

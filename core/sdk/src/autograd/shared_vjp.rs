//! A custom VJP as one operation of autograd: forward and backward are written once, and serve both.
use super::apply::apply;
use super::data::is_contiguous_cpu_f32;
use super::op::{Context, Gradients, Op};
use super::vjp::{GradInput, GradOutput, Vjp};
use crate::Result;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tch::Tensor;

/// A custom VJP that can be recorded by autograd.
pub trait NamedVjp: Vjp + Send + 'static {
    /// Its name in error messages.
    const NAME: &'static str;
}

/// A custom VJP that its owner shares with autograd's graph, which may outlive the owner.
///
/// It is a [`Vjp`] itself, for callers that need no autograd, and [`apply`](Self::apply) makes one operation of autograd
/// of it for all others.
pub struct SharedVjp<V>(Arc<Mutex<V>>);

impl<V> Clone for SharedVjp<V> {
    fn clone(&self) -> Self {
        SharedVjp(self.0.clone())
    }
}

impl<V: NamedVjp> SharedVjp<V> {
    /// Shares `vjp`.
    pub fn new(vjp: V) -> Self {
        SharedVjp(Arc::new(Mutex::new(vjp)))
    }

    /// The VJP itself.
    pub fn lock(&self) -> MutexGuard<'_, V> {
        // A panic within leaves behind only what belongs to the layer or cell that panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `y = f(x, params)`, (batch, outs), of `x` (batch, ins), as one operation of autograd. `params` are the tensors
    /// whose gradients [`GradInput::params`] holds, in that order.
    pub fn apply(&self, x: &Tensor, params: &[Tensor]) -> Result<Tensor> {
        let copy = if is_contiguous_cpu_f32(x) { None } else { Some(x.f_contiguous()?) };
        let x = copy.as_ref().unwrap_or(x);
        let mut inputs = Vec::with_capacity(1 + params.len());
        inputs.push(x);
        inputs.extend(params);
        Ok(apply(Recorded(self.clone()), &inputs)?.remove(0))
    }
}

impl<V: NamedVjp> Vjp for SharedVjp<V> {
    fn forward(&self, x: &Tensor) -> Result<(Tensor, Vec<Tensor>)> {
        self.lock().forward(x)
    }

    fn backward(&self, saved: &[Tensor], grad: &GradOutput<'_>) -> Result<GradInput> {
        self.lock().backward(saved, grad)
    }
}

/// One evaluation. Inputs: `x`, then the parameters. Saved: what the VJP saves.
struct Recorded<V>(SharedVjp<V>);

impl<V: NamedVjp> Op for Recorded<V> {
    const NAME: &'static str = V::NAME;

    fn forward(&mut self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        let (y, saved) = self.0.forward(inputs[0])?;
        if context.differentiable() {
            context.save_all(saved);
            // The VJP has its parameters itself.
            context.expect_unchanged(1);
        }
        Ok(vec![y])
    }

    fn backward(&self, saved: &[Tensor], gradients: &Gradients<'_>) -> Result<Vec<Option<Tensor>>> {
        let params = gradients.input_count() - 1;
        let Some(grad) = gradients.of_output(0) else { return Ok(gradients.none()) };
        let grad = GradOutput {
            grad: &grad.f_contiguous()?,
            needs_param_grad: &[(1..=params).any(|i| gradients.needs_input_grad(i))],
            input_paths: usize::from(gradients.needs_input_grad(0)),
        };
        self.0.backward(saved, &grad)?.into_input_grads(gradients)
    }
}

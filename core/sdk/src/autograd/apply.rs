//! Runs an operation, and records it for the backward pass.
use super::ffi;
use super::op::{Context, Op};
use crate::{Result, ResultExt, ensure};
use tch::Tensor;

/// Runs an operation and, if grad mode is on and an input requires gradients, records it for the backward pass.
///
/// An error of forward is returned with the operation's name in front; one of backward (or a panic there) is returned
/// by the call that began the backward pass.
pub fn apply<O: Op>(mut op: O, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
    let needs_input_grad =
        if ffi::grad_enabled() { ffi::require_gradients(inputs) } else { vec![false; inputs.len()] };
    let mut context = Context { needs_input_grad, saved: Vec::new(), unchanged_from: usize::MAX };
    let outputs = {
        let _guard = tch::no_grad_guard();
        op.forward(inputs, &mut context).with_context(|| format!("operation '{}'", O::NAME))?
    };
    if !context.differentiable() {
        return Ok(outputs);
    }
    ensure!(!outputs.is_empty(), "operation '{}' has no output to differentiate", O::NAME);
    ensure!(outputs.iter().all(Tensor::defined), "operation '{}' has an undefined output", O::NAME);
    ffi::record(op, inputs, context.unchanged_from, &context.saved, outputs)
        .with_context(|| format!("operation '{}'", O::NAME))
}

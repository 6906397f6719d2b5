//! What the host checks of the tensors that a plugin returns, beside their shapes: whatever else it would take in
//! silence and compute other numbers with.
use crate::{Result, autograd, ensure};
use tch::{Kind, Tensor};

/// Refuses an answer to `x` of another shape, and what [`check_numbers`] refuses.
pub(crate) fn check_answer(y: &Tensor, x: &Tensor, expected: [i64; 2]) -> Result<()> {
    check_shape(y, expected)?;
    check_numbers(y, x)
}

/// Refuses a result of another shape.
pub(crate) fn check_shape(y: &Tensor, expected: [i64; 2]) -> Result<()> {
    if autograd::shape2(y) == Some(expected) {
        return Ok(());
    }
    let shape = y.size();
    ensure!(shape == expected, "returned a tensor of shape {shape:?} where {expected:?} was expected");
    Ok(())
}

/// Refuses an answer to `x` whose elements are no 32-bit floats, that is not dense, or that is on another device.
pub(crate) fn check_numbers(y: &Tensor, x: &Tensor) -> Result<()> {
    if autograd::is_contiguous_cpu_f32(y) && autograd::is_contiguous_cpu_f32(x) {
        return Ok(());
    }
    let kind = y.f_kind()?;
    ensure!(
        kind == Kind::Float,
        "returned a tensor of kind {kind:?} where Float was expected: whatever it computes with inside, it must \
         convert its result (`f_to_kind(Kind::Float)`)"
    );
    ensure!(!y.is_sparse(), "returned a sparse tensor where a dense one was expected: use `f_to_dense`");
    let (device, expected) = (y.device(), x.device());
    ensure!(device == expected, "returned a tensor on {device:?} where {expected:?} was expected");
    Ok(())
}

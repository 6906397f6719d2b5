//! Custom VJPs: the forward and backward of a layer or a cell, written by hand.
//!
//! A vector-Jacobian product takes the gradient of a function's outputs to that of its input and parameters.
use super::data::{OutputBuffer, rows, shape2, slice};
use super::op::Gradients;
use crate::bridge::{check_numbers, interface};
use crate::{Error, Result, ensure};
use tch::Tensor;

interface! {
    /// A custom VJP: the forward and backward of a function `y = f(x, parameters)`, without libtorch's autograd.
    ///
    /// A layer or cell that has one is asked for it first; the test kit compares it with autograd. It pays where a
    /// backward pass has several gradient paths (gradients of the same outputs that are kept apart), which it computes
    /// all at once, and where a step is so short that autograd's own work counts.
    ///
    /// Both functions are called with grad mode off and with contiguous tensors.
    pub trait Vjp in vjp as efference_abi::VjpVTable {
        /// Of `x` (batch, ins): all outputs, (batch, outs), and the saved tensors: those that
        /// [`backward`](Self::backward) needs beside the parameters. They must not be changed until then.
        shared fn forward(x: &Tensor) -> (Tensor, Vec<Tensor>), checked |result, caller| {
            let (y, rows) = (&result.0, rows(x));
            ensure!(
                shape2(y).is_some_and(|[found, _]| found == rows),
                "returned a tensor of shape {:?} for {rows} rows",
                y.size()
            );
            check_numbers(y, x)?;
            caller.forward(x, y)
        };
        /// The gradients of input and parameters, from those of the outputs and the tensors that
        /// [`forward`](Self::forward) saved. May be called several times for one forward.
        shared fn backward(saved: &[Tensor], grad: &GradOutput<'_>) -> GradInput,
            context "in its backward pass",
            checked |result, caller| {
                let rows = result.input.as_ref().map_or(0, rows);
                let expected = grad.input_paths as i64 * grad.batch();
                ensure!(rows == expected, "returned a gradient of {rows} rows where {expected} were expected");
                for found in result.input.iter().chain(result.params.iter().flatten()) {
                    check_numbers(found, grad.grad)?;
                }
                caller.backward(grad);
                Ok(())
            };
    }
}

impl Vjp for vjp::Borrowed {
    fn forward(&self, x: &Tensor) -> Result<(Tensor, Vec<Tensor>)> {
        self.0.forward(x)
    }

    fn backward(&self, saved: &[Tensor], grad: &GradOutput<'_>) -> Result<GradInput> {
        self.0.backward(saved, grad)
    }
}

/// The custom VJP of a layer or cell that had one when it was made.
///
/// # Errors
/// It has none any more.
pub fn required(vjp: Option<&dyn Vjp>) -> Result<&dyn Vjp> {
    vjp.ok_or_else(|| Error::msg("has no custom VJP any more"))
}

/// The gradients of the outputs that a backward pass starts from, along one or more gradient paths.
#[derive(Debug, Clone, Copy)]
pub struct GradOutput<'a> {
    /// (paths · batch, outs), contiguous: row `r` is a gradient of the forward pass's row `r % batch`, along path
    /// `r / batch`.
    pub grad: &'a Tensor,
    /// For each path whether it reaches the parameters; its length is the number of paths, at least 1.
    pub needs_param_grad: &'a [bool],
    /// How many paths, from the first on, reach the input: 0 to the number of paths.
    pub input_paths: usize,
}

impl GradOutput<'_> {
    /// Number of gradient paths.
    pub fn path_count(&self) -> usize {
        self.needs_param_grad.len()
    }

    /// Rows of the forward pass.
    pub fn batch(&self) -> i64 {
        rows(self.grad) / self.path_count().max(1) as i64
    }

    /// Whether any path reaches the parameters.
    pub fn needs_any_param_grad(&self) -> bool {
        self.needs_param_grad.contains(&true)
    }
}

/// The gradients that a backward pass returns.
#[derive(Debug, Default)]
pub struct GradInput {
    /// Of the input, (input_paths · batch, ins), a tensor without other handles; `None` if no path reaches the input.
    pub input: Option<Tensor>,
    /// Of the trained parameters, in the order in which they were made, each summed over the paths that reach it;
    /// `None` for one that gets no gradient. May be empty if no path reaches the parameters.
    pub params: Vec<Option<Tensor>>,
}

impl GradInput {
    /// The result of an [`Op::backward`](super::Op::backward) whose inputs are the VJP's input, then its trained
    /// parameters.
    ///
    /// # Errors
    /// The number of gradients is not that of the parameters.
    pub fn into_input_grads(self, gradients: &Gradients<'_>) -> Result<Vec<Option<Tensor>>> {
        let GradInput { input, mut params } = self;
        let count = gradients.input_count() - 1;
        if params.is_empty() {
            params.resize_with(count, || None);
        }
        ensure!(
            params.len() == count,
            "a backward pass returned the gradients of {} parameters, and there are {count}",
            params.len()
        );
        let all = std::iter::once(input).chain(params);
        Ok(all.enumerate().map(|(i, g)| g.filter(|_| gradients.needs_input_grad(i))).collect())
    }
}

/// Packs the saved tensors of several VJPs into one list; [`unpack_saved`] takes it apart again. The first tensor of
/// the list holds the lengths.
pub fn pack_saved(parts: Vec<Vec<Tensor>>) -> Result<Vec<Tensor>> {
    let mut counts = OutputBuffer::empty(&[parts.len() as i64])?;
    counts.iter_mut().zip(&parts).for_each(|(count, part)| *count = part.len() as f32);
    let mut all = Vec::with_capacity(1 + parts.iter().map(Vec::len).sum::<usize>());
    all.push(counts.into_tensor());
    parts.into_iter().for_each(|part| all.extend(part));
    Ok(all)
}

/// The parts of a list that [`pack_saved`] made.
///
/// # Errors
/// It is no such list.
pub fn unpack_saved(saved: &[Tensor]) -> Result<Vec<&[Tensor]>> {
    let lost = || Error::msg("a backward pass did not receive what the forward pass saved");
    let (counts, mut rest) = saved.split_first().ok_or_else(lost)?;
    let counts = slice(counts).map_err(|_| lost())?;
    let mut parts = Vec::with_capacity(counts.len());
    for count in counts {
        let (part, left) = rest.split_at_checked(*count as usize).ok_or_else(lost)?;
        parts.push(part);
        rest = left;
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn saved_tensors_are_packed_and_unpacked() {
        let tensors = |values: &[f32]| values.iter().map(|v| Tensor::from(*v)).collect::<Vec<_>>();
        let parts = [tensors(&[1.0, 2.0]), Vec::new(), tensors(&[3.0])];
        let packed =
            pack_saved(parts.iter().map(|p| p.iter().map(Tensor::shallow_clone).collect()).collect());
        let packed = packed.unwrap();
        let unpacked = unpack_saved(&packed).unwrap();
        assert_eq!(unpacked, parts);
        for wrong in [&packed[..3], &[]] {
            assert!(
                unpack_saved(wrong).unwrap_err().to_string().contains("did not receive what the forward")
            );
        }
    }
}

//! A transition by the cell's custom VJP: the gradient paths share forward and backward.
use super::grad_paths::{distinct_masks, fill_rows, sum_masked_rows};
use super::shared_cell::SharedCell;
use efference_sdk::autograd::{
    Context, Gradients, Op, OutputBuffer, copy_elements, required, rows, shape2, slice,
};
use efference_sdk::{GradMask, GradOutput, GradPath, Result};
use std::ops::Range;
use tch::Tensor;

/// Inputs: `x`, then the cell's parameters. Outputs: one a path. Saved: what the cell's VJP saves.
pub(super) struct TransitionByVjp {
    pub(super) cell: SharedCell,
    /// The cell's number of outputs.
    pub(super) state_size: i64,
    pub(super) paths: Vec<GradPath>,
}

/// A path of the cell's backward pass: the sum of some of the goal's.
struct SummedPath {
    /// Which features of the input it reaches; `None`: it reaches the parameters alone.
    mask: Option<GradMask>,
    needs_param_grad: bool,
    /// Which of the goal's paths it is the sum of.
    of: Vec<usize>,
}

impl TransitionByVjp {
    /// As few paths as keep apart what has to be; those that reach the input come first.
    ///
    /// Gradients with the same mask are summed. So are their gradients of the parameters, unless some of the paths are
    /// frozen: then the others reach the parameters along a path of their own.
    fn summed_paths(&self, gradients: &Gradients<'_>) -> Vec<SummedPath> {
        let given: Vec<usize> = (0..self.paths.len()).filter(|i| gradients.of_output(*i).is_some()).collect();
        let needs_params = (1..gradients.input_count()).any(|i| gradients.needs_input_grad(i));
        let trains = |i: &usize| needs_params && !self.paths[*i].frozen;
        let (mut summed, mut apart) = (Vec::new(), Vec::new());
        if gradients.needs_input_grad(0) {
            for mask in distinct_masks(&self.paths) {
                let of: Vec<usize> = given.iter().copied().filter(|i| self.paths[*i].mask == mask).collect();
                if of.is_empty() {
                    continue;
                }
                let needs_param_grad = of.iter().all(trains);
                if !needs_param_grad {
                    apart.extend(of.iter().copied().filter(|i| trains(i)));
                }
                summed.push(SummedPath { mask: Some(mask), needs_param_grad, of });
            }
        } else {
            apart.extend(given.iter().copied().filter(|i| trains(i)));
        }
        if !apart.is_empty() {
            summed.push(SummedPath { mask: None, needs_param_grad: true, of: apart });
        }
        summed
    }

    /// The gradient of all outputs along these paths, (paths · batch, outs).
    fn grad_of_outputs(
        &self,
        summed: &[SummedPath],
        gradients: &Gradients<'_>,
        batch: i64,
    ) -> Result<Tensor> {
        if let ([SummedPath { of, .. }], [GradPath { outs, .. }]) = (summed, &self.paths[..])
            && *outs == (0..self.state_size)
            && let Some(g) = of.first().and_then(|i| gradients.of_output(*i))
        {
            return Ok(g.f_contiguous()?);
        }
        let width = self.state_size as usize;
        let mut all = OutputBuffer::empty(&[summed.len() as i64 * batch, self.state_size])?;
        let of_paths = all.chunks_exact_mut((batch as usize * width).max(1));
        for (path, rows) in summed.iter().zip(of_paths) {
            let given = path.of.iter().filter_map(|i| Some((&self.paths[*i].outs, gradients.of_output(*i)?)));
            fill_rows(rows, width, &given.collect::<Vec<_>>())?;
        }
        Ok(all.into_tensor())
    }
}

impl Op for TransitionByVjp {
    const NAME: &'static str = "transition";

    fn forward(&mut self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        let cell = self.cell.lock();
        let (y, saved) = required(cell.vjp())?.forward(&inputs[0].f_contiguous()?)?;
        if context.differentiable() {
            context.save_all(saved);
            // The cell has its parameters itself.
            context.expect_unchanged(1);
        }
        let all = 0..shape2(&y).map_or(0, |[_, outs]| outs);
        if let [GradPath { outs, .. }] = &self.paths[..]
            && *outs == all
        {
            return Ok(vec![y]);
        }
        self.paths.iter().map(|path| copied(&y, &path.outs)).collect()
    }

    fn backward(&self, saved: &[Tensor], gradients: &Gradients<'_>) -> Result<Vec<Option<Tensor>>> {
        let summed = self.summed_paths(gradients);
        if summed.is_empty() {
            return Ok(gradients.none());
        }
        let cell = self.cell.lock();
        let batch = summed[0].of.first().and_then(|i| gradients.of_output(*i)).map_or(0, rows);
        let needs_param_grad: Vec<bool> = summed.iter().map(|path| path.needs_param_grad).collect();
        let masks: Vec<GradMask> = summed.iter().filter_map(|path| path.mask).collect();
        let grad = GradOutput {
            grad: &self.grad_of_outputs(&summed, gradients, batch)?,
            needs_param_grad: &needs_param_grad,
            input_paths: masks.len(),
        };
        let mut found = required(cell.vjp())?.backward(saved, &grad)?;
        let input = found.input.take().filter(|_| !masks.is_empty());
        found.input = input.map(|rows| sum_masked_rows(&masks, rows, batch)).transpose()?;
        found.into_input_grads(gradients)
    }
}

/// These columns of `y` (batch, outs), as a tensor of their own.
fn copied(y: &Tensor, outs: &Range<i64>) -> Result<Tensor> {
    let (y, length) = (y.f_contiguous()?, outs.end - outs.start);
    let mut copy = OutputBuffer::empty(&[rows(&y), length])?;
    if length > 0 {
        let width = shape2(&y).map_or(1, |[_, width]| width.max(1)) as usize;
        let from = slice(&y)?.chunks_exact(width).zip(copy.chunks_exact_mut(length as usize));
        from.for_each(|(row, copy)| copy_elements(&row[outs.start as usize..outs.end as usize], copy));
    }
    Ok(copy.into_tensor())
}

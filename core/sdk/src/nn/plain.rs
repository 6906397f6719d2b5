//! Networks that are matrices and nothing else, computed as a whole.
//!
//! What such a network takes by way of its layers is mostly not arithmetic: each layer is called over the boundary of a
//! plugin, twice, and each number in between is a tensor's, whose making takes as long as a product with a matrix of 16 × 64. Here
//! the weights are read where they lie, and nothing else is a tensor.
use super::activation::{activate_rows, activate_rows_backward};
use super::product;
use crate::autograd::{OutputBuffer, count, is_contiguous_cpu_f32, matrix, shape2, slice};
use crate::{GradInput, Layer, Result, ensure};
use tch::Tensor;

/// `x → [matrix → LayerNorm → LeakyReLU] × … → matrix (→ LayerNorm → LeakyReLU)`
#[derive(Debug)]
pub(super) struct Plain {
    matrices: Vec<Matrix>,
    activate_last: bool,
}

/// `y = x · weightᵀ + bias`
#[derive(Debug)]
struct Matrix {
    /// (outs, ins)
    weight: Tensor,
    /// (outs)
    bias: Option<Tensor>,
    ins: usize,
    outs: usize,
}

/// A forward pass, as the backward pass needs it. All numbers of a kind lie in one piece: to get a cleared block of memory takes some 300
/// instructions, for each matrix.
#[derive(Debug, Default)]
pub(super) struct PlainPass {
    /// What went into each matrix, row by row, one matrix after the other; behind them what came out of the network if that was
    /// activated.
    inputs: Vec<f32>,
    /// What each row was divided by, inverted, of one LayerNorm after the other.
    scales: Vec<f32>,
}

impl Plain {
    /// The network of these layers, if each says that it is a matrix, small enough, and `trained` are all its parameters in
    /// their order.
    pub(super) fn new(
        layers: &[(Box<dyn Layer>, i64)],
        trained: &[Tensor],
        activate_last: bool,
    ) -> Result<Option<Self>> {
        let mut matrices = Vec::with_capacity(layers.len());
        for (layer, _) in layers {
            let mut parts = layer.matrix()?.into_iter();
            let (Some(weight), bias) = (parts.next(), parts.next()) else { return Ok(None) };
            let Some([outs, ins]) = shape2(&weight) else { return Ok(None) };
            let (ins, outs) = (ins as usize, outs as usize);
            let fits = bias.as_ref().is_none_or(|bias| count(bias) == outs);
            if !fits || !product::is_small(1, ins, outs) {
                return Ok(None);
            }
            matrices.push(Matrix { weight, bias, ins, outs });
        }
        let meet = matrices.windows(2).all(|pair| pair[0].outs == pair[1].ins);
        let plain = Plain { matrices, activate_last };
        let same = |(a, b): (&Tensor, &Tensor)| a.data_ptr() == b.data_ptr() && is_contiguous_cpu_f32(a);
        let all = plain.parameters().count() == trained.len() && plain.parameters().zip(trained).all(same);
        Ok((meet && all).then_some(plain))
    }

    /// Whether this file computes what the network returns of `x`.
    pub(super) fn takes(&self, x: &Tensor) -> bool {
        let (Some([rows, columns]), Some(first)) = (shape2(x), self.matrices.first()) else { return false };
        columns == first.ins as i64
            && self.matrices.iter().all(|m| product::is_small(rows as usize, m.ins, m.outs))
    }

    /// Of `x` (rows, ins): (rows, outs); and what the backward pass needs.
    pub(super) fn forward(&self, x: &[f32], rows: usize) -> Result<(Tensor, PlainPass)> {
        let width = x.len() / rows + self.matrices.iter().map(|m| m.outs).sum::<usize>();
        let mut inputs = Vec::with_capacity(rows * width);
        let mut scales = Vec::with_capacity(rows * self.matrices.len());
        inputs.extend_from_slice(x);
        let mut input = 0;
        for (i, Matrix { weight, bias, ins, outs }) in self.matrices.iter().enumerate() {
            let output = inputs.len();
            inputs.resize(output + rows * outs, 0.0);
            let (before, y) = inputs.split_at_mut(output);
            let bias = bias.as_ref().map(slice).transpose()?;
            product::forward(&before[input..], slice(weight)?, bias, y, *ins);
            if i + 1 < self.matrices.len() || self.activate_last {
                activate_rows(y, *outs, &mut scales);
            }
            input = output;
        }
        let y = matrix(rows, &inputs[input..])?;
        if !self.activate_last {
            inputs.truncate(input);
        }
        Ok((y, PlainPass { inputs, scales }))
    }

    /// The gradients of all parameters, and of `x` if `to_input`, from those of the outputs.
    pub(super) fn backward(&self, pass: &PlainPass, grad: &[f32], to_input: bool) -> Result<GradInput> {
        let buffers = self.parameters().map(OutputBuffer::shaped_like);
        let mut buffers = buffers.collect::<Result<Vec<_>>>()?;
        let mut rest = buffers.iter_mut();
        let next = |_: &Tensor| rest.next_back().map_or(&mut [][..], |buffer| &mut buffer[..]);
        let input = self.backward_into(pass, grad, to_input, next)?;
        let params = buffers.into_iter().map(|buffer| Some(buffer.into_tensor())).collect();
        Ok(GradInput { input, params })
    }

    /// The gradients of all parameters as one tensor, as [`crate::split_elements`] takes it apart.
    pub(super) fn elements_of_backward(&self, pass: &PlainPass, grad: &[f32]) -> Result<Tensor> {
        let mut elements = OutputBuffer::empty(&[self.parameters().map(count).sum::<usize>() as i64])?;
        let mut rest = &mut elements[..];
        let next = |parameter: &Tensor| {
            let all = std::mem::take(&mut rest);
            let (before, own) = all.split_at_mut(all.len() - count(parameter));
            rest = before;
            own
        };
        self.backward_into(pass, grad, false, next)?;
        Ok(elements.into_tensor())
    }

    /// Weight and bias of each matrix, in the order in which they were made.
    fn parameters(&self) -> impl Iterator<Item = &Tensor> {
        self.matrices.iter().flat_map(|m| std::iter::once(&m.weight).chain(&m.bias))
    }

    /// Writes the gradients of all parameters, and returns that of `x` if `to_input`. `next` says where that of a parameter
    /// goes, and is asked from the last one to the first.
    fn backward_into<'a>(
        &self,
        pass: &PlainPass,
        grad: &[f32],
        to_input: bool,
        mut next: impl FnMut(&Tensor) -> &'a mut [f32],
    ) -> Result<Option<Tensor>> {
        let Some(last) = self.matrices.last() else { return Ok(None) };
        let rows = grad.len() / last.outs;
        let of_outputs = if self.activate_last { last.outs } else { 0 };
        ensure!(
            pass.inputs.len() == rows * (self.matrices.iter().map(|m| m.ins).sum::<usize>() + of_outputs),
            "the gradient of a network's outputs has {rows} rows, and its inputs had another number of them"
        );
        let (mut inputs, mut scales) = (&pass.inputs[..], &pass.scales[..]);
        let widest = self.matrices.iter().map(|m| m.ins).max().unwrap_or_default();
        let mut g = Vec::with_capacity(rows * widest.max(last.outs));
        g.extend_from_slice(grad);
        let mut of_input = Vec::with_capacity(rows * widest);
        if self.activate_last {
            let output = take_last(&mut inputs, grad.len());
            activate_rows_backward(&mut g, output, take_last(&mut scales, rows), last.outs);
        }
        for (i, Matrix { weight, bias, ins, .. }) in self.matrices.iter().enumerate().rev() {
            let input = take_last(&mut inputs, rows * ins);
            let of_bias = bias.as_ref().map_or(&mut [][..], |bias| next(bias));
            let of_weight = next(weight);
            product::to_parameters(&g, input, *ins, of_weight, of_bias, true);
            if i == 0 && !to_input {
                break;
            }
            of_input.resize(rows * ins, 0.0);
            product::to_input(&g, slice(weight)?, &mut of_input, *ins);
            if i == 0 {
                return Ok(Some(matrix(rows, &of_input)?));
            }
            activate_rows_backward(&mut of_input, input, take_last(&mut scales, rows), *ins);
            std::mem::swap(&mut g, &mut of_input);
        }
        Ok(None)
    }
}

/// Takes the last `n` off.
fn take_last<'a>(all: &mut &'a [f32], n: usize) -> &'a [f32] {
    let (before, last) = all.split_at(all.len() - n);
    *all = before;
    last
}

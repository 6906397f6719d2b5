//! Networks that are matrices and nothing else, computed as a whole.
//!
//! What such a network takes by way of its layers is mostly not arithmetic: each layer is called over the boundary of a
//! plugin, twice, and each number in between is a tensor's, whose making takes as long as a product with a matrix of 16 × 64. Here
//! the weights are read where they lie, and nothing else is a tensor.
use super::activation::{activate_rows, activate_rows_backward};
use super::product;
use crate::autograd::{OutputBuffer, count, is_contiguous_cpu_f32, matrix, shape2, slice};
use crate::{GradInput, Layer, Result};
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

/// A forward pass, as the backward pass needs it.
#[derive(Debug, Default)]
pub(super) struct PlainPass {
    /// What went into each matrix, row by row; behind them what came out of the network if that was activated.
    inputs: Vec<Vec<f32>>,
    /// Of each LayerNorm, what each row was divided by, inverted.
    scales: Vec<Vec<f32>>,
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

    /// Of `x` (rows, ins): (rows, outs); and if it is to be kept, what the backward pass needs.
    pub(super) fn forward(&self, x: &[f32], keep: bool) -> Result<(Vec<f32>, PlainPass)> {
        let mut pass = PlainPass::default();
        let mut x = x.to_vec();
        for (i, Matrix { weight, bias, ins, outs }) in self.matrices.iter().enumerate() {
            let mut y = vec![0.0; x.len() / ins * outs];
            let bias = bias.as_ref().map(slice).transpose()?;
            product::forward(&x, slice(weight)?, bias, &mut y, *ins);
            if i + 1 < self.matrices.len() || self.activate_last {
                let scales = activate_rows(&mut y, *outs);
                if keep {
                    pass.scales.push(scales);
                }
            }
            if keep {
                pass.inputs.push(x);
            }
            x = y;
        }
        if keep && self.activate_last {
            pass.inputs.push(x.clone());
        }
        Ok((x, pass))
    }

    /// The gradients of all parameters, and of `x` if `to_input`, from those of the outputs.
    pub(super) fn backward(&self, pass: &PlainPass, grad: &[f32], to_input: bool) -> Result<GradInput> {
        let buffers = self.parameters().map(OutputBuffer::shaped_like);
        let mut buffers = buffers.collect::<Result<Vec<_>>>()?;
        let input = self.backward_into(pass, grad, to_input, buffers.iter_mut().map(|b| &mut b[..]))?;
        let params = buffers.into_iter().map(|buffer| Some(buffer.into_tensor())).collect();
        Ok(GradInput { input, params })
    }

    /// The gradients of all parameters as one tensor, as [`crate::split_elements`] takes it apart.
    pub(super) fn elements_of_backward(&self, pass: &PlainPass, grad: &[f32]) -> Result<Tensor> {
        let mut elements = OutputBuffer::empty(&[self.parameters().map(count).sum::<usize>() as i64])?;
        let mut rest = &mut elements[..];
        let buffers = self.parameters().map(|p| {
            let (own, behind) = std::mem::take(&mut rest).split_at_mut(count(p));
            rest = behind;
            own
        });
        self.backward_into(pass, grad, false, buffers.collect::<Vec<_>>().into_iter())?;
        Ok(elements.into_tensor())
    }

    /// Weight and bias of each matrix, in the order in which they were made.
    fn parameters(&self) -> impl Iterator<Item = &Tensor> {
        self.matrices.iter().flat_map(|m| std::iter::once(&m.weight).chain(&m.bias))
    }

    /// Writes the gradients of all parameters, and returns that of `x` if `to_input`.
    fn backward_into<'a>(
        &self,
        pass: &PlainPass,
        grad: &[f32],
        to_input: bool,
        mut buffers: impl DoubleEndedIterator<Item = &'a mut [f32]>,
    ) -> Result<Option<Tensor>> {
        let mut g = grad.to_vec();
        if self.activate_last
            && let (Some(output), Some(scales), Some(last)) =
                (pass.inputs.last(), pass.scales.last(), self.matrices.last())
        {
            activate_rows_backward(&mut g, output, scales, last.outs);
        }
        for (i, Matrix { weight, bias, ins, outs }) in self.matrices.iter().enumerate().rev() {
            let of_bias = bias.as_ref().and_then(|_| buffers.next_back()).unwrap_or_default();
            let of_weight = buffers.next_back().unwrap_or_default();
            product::to_parameters(&g, &pass.inputs[i], *ins, of_weight, of_bias, true);
            if i == 0 && !to_input {
                break;
            }
            let rows = g.len() / outs;
            let mut of_input = vec![0.0; rows * ins];
            product::to_input(&g, slice(weight)?, &mut of_input, *ins);
            if i > 0 {
                activate_rows_backward(&mut of_input, &pass.inputs[i], &pass.scales[i - 1], *ins);
            } else {
                return Ok(Some(matrix(rows, &of_input)?));
            }
            g = of_input;
        }
        Ok(None)
    }
}

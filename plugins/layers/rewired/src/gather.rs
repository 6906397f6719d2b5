//! The sum over each output's inputs, and its gradients: plain loops on the CPU, libtorch's operations elsewhere.
use efference_sdk::autograd::{NamedVjp, OutputBuffer, rows, slice};
use efference_sdk::tch::{Kind, Tensor};
use efference_sdk::{GradInput, GradOutput, Result, Size, Vjp, bail};
use std::ops::Range;

/// `y[o] = Σ_j weight[o, j] · x[inputs[o, j]] + bias[o]`
pub(super) struct Gather {
    pub(super) size: Size,
    pub(super) fan_in: i64,
    /// (outs, fan_in)
    pub(super) weight: Tensor,
    /// (outs)
    pub(super) bias: Option<Tensor>,
    /// (outs, fan_in), 32-bit integers
    pub(super) inputs: Tensor,
}

impl Gather {
    /// Weight, then bias if there is one.
    pub(super) fn params(&self) -> Vec<Tensor> {
        [Some(&self.weight), self.bias.as_ref()].into_iter().flatten().map(Tensor::shallow_clone).collect()
    }

    /// The same by operations that autograd records, on any device: (rows, outs.len()).
    pub(super) fn by_libtorch(&self, x: &Tensor, outs: &Range<i64>) -> Result<Tensor> {
        let count = outs.end - outs.start;
        let some = |t: &Tensor| t.f_narrow(0, outs.start, count);
        let seen = x.f_index_select(1, &some(&self.inputs)?.f_reshape([-1])?)?;
        let seen = seen.f_view([x.size()[0], count, self.fan_in])?;
        let y = seen.f_mul(&some(&self.weight)?)?.f_sum_dim_intlist(&[2i64][..], false, Kind::Float)?;
        Ok(match &self.bias {
            Some(bias) => y.f_add(&some(bias)?)?,
            None => y,
        })
    }

    fn numbers(&self, inputs: &Tensor) -> Result<Vec<i32>> {
        Ok(inputs.f_reshape([-1])?.try_into()?)
    }
}

impl NamedVjp for Gather {
    const NAME: &'static str = "rewired";
}

impl Vjp for Gather {
    /// Saved: `x`, and the inputs as they are now.
    fn forward(&self, x: &Tensor) -> Result<(Tensor, Vec<Tensor>)> {
        let Size { ins, outs } = self.size;
        let (weight, inputs) = (slice(&self.weight)?, self.numbers(&self.inputs)?);
        let bias = self.bias.as_ref().map(slice).transpose()?;
        let mut y = OutputBuffer::empty(&[rows(x), outs])?;
        let fan_in = self.fan_in as usize;
        for (x, y) in slice(x)?.chunks_exact(ins as usize).zip(y.chunks_exact_mut(outs as usize)) {
            let connections = weight.chunks_exact(fan_in).zip(inputs.chunks_exact(fan_in));
            for (y, (weight, inputs)) in y.iter_mut().zip(connections) {
                *y = sum(weight, inputs, x);
            }
            if let Some(bias) = bias {
                y.iter_mut().zip(bias).for_each(|(y, bias)| *y += bias);
            }
        }
        Ok((y.into_tensor(), vec![x.shallow_clone(), self.inputs.shallow_clone()]))
    }

    /// `g_weight[o, j] = Σ g[o] · x[inputs[o, j]]`, `g_bias = Σ g`, and `g_x[i]` gathers `g[o] · weight[o, j]` of all connections
    /// whose input is `i`.
    fn backward(&self, saved: &[Tensor], grad: &GradOutput<'_>) -> Result<GradInput> {
        let [x, inputs] = saved else { bail!("rewired did not receive what it saved") };
        let Size { ins, outs } = self.size;
        let (ins, outs, fan_in) = (ins as usize, outs as usize, self.fan_in as usize);
        let (batch, inputs) = (grad.batch() as usize, self.numbers(inputs)?);
        let (x, g, weight) = (slice(x)?, slice(grad.grad)?, slice(&self.weight)?);
        let mut found = GradInput::default();
        if grad.input_paths > 0 {
            let rows = grad.input_paths * batch;
            let mut g_x = OutputBuffer::zeros(&[rows as i64, ins as i64])?;
            for (g, g_x) in g.chunks_exact(outs).zip(g_x.chunks_exact_mut(ins)) {
                let connections = weight.chunks_exact(fan_in).zip(inputs.chunks_exact(fan_in));
                for (g, (weight, inputs)) in g.iter().zip(connections) {
                    weight.iter().zip(inputs).for_each(|(w, input)| g_x[*input as usize] += g * w);
                }
            }
            found.input = Some(g_x.into_tensor());
        }
        if grad.needs_any_param_grad() {
            let mut g_weight = OutputBuffer::zeros(&[outs as i64, fan_in as i64])?;
            let mut g_bias = OutputBuffer::zeros(&[if self.bias.is_some() { outs as i64 } else { 0 }])?;
            let paths = g.chunks_exact((batch * outs).max(1)).zip(grad.needs_param_grad);
            for (g, _) in paths.filter(|(_, reaches)| **reaches) {
                for (g, x) in g.chunks_exact(outs).zip(x.chunks_exact(ins)) {
                    let connections = g_weight.chunks_exact_mut(fan_in).zip(inputs.chunks_exact(fan_in));
                    for (g, (g_weight, inputs)) in g.iter().zip(connections) {
                        g_weight.iter_mut().zip(inputs).for_each(|(w, input)| *w += g * x[*input as usize]);
                    }
                    g_bias.iter_mut().zip(g).for_each(|(bias, g)| *bias += g);
                }
            }
            found.params.push(Some(g_weight.into_tensor()));
            found.params.extend(self.bias.is_some().then(|| Some(g_bias.into_tensor())));
        }
        Ok(found)
    }
}

/// `Σ_j weight[j] · x[inputs[j]]`, in four sums: one alone would wait for each addition.
fn sum(weight: &[f32], inputs: &[i32], x: &[f32]) -> f32 {
    let mut sums = [0.0f32; 4];
    for (weight, inputs) in weight.chunks(4).zip(inputs.chunks(4)) {
        for (sum, (w, input)) in sums.iter_mut().zip(weight.iter().zip(inputs)) {
            *sum += w * x[*input as usize];
        }
    }
    (sums[0] + sums[1]) + (sums[2] + sums[3])
}

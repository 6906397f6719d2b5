//! A full matrix.
use super::product;
use super::shape::check_forward;
use crate::autograd::{NamedVjp, OutputBuffer, SharedVjp, is_contiguous_cpu_f32, shape2, slice};
use crate::{
    Edge, GradInput, GradOutput, Layer, Params, Result, Saved, Size, Stage, Vjp, WeightLayout, bail, ensure,
};
use std::ops::Range;
use tch::{Device, Kind, Tensor};

/// A layer that is a full matrix. Its parameters are `weight`, (outs, ins), and `bias`, (outs).
///
/// Weights begin normally distributed with deviation `gain / √ins`, which keeps the deviation of standard normal
/// numbers for a gain of 1 (LeCun et al., "Efficient BackProp", 1998), biases at zero.
pub struct Matrix {
    size: Size,
    linear: SharedVjp<Linear>,
    /// Those of `linear`, in its order.
    params: Vec<Tensor>,
    /// Whether the experiment trains them.
    trained: bool,
}

/// `y = x · weightᵀ + bias`, of `x` (batch, ins): (batch, outs).
struct Linear {
    /// (outs, ins)
    weight: Tensor,
    /// (outs)
    bias: Option<Tensor>,
}

impl Matrix {
    /// Of this size, with a bias or without, in `params`.
    ///
    /// # Errors
    /// A gain that is not finite.
    pub fn new(size: Size, bias: bool, gain: f64, params: &Params<'_>) -> Result<Self> {
        let deviation = gain / (size.ins as f64).sqrt();
        ensure!(deviation.is_finite(), "gain must be a finite number, and is {gain}");
        let weight = params.normal("weight", &[size.outs, size.ins], deviation)?;
        let bias = if bias { Some(params.normal("bias", &[size.outs], 0.0)?) } else { None };
        let trained = weight.requires_grad();
        let linear = Linear { weight, bias };
        Ok(Matrix { size, params: linear.params(), linear: SharedVjp::new(linear), trained })
    }
}

impl Layer for Matrix {
    fn forward(&self, x: &Tensor, outs: Range<i64>) -> Result<Tensor> {
        check_forward("dense", self.size, x, &outs)?;
        if outs == (0..self.size.outs) {
            return self.linear.apply(x, &self.params);
        }
        let rows = self.linear.lock().rows(&outs)?;
        let params = rows.params();
        SharedVjp::new(rows).apply(x, &params)
    }

    fn vjp(&self) -> Option<&dyn Vjp> {
        self.trained.then_some(&self.linear)
    }

    fn multiply_accumulates(&self) -> Result<Option<u64>> {
        Ok(Some((self.size.ins as u64).saturating_mul(self.size.outs as u64)))
    }

    fn weights(&self) -> Result<Vec<WeightLayout>> {
        Ok(vec![WeightLayout { name: "weight".to_owned(), input_dims: vec![1] }])
    }

    fn connections(&self) -> Result<Vec<Stage>> {
        let Size { ins, outs } = self.size;
        let edges =
            (0..ins).flat_map(|from| (0..outs).map(move |to| Edge { from, to, weight: to * ins + from }));
        Ok(vec![Stage { nodes: self.size, edges: edges.collect() }])
    }

    fn matrix(&self) -> Result<Vec<Tensor>> {
        let params = self.params.iter().filter(|_| self.trained);
        Ok(params.map(Tensor::shallow_clone).collect())
    }

    fn units(&self) -> Result<Saved> {
        let outs = self.size.outs;
        let each = Tensor::f_arange(outs, (Kind::Int64, Device::Cpu))?;
        let mut units = vec![("weight".to_owned(), each.f_view([outs, 1])?)];
        if self.linear.lock().bias.is_some() {
            units.push(("bias".to_owned(), each));
        }
        Ok(units)
    }
}

impl Linear {
    /// Weight, then bias if there is one.
    fn params(&self) -> Vec<Tensor> {
        [Some(&self.weight), self.bias.as_ref()].into_iter().flatten().map(Tensor::shallow_clone).collect()
    }

    /// The map to the outputs `outs` alone, as views of the parameters.
    fn rows(&self, outs: &Range<i64>) -> Result<Linear> {
        let rows = |t: &Tensor| t.f_narrow(0, outs.start, outs.end - outs.start);
        Ok(Linear { weight: rows(&self.weight)?, bias: self.bias.as_ref().map(rows).transpose()? })
    }
}

impl NamedVjp for Linear {
    const NAME: &'static str = "dense";
}

impl Vjp for Linear {
    /// Saved: `x`.
    fn forward(&self, x: &Tensor) -> Result<(Tensor, Vec<Tensor>)> {
        let y = match self.forward_here(x)? {
            Some(y) => y,
            None => x.f_linear(&self.weight, self.bias.as_ref())?,
        };
        Ok((y, vec![x.shallow_clone()]))
    }

    /// `g_x = g · weight`, `g_weight = gᵀ · x`, `g_bias = Σ g`.
    fn backward(&self, saved: &[Tensor], grad: &GradOutput<'_>) -> Result<GradInput> {
        let [x] = saved else { bail!("dense did not receive what it saved") };
        match self.backward_here(x, grad)? {
            Some(found) => Ok(found),
            None => self.backward_by_libtorch(x, grad),
        }
    }
}

impl Linear {
    /// Inputs and outputs.
    fn size(&self) -> Result<[usize; 2]> {
        match shape2(&self.weight) {
            Some([outs, ins]) => Ok([ins as usize, outs as usize]),
            None => bail!("a weight of shape {:?} is no matrix", self.weight.size()),
        }
    }

    /// The forward pass of a small product; `None` of another one, or of tensors that are no plain memory.
    fn forward_here(&self, x: &Tensor) -> Result<Option<Tensor>> {
        let ([ins, outs], Some([rows, columns])) = (self.size()?, shape2(x)) else { return Ok(None) };
        let all = [Some(x), Some(&self.weight), self.bias.as_ref()];
        let plain = all.into_iter().flatten().all(is_contiguous_cpu_f32);
        if !plain || columns != ins as i64 || !product::is_small(rows as usize, ins, outs) {
            return Ok(None);
        }
        let bias = self.bias.as_ref().map(slice).transpose()?;
        let mut y = OutputBuffer::empty(&[rows, outs as i64])?;
        product::forward(slice(x)?, slice(&self.weight)?, bias, &mut y, ins);
        Ok(Some(y.into_tensor()))
    }

    /// The same of the backward pass.
    fn backward_here(&self, x: &Tensor, grad: &GradOutput<'_>) -> Result<Option<GradInput>> {
        let ([ins, outs], Some([rows, columns])) = (self.size()?, shape2(grad.grad)) else { return Ok(None) };
        let plain = [x, grad.grad, &self.weight].into_iter().all(is_contiguous_cpu_f32);
        let fits = columns == outs as i64 && shape2(x) == Some([grad.batch(), ins as i64]);
        if !plain || !fits || !product::is_small(rows as usize, ins, outs) {
            return Ok(None);
        }
        let (batch, g, x) = (grad.batch() as usize, slice(grad.grad)?, slice(x)?);
        let mut found = GradInput::default();
        if grad.input_paths > 0 {
            let rows = grad.input_paths * batch;
            let mut input = OutputBuffer::empty(&[rows as i64, ins as i64])?;
            product::to_input(&g[..rows * outs], slice(&self.weight)?, &mut input, ins);
            found.input = Some(input.into_tensor());
        }
        if grad.needs_any_param_grad() {
            let mut weight = OutputBuffer::empty(&[outs as i64, ins as i64])?;
            let of_bias = if self.bias.is_some() { outs as i64 } else { 0 };
            let mut bias = OutputBuffer::empty(&[of_bias])?;
            let mut first = true;
            let paths = g.chunks_exact(batch * outs).zip(grad.needs_param_grad);
            for (g, _) in paths.filter(|(_, reaches)| **reaches) {
                product::to_parameters(g, x, ins, &mut weight, &mut bias, first);
                first = false;
            }
            found.params.push(Some(weight.into_tensor()));
            found.params.extend(self.bias.is_some().then(|| Some(bias.into_tensor())));
        }
        Ok(Some(found))
    }

    /// The gradients of the parameters are linear in `g`, so the paths that reach them are summed first.
    fn backward_by_libtorch(&self, x: &Tensor, grad: &GradOutput<'_>) -> Result<GradInput> {
        let input = match grad.input_paths as i64 {
            0 => None,
            paths => Some(grad.grad.f_narrow(0, 0, paths * grad.batch())?.f_matmul(&self.weight)?),
        };
        let paths = grad.grad.f_split(grad.batch(), 0)?;
        let mut sum: Option<Tensor> = None;
        for (path, _) in paths.iter().zip(grad.needs_param_grad).filter(|(_, reaches)| **reaches) {
            sum = Some(match sum {
                Some(sum) => sum.f_add(path)?,
                None => path.shallow_clone(),
            });
        }
        let Some(g) = sum else { return Ok(GradInput { input, params: Vec::new() }) };
        let mut params = vec![Some(g.f_tr()?.f_matmul(x)?)];
        if self.bias.is_some() {
            let rows: &[i64] = &[0];
            params.push(Some(g.f_sum_dim_intlist(rows, false, Kind::Float)?));
        }
        Ok(GradInput { input, params })
    }
}

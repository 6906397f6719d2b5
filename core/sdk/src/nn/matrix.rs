//! A full matrix.
use super::shape::check_forward;
use crate::autograd::{NamedVjp, SharedVjp};
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
        Ok((x.f_linear(&self.weight, self.bias.as_ref())?, vec![x.shallow_clone()]))
    }

    /// `g_x = g · weight`, `g_weight = gᵀ · x`, `g_bias = Σ g`. The gradients of the parameters are linear in `g`, so the
    /// paths that reach them are summed first.
    fn backward(&self, saved: &[Tensor], grad: &GradOutput<'_>) -> Result<GradInput> {
        let [x] = saved else { bail!("dense did not receive what it saved") };
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

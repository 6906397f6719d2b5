//! The layer's custom VJP over tensors.
use super::plan::{GradientsOut, Parameters, Plan};
use efference_sdk::autograd::{
    NamedVjp, OutputBuffer, is_contiguous_cpu_f32, rows, shape2, slice, slice_in_memory_order, threads,
};
use efference_sdk::{GradInput, GradOutput, Result, Vjp, bail, ensure, tch};
use tch::{Device, Kind, Tensor};

/// Whether the kernels can work on tensors like this one: f32 on the CPU.
pub fn fits(tensor: &Tensor) -> bool {
    tensor.kind() == Kind::Float && tensor.device() == Device::Cpu
}

/// A plan, with the parameters to carry it out with.
#[derive(Debug)]
pub struct Native {
    plan: Plan,
    /// Of each sub-layer.
    weights: Vec<Tensor>,
    /// Of each sub-layer, or none.
    biases: Vec<Tensor>,
}

impl Native {
    /// Shares the parameters: each sub-layer's weights, followed, if `biased`, by its biases; all of them lie in memory
    /// as [`lay_out`] does it. Parameters that are only counted lie nowhere, and nothing is computed with them.
    pub fn new(plan: Plan, parameters: &[Tensor], biased: bool, only_counts: bool) -> Result<Self> {
        let each = if biased { 2 } else { 1 };
        for (i, p) in parameters.iter().enumerate().filter(|_| !only_counts) {
            let as_it_lies = p.f_detach()?.f_permute(axes(&plan.order(i / each)))?;
            ensure!(as_it_lies.is_contiguous(), "a parameter of shape {:?} lies wrong in memory", p.size());
        }
        let of_kind = |first: usize| parameters.iter().skip(first).step_by(each).map(Tensor::shallow_clone);
        let biases = if biased { of_kind(1).collect() } else { Vec::new() };
        Ok(Native { plan, weights: of_kind(0).collect(), biases })
    }

    /// Calls `f` with the parameters as slices.
    fn with<R>(&self, f: impl FnOnce(&Parameters<'_>) -> Result<R>) -> Result<R> {
        let (weights, biases) = (slices(&self.weights)?, slices(&self.biases)?);
        f(&Parameters { weights: &weights, biases: &biases })
    }
}

fn slices(tensors: &[Tensor]) -> Result<Vec<&[f32]>> {
    let mut slices = Vec::with_capacity(tensors.len());
    for tensor in tensors {
        slices.push(slice_in_memory_order(tensor)?);
    }
    Ok(slices)
}

/// Places for the gradients of these parameters.
fn gradients_of(parameters: &[Tensor]) -> Result<Vec<OutputBuffer>> {
    let mut gradients = Vec::with_capacity(parameters.len());
    for parameter in parameters {
        gradients.push(OutputBuffer::empty_like(parameter)?);
    }
    Ok(gradients)
}

fn elements_of(gradients: &mut [OutputBuffer]) -> Vec<&mut [f32]> {
    gradients.iter_mut().map(|gradient| &mut **gradient).collect()
}

/// A parameter with these numbers whose dims lie in memory as the plan wants them for sub-layer `t`.
pub fn lay_out(plan: &Plan, t: usize, numbers: &Tensor) -> Result<Tensor> {
    let order = plan.order(t);
    Ok(numbers.f_permute(axes(&order))?.f_contiguous()?.f_permute(back(&order))?)
}

fn axes(order: &[usize]) -> Vec<i64> {
    order.iter().map(|axis| *axis as i64).collect()
}

/// `x` itself, if it is contiguous.
fn contiguous(x: &Tensor) -> Result<Tensor> {
    Ok(if is_contiguous_cpu_f32(x) { x.shallow_clone() } else { x.f_contiguous()? })
}

/// The permutation that undoes `order`.
fn back(order: &[usize]) -> Vec<i64> {
    let place = |axis| order.iter().position(|a| *a == axis).map_or(0, |p| p as i64);
    (0..order.len()).map(place).collect()
}

impl NamedVjp for Native {
    const NAME: &'static str = "ldl";
}

impl Vjp for Native {
    /// Saved: `x` and what the plan saves.
    fn forward(&self, x: &Tensor) -> Result<(Tensor, Vec<Tensor>)> {
        let (x, samples) = (contiguous(x)?, rows(x));
        let mut y = OutputBuffer::empty(&[samples, self.plan.outs()])?;
        let mut saved = OutputBuffer::empty(&[i64::try_from(self.plan.saved(usize::try_from(samples)?))?])?;
        self.with(|parameters| self.plan.forward(slice(&x)?, parameters, &mut saved, &mut y, threads()))?;
        Ok((y.into_tensor(), vec![x, saved.into_tensor()]))
    }

    fn backward(&self, saved: &[Tensor], grad: &GradOutput<'_>) -> Result<GradInput> {
        let [x, saved] = saved else { bail!("ldl did not receive what it saved") };
        let Some([samples, ins]) = shape2(x) else { bail!("ldl did not receive the input that it saved") };
        let mut gx = OutputBuffer::empty(&[grad.input_paths as i64 * samples, ins])?;
        let (mut of_weights, mut of_biases) = match grad.needs_any_param_grad() {
            true => (gradients_of(&self.weights)?, gradients_of(&self.biases)?),
            false => (Vec::new(), Vec::new()),
        };
        self.with(|parameters| {
            let (weights, biases) = (elements_of(&mut of_weights), elements_of(&mut of_biases));
            let out = GradientsOut { x: &mut gx, weights, biases };
            let (paths, gradient) = (grad.needs_param_grad, slice(grad.grad)?);
            self.plan.backward(slice(x)?, parameters, slice(saved)?, paths, gradient, out, threads())
        })?;
        let mut params = Vec::with_capacity(of_weights.len() + of_biases.len());
        let mut of_biases = of_biases.into_iter();
        for of_weight in of_weights {
            params.push(Some(of_weight.into_tensor()));
            params.extend(of_biases.next().map(|of_bias| Some(of_bias.into_tensor())));
        }
        Ok(GradInput { input: (grad.input_paths > 0).then(|| gx.into_tensor()), params })
    }
}

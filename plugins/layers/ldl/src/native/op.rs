//! The layer as a pair of passes over tensors, and as one operation of libtorch's autograd.
use super::plan::{GradientsOut, Parameters, Plan};
use efference_sdk::autograd::{
    Context, Gradients, Op, OutputBuffer, apply, slice, slice_in_memory_order, threads,
};
use efference_sdk::{Error, GradInput, GradOutput, Result, Vjp, ensure, tch};
use std::sync::Arc;
use tch::{Device, Kind, Tensor};

/// Whether the kernels can work on tensors like this one: f32 on the CPU.
pub fn fits(tensor: &Tensor) -> bool {
    tensor.kind() == Kind::Float && tensor.device() == Device::Cpu
}

/// A plan, with the parameters to carry it out with.
#[derive(Debug)]
pub struct Native {
    plan: Arc<Plan>,
    /// Of one sub-layer after the other: its weights, then its biases if it has such.
    parameters: Vec<Tensor>,
    biased: bool,
    /// Whether the experiment trains the parameters. Autograd can be told for a while that they need no gradient.
    trained: bool,
}

impl Native {
    /// Shares the parameters: each sub-layer's weights, followed, if `biased`, by its biases; all of them lie in memory
    /// as [`lay_out`] does it.
    pub fn new(plan: Plan, parameters: &[Tensor], biased: bool) -> Result<Self> {
        let each = if biased { 2 } else { 1 };
        for (i, p) in parameters.iter().enumerate() {
            let as_it_lies = p.f_detach()?.f_permute(axes(&plan.order(i / each)))?;
            ensure!(as_it_lies.is_contiguous(), "a parameter of shape {:?} lies wrong in memory", p.size());
        }
        Ok(Self::of(Arc::new(plan), parameters, biased))
    }

    fn of(plan: Arc<Plan>, parameters: &[Tensor], biased: bool) -> Self {
        let trained = parameters.iter().all(Tensor::requires_grad);
        Native { plan, parameters: parameters.iter().map(Tensor::shallow_clone).collect(), biased, trained }
    }

    /// All outputs (batch, outs) of `x` (batch, ins), by one operation for autograd.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut inputs = vec![x];
        inputs.extend(&self.parameters);
        Ok(apply(NativeLdl { plan: self.plan.clone(), biased: self.biased }, &inputs)?.remove(0))
    }

    /// The custom VJP, which gives gradients to all parameters: only where all are trained.
    pub fn vjp(&self) -> Option<&dyn Vjp> {
        self.trained.then_some(self)
    }

    /// Calls `f` with the parameters as slices.
    fn with<R>(&self, f: impl FnOnce(&Parameters<'_>) -> Result<R>) -> Result<R> {
        let all = self.parameters.iter().map(slice_in_memory_order).collect::<Result<Vec<_>>>()?;
        let (weights, biases) = by_kind(all, self.biased);
        f(&Parameters { weights: &weights, biases: &biases })
    }
}

/// A parameter with these numbers whose dims lie in memory as the plan wants them for sub-layer `t`.
pub fn lay_out(plan: &Plan, t: usize, numbers: &Tensor) -> Result<Tensor> {
    let order = plan.order(t);
    Ok(numbers.f_permute(axes(&order))?.f_contiguous()?.f_permute(back(&order))?)
}

fn axes(order: &[usize]) -> Vec<i64> {
    order.iter().map(|axis| *axis as i64).collect()
}

/// The permutation that undoes `order`.
fn back(order: &[usize]) -> Vec<i64> {
    let place = |axis| order.iter().position(|a| *a == axis).map_or(0, |p| p as i64);
    (0..order.len()).map(place).collect()
}

/// Weights apart from biases.
fn by_kind<T>(parameters: Vec<T>, biased: bool) -> (Vec<T>, Vec<T>) {
    if !biased {
        return (parameters, Vec::new());
    }
    let mut weight = false;
    parameters.into_iter().partition(|_| {
        weight = !weight;
        weight
    })
}

impl Vjp for Native {
    /// Saved: `x` and what the plan saves.
    fn forward(&self, x: &Tensor) -> Result<(Tensor, Vec<Tensor>)> {
        let (x, samples) = (x.f_contiguous()?, x.size()[0]);
        let mut y = OutputBuffer::empty(&[samples, self.plan.outs()])?;
        let mut saved = OutputBuffer::empty(&[i64::try_from(self.plan.saved(usize::try_from(samples)?))?])?;
        self.with(|parameters| self.plan.forward(slice(&x)?, parameters, &mut saved, &mut y, threads()))?;
        Ok((y.into_tensor(), vec![x, saved.into_tensor()]))
    }

    fn backward(&self, saved: &[Tensor], grad: &GradOutput<'_>) -> Result<GradInput> {
        let [x, saved] = saved else { return Err(Error::msg("ldl did not receive what it saved")) };
        let gradient = grad.grad.f_contiguous()?;
        let mut gx = OutputBuffer::empty(&[grad.input_paths as i64 * x.size()[0], x.size()[1]])?;
        let mut parameters = Vec::new();
        if grad.needs_any_param_grad() {
            for p in &self.parameters {
                parameters.push(OutputBuffer::empty_like(p)?);
            }
        }
        let (weights, biases) = by_kind(parameters.iter_mut().map(|o| &mut **o).collect(), self.biased);
        self.with(|parameters| {
            let out = GradientsOut { x: &mut gx, weights, biases };
            let (lanes, gradient) = (grad.needs_param_grad, slice(&gradient)?);
            self.plan.backward(slice(x)?, parameters, slice(saved)?, lanes, gradient, out, threads())
        })?;
        let mut parameters: Vec<_> = parameters.into_iter().map(|o| Some(o.into_tensor())).collect();
        parameters.resize_with(self.parameters.len(), || None);
        Ok(GradInput { input: (grad.input_paths > 0).then(|| gx.into_tensor()), params: parameters })
    }
}

/// Its inputs are `x`, then the parameters.
struct NativeLdl {
    plan: Arc<Plan>,
    biased: bool,
}

impl Op for NativeLdl {
    const NAME: &'static str = "ldl";

    fn forward(&mut self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        let parameters: Vec<_> = inputs[1..].iter().map(|t| t.shallow_clone()).collect();
        let native = Native::of(self.plan.clone(), &parameters, self.biased);
        let (y, kept) = Vjp::forward(&native, inputs[0])?;
        if context.differentiable() {
            parameters.into_iter().chain(kept).for_each(|t| context.save(t));
        }
        Ok(vec![y])
    }

    fn backward(&self, saved: &[Tensor], gradients: &Gradients<'_>) -> Result<Vec<Option<Tensor>>> {
        let count = gradients.input_count();
        let Some(grad) = gradients.of_output(0) else { return Ok(gradients.none()) };
        let (parameters, saved) = saved.split_at(count - 1);
        let grad = GradOutput {
            grad,
            needs_param_grad: &[(1..count).any(|i| gradients.needs_input_grad(i))],
            input_paths: usize::from(gradients.needs_input_grad(0)),
        };
        let native = Native::of(self.plan.clone(), parameters, self.biased);
        native.backward(saved, &grad)?.into_input_grads(gradients)
    }
}

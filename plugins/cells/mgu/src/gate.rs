//! The gate: `f = sigmoid(z)`, and what it lets through, `f · y`.
//!
//! Forward and backward are one pass over memory each on the CPU. They serve the cell's custom VJP, and as an operation
//! of autograd its composition of single pieces; on other devices the same is composed of libtorch's operations.
//! Backward functions take several gradient paths, whose rows lie one path after the other.
use efference_sdk::autograd::math::sigmoid;
use efference_sdk::autograd::{Context, Gradients, Op, OutputBuffer, apply, is_contiguous_cpu_f32, slice};
use efference_sdk::tch::Tensor;
use efference_sdk::{Error, Result, bail, elementwise, elementwise_paths};

/// The gate, of `z` and `y`, both (batch, outs).
pub(crate) struct Gate;

impl Gate {
    /// `(f, f · y)`, recorded by autograd.
    pub(crate) fn apply(z: &Tensor, y: &Tensor) -> Result<(Tensor, Tensor)> {
        if is_contiguous_cpu_f32(z) && is_contiguous_cpu_f32(y) {
            let outputs = apply(Gate, &[z, y])?;
            let [f, fy] = outputs.try_into().map_err(|_| Error::msg("the gate has two outputs"))?;
            return Ok((f, fy));
        }
        let f = z.f_sigmoid()?;
        let fy = f.f_mul(y)?;
        Ok((f, fy))
    }

    /// `(f, f · y)`.
    pub(crate) fn forward(z: &Tensor, y: &Tensor) -> Result<(Tensor, Tensor)> {
        let (zs, ys) = (slice(z)?, slice(y)?);
        let (mut f, mut fy) = (OutputBuffer::shaped_like(z)?, OutputBuffer::shaped_like(z)?);
        elementwise!(zs.len(), [&mut f, &mut fy], |range, [f, fy]| {
            for (((f, fy), z), y) in f.iter_mut().zip(fy).zip(&zs[range.clone()]).zip(&ys[range]) {
                *f = sigmoid(*z);
                *fy = *f * y;
            }
            0.0
        });
        Ok((f.into_tensor(), fy.into_tensor()))
    }

    /// `g_z = (g_f + g_fy · y) · f · (1 − f)`, in place of `g_f`.
    pub(crate) fn grad_z(gf: Tensor, gfy: &Tensor, f: &Tensor, y: &Tensor, paths: usize) -> Result<Tensor> {
        let (gfys, fs, ys) = (slice(gfy)?, slice(f)?, slice(y)?);
        let mut g = OutputBuffer::reuse(gf)?;
        elementwise_paths!(paths, fs.len(), [&mut g], |path, range, [g]| {
            let saved = fs[range.clone()].iter().zip(&ys[range.clone()]);
            let gfy = &gfys[path * fs.len()..][range];
            for ((g, gfy), (f, y)) in g.iter_mut().zip(gfy).zip(saved) {
                *g = (*g + gfy * y) * f * (1.0 - f);
            }
            0.0
        });
        Ok(g.into_tensor())
    }

    /// `g_y = g + g_fy · f`, in place of `g`, which has `paths` paths; `gfy` may have more.
    pub(crate) fn add_grad_y(g: Tensor, gfy: &Tensor, f: &Tensor, paths: usize) -> Result<Tensor> {
        let (gfys, fs) = (slice(gfy)?, slice(f)?);
        let mut g = OutputBuffer::reuse(g)?;
        elementwise_paths!(paths, fs.len(), [&mut g], |path, range, [g]| {
            let gfy = &gfys[path * fs.len()..][range.clone()];
            g.iter_mut().zip(gfy).zip(&fs[range]).for_each(|((g, gfy), f)| *g += gfy * f);
            0.0
        });
        Ok(g.into_tensor())
    }
}

/// Saved: `f`, `y`.
impl Op for Gate {
    const NAME: &'static str = "gate";

    fn forward(&mut self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        let (f, fy) = Gate::forward(inputs[0], inputs[1])?;
        if context.differentiable() {
            context.save(f.shallow_clone());
            context.save(inputs[1].shallow_clone());
        }
        Ok(vec![f, fy])
    }

    fn backward(&self, saved: &[Tensor], gradients: &Gradients<'_>) -> Result<Vec<Option<Tensor>>> {
        let [f, y] = saved else { bail!("the gate saves two tensors") };
        let grad = |i| gradients.of_output(i).map_or_else(|| f.f_zeros_like(), Tensor::f_contiguous);
        let (gf, gfy) = (grad(0)?, grad(1)?);
        let needs = |i| gradients.needs_input_grad(i);
        let gy = needs(1).then(|| Gate::add_grad_y(f.f_zeros_like()?, &gfy, f, 1)).transpose()?;
        let gz = needs(0).then(|| Gate::grad_z(gf, &gfy, f, y, 1)).transpose()?;
        Ok(vec![gz, gy])
    }
}

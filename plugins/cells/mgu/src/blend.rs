//! The blend of old state and new: `(1 − f) · x + f · out_mult · tanh(h)`. See [`gate`](super::gate) for what calls what.
use efference_sdk::autograd::math::tanh;
use efference_sdk::autograd::{Context, Gradients, Op, OutputBuffer, apply, shape2, slice};
use efference_sdk::tch::{Device, Kind, Tensor};
use efference_sdk::{Result, bail, elementwise, elementwise_paths};

/// The blend, of `f`, `x` and `h`, all (batch, outs).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Blend {
    pub(crate) out_mult: f64,
}

impl Blend {
    /// The blend, recorded by autograd.
    pub(crate) fn apply(self, f: &Tensor, x: &Tensor, h: &Tensor) -> Result<Tensor> {
        if [f, x, h].into_iter().all(|t| t.device() == Device::Cpu && t.kind() == Kind::Float) {
            let [f, x, h] = [f.f_contiguous()?, x.f_contiguous()?, h.f_contiguous()?];
            return Ok(apply(self, &[&f, &x, &h])?.remove(0));
        }
        Ok(x.f_lerp_tensor(&h.f_tanh()?.f_mul_scalar(self.out_mult)?, f)?)
    }

    /// The blend, and `t = tanh(h)`.
    pub(crate) fn forward(self, f: &Tensor, x: &Tensor, h: &Tensor) -> Result<(Tensor, Tensor)> {
        let (mut out, mut t) = (OutputBuffer::shaped_like(f)?, OutputBuffer::shaped_like(f)?);
        let (fs, xs, hs, out_mult) = (slice(f)?, slice(x)?, slice(h)?, self.out_mult as f32);
        elementwise!(fs.len(), [&mut out, &mut t], |range, [out, t]| {
            let given = fs[range.clone()].iter().zip(&xs[range.clone()]).zip(&hs[range]);
            for (((f, x), h), (out, t)) in given.zip(out.iter_mut().zip(t)) {
                *t = tanh(*h);
                *out = x + f * (out_mult * *t - x);
            }
            0.0
        });
        Ok((out.into_tensor(), t.into_tensor()))
    }

    /// `g_f = g · (out_mult · t − x)` and `g_h = g · f · out_mult · (1 − t²)`.
    pub(crate) fn grad_f_h(
        self,
        g: &Tensor,
        f: &Tensor,
        x: &Tensor,
        t: &Tensor,
        paths: usize,
    ) -> Result<(Tensor, Tensor)> {
        let (mut gf, mut gh) = (OutputBuffer::shaped_like(g)?, OutputBuffer::shaped_like(g)?);
        let (gs, fs, xs, ts, out_mult) = (slice(g)?, slice(f)?, slice(x)?, slice(t)?, self.out_mult as f32);
        elementwise_paths!(paths, fs.len(), [&mut gf, &mut gh], |path, range, [gf, gh]| {
            let given = gs[path * fs.len()..][range.clone()].iter().zip(&fs[range.clone()]);
            let saved = xs[range.clone()].iter().zip(&ts[range]);
            for (((g, f), (x, t)), (gf, gh)) in given.zip(saved).zip(gf.iter_mut().zip(gh)) {
                *gf = g * (out_mult * t - x);
                *gh = g * f * out_mult * (1.0 - t * t);
            }
            0.0
        });
        Ok((gf.into_tensor(), gh.into_tensor()))
    }

    /// `g_x = g_x + g · (1 − f)` at the front of the rows of `gx`, (paths · batch, at least outs), in place; `g` may have
    /// more paths.
    pub(crate) fn add_grad_x(gx: Tensor, g: &Tensor, f: &Tensor, paths: usize) -> Result<Tensor> {
        let (Some([_, ins]), Some([_, outs])) = (shape2(&gx), shape2(f)) else {
            bail!("gradients of shape {:?} have no rows", gx.size())
        };
        let (ins, outs) = (ins as usize, outs as usize);
        let (gs, fs) = (slice(g)?, slice(f)?);
        let mut gx = OutputBuffer::reuse(gx)?;
        let batch = fs.len() / outs;
        for (row, gx) in gx.chunks_exact_mut(ins).enumerate().take(paths * batch) {
            let (g, f) = (&gs[row * outs..][..outs], &fs[row % batch * outs..][..outs]);
            elementwise!(outs, [&mut gx[..outs]], |range, [gx]| {
                let given = g[range.clone()].iter().zip(&f[range]);
                gx.iter_mut().zip(given).for_each(|(gx, (g, f))| *gx += g * (1.0 - f));
                0.0
            });
        }
        Ok(gx.into_tensor())
    }
}

/// Saved: `f`, `x`, `t`.
impl Op for Blend {
    const NAME: &'static str = "blend";

    fn forward(&mut self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        let [f, x, h] = inputs else { bail!("the blend takes three tensors") };
        let (out, t) = Blend::forward(*self, f, x, h)?;
        if context.differentiable() {
            context.save(f.shallow_clone());
            context.save(x.shallow_clone());
            context.save(t);
        }
        Ok(vec![out])
    }

    fn backward(&self, saved: &[Tensor], gradients: &Gradients<'_>) -> Result<Vec<Option<Tensor>>> {
        let [f, x, t] = saved else { bail!("the blend saves three tensors") };
        let Some(g) = gradients.of_output(0) else { return Ok(gradients.none()) };
        let g = g.f_contiguous()?;
        let needs = |i| gradients.needs_input_grad(i);
        let (gf, gh) = self.grad_f_h(&g, f, x, t, 1)?;
        let gx = needs(1).then(|| Blend::add_grad_x(f.f_zeros_like()?, &g, f, 1)).transpose()?;
        Ok(vec![needs(0).then_some(gf), gx, needs(2).then_some(gh)])
    }
}

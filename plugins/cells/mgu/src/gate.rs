//! The cell's elementwise parts in one pass each, forward and backward, on the CPU; elsewhere libtorch's own.
//!
//! Backward passes run along several gradient paths, whose rows lie one path after the other.
use efference_sdk::autograd::math::{sigmoid, tanh};
use efference_sdk::autograd::{Context, Gradients, Op, OutputBuffer, apply, is_contiguous_cpu_f32, slice};
use efference_sdk::{Result, bail, elementwise, elementwise_paths, tch::Tensor};

/// `f = sigmoid(z)`, and `f · y`, for autograd.
pub(crate) fn gate(z: &Tensor, y: &Tensor) -> Result<(Tensor, Tensor)> {
    if is_contiguous_cpu_f32(z) && is_contiguous_cpu_f32(y) {
        let [f, fy] = apply(Gate, &[z, y])?.try_into().map_err(|_| unreachable_count())?;
        return Ok((f, fy));
    }
    let f = z.f_sigmoid()?;
    let fy = f.f_mul(y)?;
    Ok((f, fy))
}

fn unreachable_count() -> efference_sdk::Error {
    efference_sdk::Error::msg("the gate has two outputs")
}

/// `f = sigmoid(z)`, and `f · y`.
pub(crate) fn open(z: &Tensor, y: &Tensor) -> Result<(Tensor, Tensor)> {
    let (zs, ys) = (slice(z)?, slice(y)?);
    let (mut f, mut fy) = (OutputBuffer::empty(&z.size())?, OutputBuffer::empty(&z.size())?);
    elementwise!(zs.len(), [&mut f, &mut fy], |range, [f, fy]| {
        for (((f, fy), z), y) in f.iter_mut().zip(fy).zip(&zs[range.clone()]).zip(&ys[range]) {
            *f = sigmoid(*z);
            *fy = *f * y;
        }
        0.0
    });
    Ok((f.into_tensor(), fy.into_tensor()))
}

/// The gradient of `z`, in place of that of `f`.
pub(crate) fn open_backward(
    gf: Tensor,
    gfy: &Tensor,
    f: &Tensor,
    y: &Tensor,
    paths: usize,
) -> Result<Tensor> {
    let (gfys, fs, ys) = (slice(gfy)?, slice(f)?, slice(y)?);
    let mut g = OutputBuffer::reuse(gf)?;
    elementwise_paths!(paths, fs.len(), [&mut g], |path, range, [g]| {
        let kept = fs[range.clone()].iter().zip(&ys[range.clone()]);
        let gfy = &gfys[path * fs.len()..][range];
        for ((g, gfy), (f, y)) in g.iter_mut().zip(gfy).zip(kept) {
            *g = (*g + gfy * y) * f * (1.0 - f);
        }
        0.0
    });
    Ok(g.into_tensor())
}

/// Adds `by · f` to `g`, which has `paths` paths; `by` may have more.
pub(crate) fn add_product(g: Tensor, by: &Tensor, f: &Tensor, paths: usize) -> Result<Tensor> {
    let (by, fs) = (slice(by)?, slice(f)?);
    let mut g = OutputBuffer::reuse(g)?;
    elementwise_paths!(paths, fs.len(), [&mut g], |path, range, [g]| {
        let by = &by[path * fs.len()..][range.clone()];
        g.iter_mut().zip(by).zip(&fs[range]).for_each(|((g, by), f)| *g += by * f);
        0.0
    });
    Ok(g.into_tensor())
}

struct Gate;

impl Op for Gate {
    const NAME: &'static str = "gate";

    fn forward(&mut self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        let (f, fy) = open(inputs[0], inputs[1])?;
        if context.differentiable() {
            context.save(f.shallow_clone());
            context.save(inputs[1].shallow_clone());
        }
        Ok(vec![f, fy])
    }

    fn backward(&self, saved: &[Tensor], gradients: &Gradients<'_>) -> Result<Vec<Option<Tensor>>> {
        let [f, y] = saved else { bail!("the gate saves two tensors") };
        let arrived = |i| gradients.of_output(i).map_or_else(|| f.f_zeros_like(), Tensor::f_contiguous);
        let (gf, gfy) = (arrived(0)?, arrived(1)?);
        let gy = gradients.needs_input_grad(1).then(|| gfy.f_mul(f)).transpose()?;
        let gz = gradients.needs_input_grad(0).then(|| open_backward(gf, &gfy, f, y, 1)).transpose()?;
        Ok(vec![gz, gy])
    }
}

/// `(1 − f) · x[.., :outs] + f · out_mult · tanh(h)`, for `x` at least as wide as `f` and `h`, for autograd.
pub(crate) fn blend(f: &Tensor, x: &Tensor, h: &Tensor, out_mult: f64) -> Result<Tensor> {
    let front = front(f, x)?;
    if [f, x, h].into_iter().all(is_contiguous_cpu_f32) {
        return Ok(apply(Blend { out_mult }, &[f, &front.f_contiguous()?, h])?.remove(0));
    }
    Ok(front.f_lerp_tensor(&h.f_tanh()?.f_mul_scalar(out_mult)?, f)?)
}

/// The first columns of `x`, as many as `f` has.
pub(crate) fn front(f: &Tensor, x: &Tensor) -> Result<Tensor> {
    let outs = f.size()[1];
    Ok(if x.size()[1] == outs { x.shallow_clone() } else { x.f_narrow(1, 0, outs)? })
}

/// `(1 − f) · x + f · out_mult · tanh(h)`, and `tanh(h)`.
pub(crate) fn mix(f: &Tensor, x: &Tensor, h: &Tensor, out_mult: f64) -> Result<(Tensor, Tensor)> {
    let (mut out, mut t) = (OutputBuffer::empty(&f.size())?, OutputBuffer::empty(&f.size())?);
    let (fs, xs, hs, out_mult) = (slice(f)?, slice(x)?, slice(h)?, out_mult as f32);
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

/// The gradients of `f` and `h`.
pub(crate) fn mix_backward(
    g: &Tensor,
    f: &Tensor,
    x: &Tensor,
    t: &Tensor,
    out_mult: f64,
    paths: usize,
) -> Result<(Tensor, Tensor)> {
    let (mut gf, mut gh) = (OutputBuffer::empty(&g.size())?, OutputBuffer::empty(&g.size())?);
    let (gs, fs, xs, ts, out_mult) = (slice(g)?, slice(f)?, slice(x)?, slice(t)?, out_mult as f32);
    elementwise_paths!(paths, fs.len(), [&mut gf, &mut gh], |path, range, [gf, gh]| {
        let given = gs[path * fs.len()..][range.clone()].iter().zip(&fs[range.clone()]);
        let kept = xs[range.clone()].iter().zip(&ts[range]);
        for (((g, f), (x, t)), (gf, gh)) in given.zip(kept).zip(gf.iter_mut().zip(gh)) {
            *gf = g * (out_mult * t - x);
            *gh = g * f * out_mult * (1.0 - t * t);
        }
        0.0
    });
    Ok((gf.into_tensor(), gh.into_tensor()))
}

/// Adds what the next state keeps of the input, `g · (1 − f)`, to the front of the input's gradient, which has `paths`
/// paths; `g` may have more.
pub(crate) fn add_kept(gx: Tensor, g: &Tensor, f: &Tensor, paths: usize) -> Result<Tensor> {
    let (ins, outs) = (gx.size()[1] as usize, f.size()[1] as usize);
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

struct Blend {
    out_mult: f64,
}

impl Op for Blend {
    const NAME: &'static str = "blend";

    fn forward(&mut self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        let [f, x, h] = inputs else { bail!("the blend takes three tensors") };
        let (out, t) = mix(f, x, h, self.out_mult)?;
        if context.differentiable() {
            context.save(f.shallow_clone());
            context.save(x.shallow_clone());
            context.save(t);
        }
        Ok(vec![out])
    }

    fn backward(&self, saved: &[Tensor], gradients: &Gradients<'_>) -> Result<Vec<Option<Tensor>>> {
        let [f, x, t] = saved else { bail!("the blend saves three tensors") };
        let Some(g) = gradients.of_output(0) else { return Ok(vec![None, None, None]) };
        let g = g.f_contiguous()?;
        let (gf, gh) = mix_backward(&g, f, x, t, self.out_mult, 1)?;
        let gx = gradients.needs_input_grad(1).then(|| add_kept(f.f_zeros_like()?, &g, f, 1)).transpose()?;
        Ok(vec![gradients.needs_input_grad(0).then_some(gf), gx, gradients.needs_input_grad(2).then_some(gh)])
    }
}

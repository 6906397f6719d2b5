//! Nonlinearities, elementwise.
use crate::autograd::{Context, Gradients, Op, OutputBuffer, apply, is_contiguous_cpu_f32, math, slice};
use crate::{Error, Result, elementwise, elementwise_paths};
use tch::Tensor;

crate::options! {
    /// A function applied elementwise, between linear maps.
    pub enum Nonlinearity {
        /// x
        None,
        /// max(x, 0)
        Relu,
        /// x / (1 + |x|)
        Softsign,
        /// tanh(x)
        Tanh,
    }
}

impl Nonlinearity {
    /// `y = f(x)`, elementwise: one operation of autograd if `x` is contiguous f32 on the CPU.
    pub fn apply(self, x: &Tensor) -> Result<Tensor> {
        match self {
            Nonlinearity::None => Ok(x.shallow_clone()),
            _ if is_contiguous_cpu_f32(x) => Ok(apply(Pointwise(self), &[x])?.remove(0)),
            Nonlinearity::Softsign => Ok(x.f_div(&x.f_abs()?.f_add_scalar(1.0)?)?),
            Nonlinearity::Relu => Ok(x.f_relu()?),
            Nonlinearity::Tanh => Ok(x.f_tanh()?),
        }
    }

    /// Its name in a spec.
    pub fn name(self) -> &'static str {
        match self {
            Nonlinearity::None => "none",
            Nonlinearity::Relu => "relu",
            Nonlinearity::Softsign => "softsign",
            Nonlinearity::Tanh => "tanh",
        }
    }

    /// The nonlinearity with this name in a spec.
    pub fn named(name: &str) -> Result<Self> {
        let all = [Nonlinearity::None, Nonlinearity::Relu, Nonlinearity::Softsign, Nonlinearity::Tanh];
        let found = all.into_iter().find(|n| n.name() == name);
        found.ok_or_else(|| {
            Error::msg(format!("there is no nonlinearity '{name}'; there are none, relu, softsign and tanh"))
        })
    }
}

/// `grad · f′(x) + skip` along gradient paths: the backward of a nonlinearity `f`, and of the skip connection around what
/// follows it. Without `before` (f and x), `f′` is 1. Shapes: `grad` (paths · batch, features), `x` (batch, features),
/// `skip` as `grad` or with more paths.
pub(super) fn backward_with_skip(
    paths: usize,
    grad: Tensor,
    before: Option<(Nonlinearity, &Tensor)>,
    skip: Option<&Tensor>,
) -> Result<Tensor> {
    let before = before.filter(|(kind, _)| *kind != Nonlinearity::None);
    if before.is_none() && skip.is_none() {
        return Ok(grad);
    }
    let mut out = OutputBuffer::reuse(grad)?;
    let n = out.len() / paths.max(1);
    let (kind, x) =
        before.map_or(Ok((Nonlinearity::None, &[][..])), |(kind, x)| slice(x).map(|x| (kind, x)))?;
    let skip = skip.map(slice).transpose()?;
    elementwise_paths!(paths, n, [&mut out], |path, range, [g]| {
        if kind != Nonlinearity::None {
            times_derivative(kind, g, &x[range.clone()]);
        }
        if let Some(skip) = skip {
            g.iter_mut().zip(&skip[path * n..][range]).for_each(|(g, skip)| *g += skip);
        }
        0.0
    });
    Ok(out.into_tensor())
}

/// `g = g · f′(x)`, elementwise.
#[inline(always)]
fn times_derivative(kind: Nonlinearity, g: &mut [f32], x: &[f32]) {
    let each = g.iter_mut().zip(x);
    match kind {
        Nonlinearity::None => {}
        Nonlinearity::Relu => each.for_each(|(g, x)| *g = if *x > 0.0 { *g } else { 0.0 }),
        Nonlinearity::Softsign => each.for_each(|(g, x)| {
            let d = 1.0 + x.abs();
            *g /= d * d;
        }),
        Nonlinearity::Tanh => each.for_each(|(g, x)| {
            let t = math::tanh(*x);
            *g *= 1.0 - t * t;
        }),
    }
}

/// A nonlinearity of a contiguous f32 tensor on the CPU, as an operation of autograd. Saved: `x`.
struct Pointwise(Nonlinearity);

impl Op for Pointwise {
    const NAME: &'static str = "nonlinearity";

    fn forward(&mut self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        let x = slice(inputs[0])?;
        let mut y = OutputBuffer::shaped_like(inputs[0])?;
        let kind = self.0;
        elementwise!(x.len(), [&mut y], |range, [y]| {
            let each = y.iter_mut().zip(&x[range]);
            match kind {
                Nonlinearity::None => each.for_each(|(y, x)| *y = *x),
                Nonlinearity::Relu => each.for_each(|(y, x)| *y = if *x < 0.0 { 0.0 } else { *x }),
                Nonlinearity::Softsign => each.for_each(|(y, x)| *y = x / (1.0 + x.abs())),
                Nonlinearity::Tanh => each.for_each(|(y, x)| *y = math::tanh(*x)),
            }
            0.0
        });
        if context.differentiable() {
            context.save(inputs[0].shallow_clone());
        }
        Ok(vec![y.into_tensor()])
    }

    fn backward(&self, saved: &[Tensor], gradients: &Gradients<'_>) -> Result<Vec<Option<Tensor>>> {
        let Some(g) = gradients.of_output(0) else { return Ok(gradients.none()) };
        Ok(vec![Some(backward_with_skip(1, g.f_contiguous()?, Some((self.0, &saved[0])), None)?)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Random;
    use tch::Kind;

    #[test]
    fn values_and_gradients_are_those_of_libtorchs_operations() {
        for kind in [Nonlinearity::None, Nonlinearity::Relu, Nonlinearity::Softsign, Nonlinearity::Tanh] {
            let mut random = Random::new(7);
            let x = random.normal(&[3, 40], 1.0).set_requires_grad(true);
            let weights = random.normal(&[3, 40], 1.0);
            let plain = match kind {
                Nonlinearity::None => x.shallow_clone(),
                Nonlinearity::Relu => x.relu(),
                Nonlinearity::Softsign => &x / (x.abs() + 1.0),
                Nonlinearity::Tanh => x.tanh(),
            };
            let fused = kind.apply(&x).unwrap();
            assert!(fused.allclose(&plain, 1e-5, 2e-6, false), "{}", kind.name());
            let [a, b] = [plain, fused].map(|y| {
                Tensor::run_backward(&[(y * &weights).sum(Kind::Float)], &[&x], false, false).remove(0)
            });
            assert!(a.allclose(&b, 1e-4, 1e-5, false), "{}", kind.name());
        }
    }

    #[test]
    fn a_nan_stays_a_nan() {
        for kind in [Nonlinearity::Relu, Nonlinearity::Softsign, Nonlinearity::Tanh] {
            let y = kind.apply(&Tensor::from_slice(&[f32::NAN])).unwrap();
            assert!(f32::try_from(y.get(0)).unwrap().is_nan(), "{}", kind.name());
        }
    }
}

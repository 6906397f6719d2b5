//! The residual behind a layer: `clamp(y · factor + x, ±limit)`.
use crate::autograd::{
    Context, GradOutput, Gradients, Op, OutputBuffer, apply, is_contiguous_cpu_f32, same_shape, scalar,
    slice, sum_of,
};
use crate::{Result, elementwise, elementwise_paths};
use tch::Tensor;

/// `clamp(y · factor + x, ±limit)`, without the skip connection `x` if it is `None`. Shapes: `y` and `x` (batch, outs),
/// `factor` one element.
///
/// [`forward`](Self::forward) and [`backward`](Self::backward) are for contiguous f32 tensors on the CPU; by
/// [`apply`](Self::apply) they are one operation of autograd there, and on other devices the same is composed of
/// libtorch's operations.
pub(super) struct Residual {
    pub(super) limit: f32,
}

/// The gradients of a residual's inputs.
pub(super) struct GradResidual {
    /// Of `y`, (paths · batch, outs).
    pub(super) y: Tensor,
    /// Of the factor, summed over the paths that reach the parameters.
    pub(super) factor: Option<Tensor>,
    /// Of the skip connection, (paths · batch, outs); `None`: it equals that of the output, since nothing was clamped.
    pub(super) skip: Option<Tensor>,
}

impl Residual {
    /// The output, recorded by autograd.
    pub(super) fn apply(self, y: &Tensor, factor: &Tensor, x: Option<&Tensor>) -> Result<Tensor> {
        let one_factor = is_contiguous_cpu_f32(factor) && factor.numel() == 1;
        if one_factor
            && is_contiguous_cpu_f32(y)
            && x.is_none_or(|x| same_shape(x, y) && is_contiguous_cpu_f32(x))
        {
            let mut inputs = vec![y, factor];
            inputs.extend(x);
            return Ok(apply(self, &inputs)?.remove(0));
        }
        let sum = match x {
            Some(x) => x.f_addcmul(y, factor)?,
            None => y.f_mul(factor)?,
        };
        let limit = f64::from(self.limit);
        Ok(sum.f_clamp(-limit, limit)?)
    }

    /// The output; and, if any element was clamped, the mask that is 0 there and 1 elsewhere.
    pub(super) fn forward(
        &self,
        y: &Tensor,
        factor: &Tensor,
        x: Option<&Tensor>,
    ) -> Result<(Tensor, Option<Tensor>)> {
        let (ys, f, limit) = (slice(y)?, slice(factor)?[0], self.limit);
        let mut out = OutputBuffer::shaped_like(y)?;
        let clamped = match x.map(slice).transpose()? {
            Some(x) => elementwise!(ys.len(), [&mut out], |range, [out]| {
                let mut clamped = 0;
                for ((out, y), x) in out.iter_mut().zip(&ys[range.clone()]).zip(&x[range]) {
                    let sum = y * f + x;
                    clamped |= u32::from(sum.abs() > limit);
                    *out = within(sum, limit);
                }
                f64::from(clamped)
            }),
            None => elementwise!(ys.len(), [&mut out], |range, [out]| {
                let mut clamped = 0;
                for (out, y) in out.iter_mut().zip(&ys[range]) {
                    let product = y * f;
                    clamped |= u32::from(product.abs() > limit);
                    *out = within(product, limit);
                }
                f64::from(clamped)
            }),
        };
        let mask = (clamped > 0.0).then(|| self.unclamped(y, factor, x)).transpose()?;
        Ok((out.into_tensor(), mask))
    }

    /// 0 where an element was clamped, 1 elsewhere: `|y · factor + x| ≤ limit`. Rarely needed.
    fn unclamped(&self, y: &Tensor, factor: &Tensor, x: Option<&Tensor>) -> Result<Tensor> {
        let product = y.f_detach()?.f_mul(&factor.f_detach()?)?;
        let sum = x.map_or(Ok(product.shallow_clone()), |x| product.f_add(&x.f_detach()?))?;
        Ok(sum.f_abs()?.f_le(f64::from(self.limit))?.f_to_kind(tch::Kind::Float)?)
    }

    /// With `g` the gradient of the output, 0 where the mask is: `g_y = g · factor`, `g_factor = Σ g · y`,
    /// `g_skip = g`. `unclamped` is the mask that [`forward`](Self::forward) returned.
    pub(super) fn backward(
        &self,
        grad: &GradOutput<'_>,
        y: &Tensor,
        factor: &Tensor,
        unclamped: Option<&Tensor>,
    ) -> Result<GradResidual> {
        let g = grad.grad.f_contiguous()?;
        let (paths, reaches) = (grad.path_count(), grad.needs_param_grad);
        let (gs, ys, f) = (slice(&g)?, slice(y)?, slice(factor)?[0]);
        let n = ys.len();
        let mut gy = OutputBuffer::shaped_like(&g)?;
        let (sum, skip) = match unclamped {
            None => {
                let sum = elementwise_paths!(paths, n, [&mut gy], |path, range, [gy]| {
                    let g = &gs[path * n..][range.clone()];
                    gy.iter_mut().zip(g).for_each(|(gy, g)| *gy = g * f);
                    if reaches[path] { sum_of(g, &ys[range], |g, y| g * y) } else { 0.0 }
                });
                (sum, None)
            }
            Some(mask) => {
                let mask = slice(mask)?;
                let mut skip = OutputBuffer::shaped_like(&g)?;
                let sum = elementwise_paths!(paths, n, [&mut gy, &mut skip], |path, range, [gy, skip]| {
                    let given = gs[path * n..][range.clone()].iter().zip(&mask[range.clone()]);
                    for ((g, mask), (gy, skip)) in given.zip(gy.iter_mut().zip(skip.iter_mut())) {
                        (*gy, *skip) = (g * mask * f, g * mask);
                    }
                    if reaches[path] { sum_of(skip, &ys[range], |g, y| g * y) } else { 0.0 }
                });
                (sum, Some(skip.into_tensor()))
            }
        };
        let factor = match grad.needs_any_param_grad() {
            true if factor.dim() == 0 => Some(scalar(sum as f32)?),
            true => Some(scalar(sum as f32)?.f_reshape(factor.size())?),
            false => None,
        };
        Ok(GradResidual { y: gy.into_tensor(), factor, skip })
    }
}

/// `x` clamped to ±limit; NaN stays NaN. ([`f32::clamp`] checks its limits, which keeps a loop from being vectorised.)
#[inline(always)]
fn within(x: f32, limit: f32) -> f32 {
    let x = if x > limit { limit } else { x };
    if x < -limit { -limit } else { x }
}

impl Op for Residual {
    const NAME: &'static str = "residual";

    fn forward(&mut self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        let (out, unclamped) = Residual::forward(self, inputs[0], inputs[1], inputs.get(2).copied())?;
        if context.differentiable() {
            context.save(inputs[0].shallow_clone());
            context.save(inputs[1].shallow_clone());
            unclamped.into_iter().for_each(|mask| context.save(mask));
        }
        Ok(vec![out])
    }

    fn backward(&self, saved: &[Tensor], gradients: &Gradients<'_>) -> Result<Vec<Option<Tensor>>> {
        let Some(grad) = gradients.of_output(0) else { return Ok(gradients.none()) };
        let grad_output = GradOutput { grad, needs_param_grad: &[true], input_paths: 1 };
        let found = Residual::backward(self, &grad_output, &saved[0], &saved[1], saved.get(2))?;
        let needs = |i| gradients.needs_input_grad(i);
        let mut inputs = vec![needs(0).then_some(found.y), found.factor.filter(|_| needs(1))];
        if gradients.input_count() > 2 {
            let skip = found.skip.unwrap_or_else(|| grad.shallow_clone());
            inputs.push(needs(2).then_some(skip));
        }
        Ok(inputs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Random;
    use tch::Kind;

    #[test]
    fn gradients_are_those_of_libtorchs_operations_where_something_is_cut_off_and_where_not() {
        for (limit, skip) in [(1000.0, true), (1000.0, false), (1.0, true), (1.0, false)] {
            let mut random = Random::new(5);
            let mut leaf = |shape: &[i64]| random.normal(shape, 1.0).set_requires_grad(true);
            let (y, x, factor) = (leaf(&[3, 50]), leaf(&[3, 50]), leaf(&[]));
            let weights = leaf(&[3, 50]).detach();
            let composed = {
                let product = &y * &factor;
                let sum = if skip { product + &x } else { product };
                sum.clamp(-limit, limit)
            };
            let fused = Residual { limit: limit as f32 }.apply(&y, &factor, skip.then_some(&x)).unwrap();
            assert!(fused.allclose(&composed, 1e-6, 1e-6, false));
            let leaves: Vec<&Tensor> = [&y, &factor, &x].into_iter().take(if skip { 3 } else { 2 }).collect();
            let [of_composed, of_fused] = [composed, fused]
                .map(|out| Tensor::run_backward(&[(out * &weights).sum(Kind::Float)], &leaves, false, false));
            for (a, b) in of_composed.iter().zip(&of_fused) {
                assert!(a.allclose(b, 1e-4, 1e-5, false), "limit {limit}, skip {skip}");
            }
        }
    }
}

//! What stands behind a layer: its factor, the skip connection around it, the clamp.
use crate::op::{Context, Gradients, Op, Output, apply, is_plain, scalar, slice, sum_of};
use crate::{Incoming, Result, elementwise, in_lanes};
use tch::Tensor;

/// `clamp(y · factor + x, ±limit)`; `x`, if there is one, is of `y`'s shape, and `factor` a single number.
pub(crate) fn residual(y: &Tensor, factor: &Tensor, x: Option<&Tensor>, limit: f64) -> Result<Tensor> {
    let plain = is_plain(y) && is_plain(factor) && factor.numel() == 1;
    if plain && x.is_none_or(|x| is_plain(x) && x.size() == y.size()) {
        let mut inputs = vec![y, factor];
        inputs.extend(x);
        return Ok(apply(Residual { limit: limit as f32 }, &inputs)?.remove(0));
    }
    let sum = match x {
        Some(x) => x.f_addcmul(y, factor)?,
        None => y.f_mul(factor)?,
    };
    Ok(sum.f_clamp(-limit, limit)?)
}

/// The same of plain tensors: a pair of passes, and an operation of autograd.
pub(crate) struct Residual {
    pub(crate) limit: f32,
}

/// The gradients of a residual.
pub(crate) struct ResidualGradients {
    /// Of what the layer answered.
    pub(crate) y: Tensor,
    /// Of the factor, over the lanes that reach the parameters.
    pub(crate) factor: Option<Tensor>,
    /// Of the skip connection; `None`: it is what came in.
    pub(crate) skip: Option<Tensor>,
}

impl Residual {
    /// The result; and where something was cut off, 0 there and 1 elsewhere.
    pub(crate) fn forward(
        &self,
        y: &Tensor,
        factor: &Tensor,
        x: Option<&Tensor>,
    ) -> Result<(Tensor, Option<Tensor>)> {
        let (ys, f, limit) = (slice(y)?, slice(factor)?[0], self.limit);
        let mut out = Output::empty(&y.size())?;
        let cut = match x.map(slice).transpose()? {
            Some(x) => elementwise!(ys.len(), [&mut out], |range, [out]| {
                let mut cut = 0;
                for ((out, y), x) in out.iter_mut().zip(&ys[range.clone()]).zip(&x[range]) {
                    let sum = y * f + x;
                    cut |= u32::from(sum.abs() > limit);
                    *out = sum.clamp(-limit, limit);
                }
                f64::from(cut)
            }),
            None => elementwise!(ys.len(), [&mut out], |range, [out]| {
                let mut cut = 0;
                for (out, y) in out.iter_mut().zip(&ys[range]) {
                    let product = y * f;
                    cut |= u32::from(product.abs() > limit);
                    *out = product.clamp(-limit, limit);
                }
                f64::from(cut)
            }),
        };
        let kept = (cut > 0.0).then(|| self.kept(y, factor, x)).transpose()?;
        Ok((out.into_tensor(), kept))
    }

    /// Where nothing was cut off, for the rare case that something was.
    fn kept(&self, y: &Tensor, factor: &Tensor, x: Option<&Tensor>) -> Result<Tensor> {
        let product = y.f_detach()?.f_mul(&factor.f_detach()?)?;
        let sum = x.map_or(Ok(product.shallow_clone()), |x| product.f_add(&x.f_detach()?))?;
        Ok(sum.f_abs()?.f_le(f64::from(self.limit))?.f_to_kind(tch::Kind::Float)?)
    }

    /// `kept` is what [`forward`](Self::forward) answered with beside the result.
    pub(crate) fn backward(
        &self,
        incoming: &Incoming<'_>,
        y: &Tensor,
        factor: &Tensor,
        kept: Option<&Tensor>,
    ) -> Result<ResidualGradients> {
        let g = incoming.gradient.f_contiguous()?;
        let (lanes, reaches) = (incoming.lanes(), incoming.to_parameters);
        let (gs, ys, f) = (slice(&g)?, slice(y)?, slice(factor)?[0]);
        let n = ys.len();
        let mut gy = Output::empty(&g.size())?;
        let (sum, skip) = match kept {
            None => {
                let sum = in_lanes!(lanes, n, [&mut gy], |lane, range, [gy]| {
                    let g = &gs[lane * n..][range.clone()];
                    gy.iter_mut().zip(g).for_each(|(gy, g)| *gy = g * f);
                    if reaches[lane] { sum_of(g, &ys[range], |g, y| g * y) } else { 0.0 }
                });
                (sum, None)
            }
            Some(kept) => {
                let kept = slice(kept)?;
                let mut skip = Output::empty(&g.size())?;
                let sum = in_lanes!(lanes, n, [&mut gy, &mut skip], |lane, range, [gy, skip]| {
                    let given = gs[lane * n..][range.clone()].iter().zip(&kept[range.clone()]);
                    for ((g, kept), (gy, skip)) in given.zip(gy.iter_mut().zip(skip.iter_mut())) {
                        (*gy, *skip) = (g * kept * f, g * kept);
                    }
                    if reaches[lane] { sum_of(skip, &ys[range], |g, y| g * y) } else { 0.0 }
                });
                (sum, Some(skip.into_tensor()))
            }
        };
        let factor = match incoming.any_to_parameters() {
            true if factor.dim() == 0 => Some(scalar(sum as f32)?),
            true => Some(scalar(sum as f32)?.f_reshape(factor.size())?),
            false => None,
        };
        Ok(ResidualGradients { y: gy.into_tensor(), factor, skip })
    }
}

impl Op for Residual {
    const NAME: &'static str = "residual";

    fn forward(&mut self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        let (out, kept) = Residual::forward(self, inputs[0], inputs[1], inputs.get(2).copied())?;
        if context.differentiable() {
            context.save(inputs[0].shallow_clone());
            context.save(inputs[1].shallow_clone());
            kept.into_iter().for_each(|kept| context.save(kept));
        }
        Ok(vec![out])
    }

    fn backward(&self, saved: &[Tensor], gradients: &Gradients<'_>) -> Result<Vec<Option<Tensor>>> {
        let count = gradients.inputs();
        let Some(gradient) = gradients.of_output(0) else { return Ok((0..count).map(|_| None).collect()) };
        let incoming = Incoming { gradient, to_parameters: &[true], to_input: 1 };
        let found = Residual::backward(self, &incoming, &saved[0], &saved[1], saved.get(2))?;
        let mut answer =
            vec![gradients.wanted(0).then_some(found.y), found.factor.filter(|_| gradients.wanted(1))];
        if count > 2 {
            let skip = found.skip.unwrap_or_else(|| gradient.shallow_clone());
            answer.push(gradients.wanted(2).then_some(skip));
        }
        Ok(answer)
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
            let plain = {
                let product = &y * &factor;
                let sum = if skip { product + &x } else { product };
                sum.clamp(-limit, limit)
            };
            let fused = residual(&y, &factor, skip.then_some(&x), limit).unwrap();
            assert!(fused.allclose(&plain, 1e-6, 1e-6, false));
            let leaves: Vec<&Tensor> = [&y, &factor, &x].into_iter().take(if skip { 3 } else { 2 }).collect();
            let [of_plain, of_fused] = [plain, fused]
                .map(|out| Tensor::run_backward(&[(out * &weights).sum(Kind::Float)], &leaves, false, false));
            for (a, b) in of_plain.iter().zip(&of_fused) {
                assert!(a.allclose(b, 1e-4, 1e-5, false), "limit {limit}, skip {skip}");
            }
        }
    }
}

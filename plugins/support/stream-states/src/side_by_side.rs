//! State and observation side by side in one pass, forward and backward, on the CPU.
use crate::merge::check;
use efference_sdk::autograd::{
    Context, Gradients, Op, OutputBuffer, apply, is_contiguous_cpu_f32, shape2, slice,
};
use efference_sdk::tch::Tensor;
use efference_sdk::{Result, bail, elementwise};

/// The cell's input `cat(state, target)` and `target` by itself, which carries no gradient; `None` where it takes
/// libtorch's own operations. See [`Merged`](super::merge::Merged) for what `target` is.
pub(super) fn side_by_side(state: &Tensor, observation: &Tensor) -> Result<Option<(Tensor, Tensor)>> {
    check(state, observation)?;
    if !(is_contiguous_cpu_f32(state) && is_contiguous_cpu_f32(observation)) {
        return Ok(None);
    }
    let mut made = apply(SideBySide, &[state, observation])?;
    let (target, input) = (made.pop(), made.pop());
    Ok(input.zip(target))
}

struct SideBySide;

/// Rows of a plain tensor of two dims.
fn rows(t: &Tensor) -> Result<(usize, usize, &[f32])> {
    let Some([count, width]) = shape2(t) else { bail!("a tensor of shape {:?} has no rows", t.size()) };
    Ok((count as usize, width as usize, slice(t)?))
}

impl Op for SideBySide {
    const NAME: &'static str = "side by side";

    fn forward(&mut self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        let ((count, size, state), (_, length, observation)) = (rows(inputs[0])?, rows(inputs[1])?);
        let mut input = OutputBuffer::empty(&[count as i64, 2 * size as i64])?;
        let mut target = OutputBuffer::empty(&[count as i64, size as i64])?;
        for row in 0..count {
            let state = &state[row * size..][..size];
            let observation = &observation[row * length..][..length];
            let (copied, merged) = input[row * 2 * size..][..2 * size].split_at_mut(size);
            let target = &mut target[row * size..][..size];
            elementwise!(size, [copied, merged, target], |range, [copied, merged, target]| {
                let state = &state[range.clone()];
                copied.copy_from_slice(state);
                let seen = &observation[range.start.min(length)..range.end.min(length)];
                let (front, rest) = merged.split_at_mut(seen.len());
                for ((m, s), o) in front.iter_mut().zip(state).zip(seen) {
                    *m = if o.is_nan() { *s } else { *o }.clamp(-1.0, 1.0);
                }
                for (m, s) in rest.iter_mut().zip(&state[seen.len()..]) {
                    *m = s.clamp(-1.0, 1.0);
                }
                target.copy_from_slice(merged);
                0.0
            });
        }
        if context.differentiable() {
            context.save(inputs[0].shallow_clone());
            context.save(inputs[1].shallow_clone());
        }
        Ok(vec![input.into_tensor(), target.into_tensor()])
    }

    /// What arrives at `target` is left out: whoever uses it by itself detaches it.
    fn backward(&self, saved: &[Tensor], gradients: &Gradients<'_>) -> Result<Vec<Option<Tensor>>> {
        let Some(g) = gradients.of_output(0) else { return Ok(vec![None, None]) };
        let g = g.f_contiguous()?;
        let g = slice(&g)?;
        let ((count, size, state), (_, length, observation)) = (rows(&saved[0])?, rows(&saved[1])?);
        let mut out = OutputBuffer::shaped_like(&saved[0])?;
        for row in 0..count {
            let state = &state[row * size..][..size];
            let observation = &observation[row * length..][..length];
            let (direct, merged) = g[row * 2 * size..][..2 * size].split_at(size);
            // By way of `target` gradient reaches what was neither observed nor cut off.
            elementwise!(size, [&mut out[row * size..][..size]], |range, [out]| {
                let through = |state: f32, g: f32| if state.abs() <= 1.0 { g } else { 0.0 };
                let seen = &observation[range.start.min(length)..range.end.min(length)];
                let (direct, merged, state) = (&direct[range.clone()], &merged[range.clone()], &state[range]);
                let (front, rest) = out.split_at_mut(seen.len());
                let given = direct.iter().zip(merged).zip(state);
                for ((out, ((k, m), s)), o) in front.iter_mut().zip(given).zip(seen) {
                    *out = k + if o.is_nan() { through(*s, *m) } else { 0.0 };
                }
                let behind = seen.len()..;
                let given = direct[behind.clone()].iter().zip(&merged[behind.clone()]).zip(&state[behind]);
                for (out, ((k, m), s)) in rest.iter_mut().zip(given) {
                    *out = k + through(*s, *m);
                }
                0.0
            });
        }
        Ok(vec![Some(out.into_tensor()), None])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merge::{Merge, Merged};
    use efference_sdk::Random;
    use efference_sdk::tch::Kind;

    #[test]
    fn values_and_gradients_are_those_of_libtorchs_operations() {
        for (count, size, length) in
            [(1, 5, 5), (3, 40, 7), (2, 33, 0), (2, 40_000, 900), (1, 40_000, 30_001)]
        {
            let mut random = Random::new(3);
            let of = random.normal(&[count, size], 1.0);
            let observation = random.normal(&[count, length], 1.0);
            let missing = random.normal(&[count, length], 1.0).f_gt(0.5).unwrap();
            let observation = observation.f_masked_fill(&missing, f64::NAN).unwrap();
            let weights = random.normal(&[count, 2 * size], 1.0);
            let mut answers = Vec::new();
            for fused in [true, false] {
                let state = of.copy().set_requires_grad(true);
                let input = if fused {
                    side_by_side(&state, &observation).unwrap().unwrap().0
                } else {
                    Merged::new(&state, &observation).unwrap().input(Merge::Concat, &state).unwrap()
                };
                (&input * &weights).sum(Kind::Float).backward();
                answers.push((input.detach(), state.grad()));
            }
            assert!(answers[0].0.equal(&answers[1].0));
            assert!(answers[0].1.allclose(&answers[1].1, 1e-6, 1e-6, false));
        }
    }
}

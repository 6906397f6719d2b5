//! The loss of a prediction as one operation of autograd: one pass over memory forward, one backward.
use crate::autograd::{
    Context, Gradients, Op, OutputBuffer, apply, item, matrix, rows, scalar, slice, sum_of,
};
use crate::{Result, elementwise, ensure};
use tch::Tensor;

/// The two terms of a prediction's loss (`observation`, `reserved`), the sums of the states' elements 2 and 3, all of which
/// carry gradient; then the means of error and misprediction. All are scalars; the formulas are those of
/// [`Prediction`](crate::Prediction). Shapes: `state` and `target` (batch, state size).
pub(super) fn prediction_loss(
    state: &Tensor,
    target: &Tensor,
    observed: i64,
    importance: f64,
    squared: bool,
) -> Result<[Tensor; 6]> {
    let op = PredictionLoss { observed, importance, squared };
    let made: Vec<Tensor> = apply(op, &[state, target])?;
    made.try_into().map_err(|_| crate::Error::msg("the loss of a prediction has six outputs"))
}

/// Inputs: state, target. Saved: both, and for each row the two factors that its gradient is multiplied with.
struct PredictionLoss {
    observed: i64,
    importance: f64,
    squared: bool,
}

const RESERVED: usize = 4;

impl Op for PredictionLoss {
    const NAME: &'static str = "prediction";

    fn forward(&mut self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        let (state, target) = (slice(inputs[0])?, slice(inputs[1])?);
        ensure!(state.len() == target.len(), "state and target must have the same shape");
        let rows = rows(inputs[0]) as usize;
        let width = state.len() / rows.max(1);
        let squared = self.squared;
        // Two a row: what the error's gradient is multiplied with, and the gradient of the misprediction.
        let mut factors = Vec::with_capacity(2 * rows);
        let (mut observation, mut reserved, mut errors, mut mispredictions) =
            (0.0f64, 0.0f64, 0.0f64, 0.0f64);
        let mut goals = [0.0f64; 2];
        for row in 0..rows {
            let (s, g) = (&state[row * width..][..width], &target[row * width..][..width]);
            let error = elementwise!(width, [], |range, []| match squared {
                true => sum_of(&s[range.clone()], &g[range], |s, g| 0.5 * (s - g) * (s - g)),
                false => sum_of(&s[range.clone()], &g[range], |s, g| (s - g).abs()),
            });
            let relative = 11.0 * error / self.observed as f64 - 1.0;
            let misprediction = relative.min(relative * 0.1);
            let slope = if relative < 0.0 { 1.0 } else { 0.1 } * 11.0 / self.observed as f64;
            let miss = f64::from(s[1]) - misprediction;
            let reward = f64::from(s[0] - g[0]);
            goals[0] += f64::from(s[2]);
            goals[1] += f64::from(s[3]);
            observation += self.importance * error;
            reserved += reward * reward + miss * miss;
            errors += error;
            mispredictions += misprediction;
            factors.extend([(-2.0 * miss * slope) as f32, (2.0 * miss) as f32]);
        }
        if context.differentiable() {
            context.save(inputs[0].shallow_clone());
            context.save(inputs[1].shallow_clone());
            context.save(matrix(1, &factors)?);
        }
        let mean = |sum: f64| scalar((sum / rows.max(1) as f64) as f32);
        let sums = [observation, reserved, goals[0], goals[1]].map(|sum| scalar(sum as f32));
        sums.into_iter().chain([mean(errors), mean(mispredictions)]).collect()
    }

    fn backward(&self, saved: &[Tensor], gradients: &Gradients<'_>) -> Result<Vec<Option<Tensor>>> {
        let value = |i: usize| gradients.of_output(i).map_or(Ok(0.0), item);
        let (of_observation, of_reserved) = (value(0)?, value(1)?);
        let of_goals = [value(2)? as f32, value(3)? as f32];
        let (state, target, factors) = (slice(&saved[0])?, slice(&saved[1])?, slice(&saved[2])?);
        let mut out = OutputBuffer::shaped_like(&saved[0])?;
        let rows = factors.len() / 2;
        let width = state.len() / rows.max(1);
        for (row, factors) in factors.chunks_exact(2).enumerate() {
            let (s, g) = (&state[row * width..][..width], &target[row * width..][..width]);
            let out = &mut out[row * width..][..width];
            let weight = (self.importance * of_observation + f64::from(factors[0]) * of_reserved) as f32;
            let squared = self.squared;
            elementwise!(width, [&mut *out], |range, [out]| {
                for ((out, s), g) in out.iter_mut().zip(&s[range.clone()]).zip(&g[range]) {
                    let d = s - g;
                    let sign = if d == 0.0 { 0.0 } else { d.signum() };
                    *out = weight * if squared { d } else { sign };
                }
                0.0
            });
            let reward = 2.0 * (s[0] - g[0]) * of_reserved as f32;
            let of_reserved = [reward, factors[1] * of_reserved as f32, of_goals[0], of_goals[1]];
            out[..RESERVED].copy_from_slice(&of_reserved);
        }
        Ok(vec![Some(out.into_tensor()), None])
    }
}

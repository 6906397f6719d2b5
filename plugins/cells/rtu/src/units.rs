//! The units' step as one operation of autograd: one pass over memory forward, one backward, on the CPU.
use efference_sdk::autograd::math::tanh;
use efference_sdk::autograd::{Context, Gradients, Op, OutputBuffer, apply, is_contiguous_cpu_f32, slice};
use efference_sdk::tch::Tensor;
use efference_sdk::{Error, Nonlinearity, Result, bail};

efference_sdk::options! {
    /// Where the nonlinearity of the units stands.
    pub enum Variant {
        /// Between the units and what reads them: the units themselves are linear.
        Linear,
        /// Within the recurrence.
        Nonlinear,
    }
}

/// What a state holds of the units' numbers.
pub(crate) const SHARE: f64 = 0.25;

/// Below, r is 1 for all that 32 bits can tell, and √(1 − r²) has no slope.
pub(crate) const LEAST_NU: f64 = -16.0;

/// How units go on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    pub(crate) nonlinearity: Nonlinearity,
    pub(crate) variant: Variant,
}

/// What a unit's parameters come to.
struct Turn {
    /// r · cos(angle), r · sin(angle), √(1 − r²).
    along: f32,
    across: f32,
    scale: f32,
    /// Derivatives of r (over r) and of the scale in `nu`, and of the angle in its logarithm.
    fade: f32,
    scale_by_nu: f32,
    angle: f32,
}

impl Turn {
    fn of(nu: f32, log_angle: f32) -> Self {
        let held = f64::from(nu) < LEAST_NU;
        let rate = f64::from(nu).max(LEAST_NU).exp();
        let (r, scale, angle) = ((-rate).exp(), (-(-2.0 * rate).exp_m1()).sqrt(), f64::from(log_angle).exp());
        Turn {
            along: (r * angle.cos()) as f32,
            across: (r * angle.sin()) as f32,
            scale: scale as f32,
            fade: if held { 0.0 } else { -rate as f32 },
            scale_by_nu: if held { 0.0 } else { (rate * r * r / scale) as f32 },
            angle: angle as f32,
        }
    }
}

impl Step {
    /// Of the units' part of the state, (batch, 2 · units), of what drives them, as large, and of their parameters, (units)
    /// each: the units' part of the next state, and what is seen of it. `None` where it takes libtorch's own operations.
    pub(crate) fn apply(
        self,
        state: &Tensor,
        drive: &Tensor,
        nu: &Tensor,
        log_angle: &Tensor,
    ) -> Result<Option<[Tensor; 2]>> {
        let (state, drive) = (state.f_contiguous()?, drive.f_contiguous()?);
        let inputs = [&state, &drive, nu, log_angle];
        if !inputs.into_iter().all(is_contiguous_cpu_f32) {
            return Ok(None);
        }
        let made = apply(self, &inputs)?;
        made.try_into().map(Some).map_err(|_| Error::msg("the units' step has two outputs"))
    }

    fn f(self, x: f32) -> f32 {
        match self.nonlinearity {
            Nonlinearity::None => x,
            Nonlinearity::Relu => x.max(0.0),
            Nonlinearity::Softsign => x / (1.0 + x.abs()),
            Nonlinearity::Tanh => tanh(x),
        }
    }

    /// The derivative of `f` where it is `y`.
    fn slope(self, y: f32) -> f32 {
        match self.nonlinearity {
            Nonlinearity::None => 1.0,
            Nonlinearity::Relu => f32::from(y > 0.0),
            Nonlinearity::Softsign => (1.0 - y.abs()) * (1.0 - y.abs()),
            Nonlinearity::Tanh => 1.0 - y * y,
        }
    }
}

const SHARE_32: f32 = SHARE as f32;

/// Saved: the inputs, and what is seen.
impl Op for Step {
    const NAME: &'static str = "trace units";

    fn forward(&mut self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        let [state, drive, nu, log_angle] = inputs else { bail!("the units' step takes four tensors") };
        let shape = state.size();
        let (state, drive) = (slice(state)?, slice(drive)?);
        let turns: Vec<Turn> =
            slice(nu)?.iter().zip(slice(log_angle)?).map(|(nu, angle)| Turn::of(*nu, *angle)).collect();
        let units = turns.len();
        let (mut next, mut seen) = (OutputBuffer::empty(&shape)?, OutputBuffer::empty(&shape)?);
        let rows = next.chunks_exact_mut(2 * units).zip(seen.chunks_exact_mut(2 * units));
        for (row, (next, seen)) in rows.enumerate() {
            let (c1, c2) = state[row * 2 * units..][..2 * units].split_at(units);
            let (d1, d2) = drive[row * 2 * units..][..2 * units].split_at(units);
            for (u, turn) in turns.iter().enumerate() {
                let (c1, c2) = (c1[u] / SHARE_32, c2[u] / SHARE_32);
                let a1 = turn.along * c1 - turn.across * c2 + turn.scale * d1[u];
                let a2 = turn.along * c2 + turn.across * c1 + turn.scale * d2[u];
                for (a, at) in [(a1, u), (a2, units + u)] {
                    seen[at] = self.f(a);
                    next[at] = SHARE_32 * if self.variant == Variant::Linear { a } else { seen[at] };
                }
            }
        }
        let seen = seen.into_tensor();
        if context.differentiable() {
            inputs.iter().for_each(|input| context.save(input.shallow_clone()));
            context.save(seen.shallow_clone());
        }
        Ok(vec![next.into_tensor(), seen])
    }

    fn backward(&self, saved: &[Tensor], gradients: &Gradients<'_>) -> Result<Vec<Option<Tensor>>> {
        let [state, drive, nu, log_angle, seen] = saved else { bail!("the units' step saves five tensors") };
        let grad = |i| gradients.of_output(i).map_or_else(|| seen.f_zeros_like(), Tensor::f_contiguous);
        let (of_next, of_seen) = (grad(0)?, grad(1)?);
        let (mut of_state, mut of_drive) =
            (OutputBuffer::empty(&state.size())?, OutputBuffer::empty(&state.size())?);
        let turns: Vec<Turn> =
            slice(nu)?.iter().zip(slice(log_angle)?).map(|(nu, angle)| Turn::of(*nu, *angle)).collect();
        let units = turns.len();
        let mut of_nu = OutputBuffer::empty(&nu.size())?;
        let mut of_angle = OutputBuffer::empty(&nu.size())?;
        of_nu.fill(0.0);
        of_angle.fill(0.0);
        let (state, drive, seen) = (slice(state)?, slice(drive)?, slice(seen)?);
        let (of_next, of_seen) = (slice(&of_next)?, slice(&of_seen)?);
        for row in 0..seen.len() / (2 * units) {
            let first = row * 2 * units;
            for (u, turn) in turns.iter().enumerate() {
                let (i, j) = (first + u, first + units + u);
                let through = |at: usize| {
                    let slope = self.slope(seen[at]);
                    match self.variant {
                        Variant::Linear => SHARE_32 * of_next[at] + slope * of_seen[at],
                        Variant::Nonlinear => slope * (SHARE_32 * of_next[at] + of_seen[at]),
                    }
                };
                let (g1, g2) = (through(i), through(j));
                (of_drive[i], of_drive[j]) = (turn.scale * g1, turn.scale * g2);
                of_state[i] = (turn.along * g1 + turn.across * g2) / SHARE_32;
                of_state[j] = (turn.along * g2 - turn.across * g1) / SHARE_32;
                let (c1, c2) = (state[i] / SHARE_32, state[j] / SHARE_32);
                let turned = [turn.along * c1 - turn.across * c2, turn.along * c2 + turn.across * c1];
                of_nu[u] += turn.fade * (g1 * turned[0] + g2 * turned[1])
                    + turn.scale_by_nu * (g1 * drive[i] + g2 * drive[j]);
                of_angle[u] += turn.angle * (g2 * turned[0] - g1 * turned[1]);
            }
        }
        let all = [of_state, of_drive, of_nu, of_angle].map(OutputBuffer::into_tensor);
        Ok(all.into_iter().enumerate().map(|(i, g)| gradients.needs_input_grad(i).then_some(g)).collect())
    }
}

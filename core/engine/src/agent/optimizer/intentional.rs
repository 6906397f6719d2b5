//! Intentional updates (Sharifnassab et al., "Intentional updates for streaming reinforcement learning", arXiv 2604.19033).
use super::{Optimizer, Rows, laid_out_as, power};
use crate::agent::elements::change;
use efference_sdk::autograd::{simd, slice_in_memory_order, sum_of};
use efference_sdk::{Result, ensure};
use tch::Tensor;

/// Which share of an error an update removes (the paper: 0.25 for Q(λ), 0.5 for the value of AC(λ)); and by how much an update
/// changes what an error weighs.
const INTENT: [f64; 2] = [0.25, 0.05];
/// How much of the means of errors is kept in a step.
const ERROR_DECAY: f64 = 0.9998;
/// An error counts for so many times the root of the mean square of errors at most.
const ERROR_LIMIT: f64 = 20.0;

/// What a group remembers of its steps.
#[derive(Debug, Clone, Copy)]
struct Memory {
    /// Updates so far.
    updates: f64,
    /// The running mean of `Σ g² / s`.
    effect: f64,
    /// Errors so far, and the running means of their squares and sizes.
    errors: f64,
    square: f64,
    size: f64,
}

impl Memory {
    /// Begins with a mean square of 1, as the paper's program does.
    const NEW: Memory = Memory { updates: 0.0, effect: 0.0, errors: 0.0, square: 1.0, size: 0.0 };

    fn of(shared: &[f64]) -> Result<Self> {
        match *shared {
            [] => Ok(Self::NEW),
            [updates, effect, errors, square, size] => Ok(Memory { updates, effect, errors, square, size }),
            _ => {
                ensure!(
                    false,
                    "an optimizer of kind \"intentional\" remembers 5 elements, not {}",
                    shared.len()
                );
                Ok(Self::NEW)
            }
        }
    }

    fn into_shared(self) -> Vec<f64> {
        let Memory { updates, effect, errors, square, size } = self;
        vec![updates, effect, errors, square, size]
    }

    /// Counts an error in, and limits it; one that weighs a value is divided by the mean of their sizes.
    fn take_error(&mut self, error: f64, weighs: bool) -> f64 {
        self.errors += 1.0;
        self.square += (1.0 - ERROR_DECAY) * (error * error - self.square);
        let unbiased = 1.0 - ERROR_DECAY.powf(self.errors);
        let limit = ERROR_LIMIT * (self.square / unbiased).sqrt();
        let error = error.clamp(-limit, limit);
        if !weighs {
            return error;
        }
        self.size += (1.0 - ERROR_DECAY) * (error.abs() - self.size);
        error / (self.size / unbiased).max(1e-12)
    }
}

impl Optimizer {
    /// With `g` the gradients of a term's value, `z` their traces, `δ` the errors and `n` the number of rows; means over rows,
    /// sums over all parameters of the group:
    ///
    /// ```text
    /// v ← beta2 · v + (1 − beta2) · mean g²          s = √v̂ + epsilon
    /// σ ← σ + (1 − decay) · (mean Σ g² / s − σ)      α = intent / (n · √(σ̂ · Σ z² / s))
    /// p ← p + Σ_rows α · δ · z / s
    /// ```
    ///
    /// `v̂` and `σ̂` are without the bias of their zeros at the beginning. Errors are limited to 20 times the root of their
    /// running mean square; errors that weigh a value are divided by the running mean of their sizes. So an update of a value
    /// removes about the share `intent` of its error, and one of a policy changes the log-probability by about `intent`.
    pub(super) fn follow_intentionally(
        &mut self,
        parameters: &[(String, Tensor)],
        rows: &Rows<'_>,
    ) -> Result<()> {
        let mut memory = Memory::of(&self.shared)?;
        memory.updates += 1.0;
        let n = rows.rows.len() as f64;
        // Σ g² / s of all rows, Σ z² / s of each, and 1 / s of each parameter.
        let (mut effect, mut lengths) = (0.0, vec![0.0; rows.rows.len()]);
        let mut inverses = Vec::with_capacity(parameters.len());
        for (i, (name, p)) in parameters.iter().enumerate() {
            self.count_update(name, p);
            let Some(state) = self.states.get_mut(name) else { continue };
            if state.tensors.is_empty() {
                state.tensors.push(p.f_zeros_like()?);
            }
            let (v, unbiased) = (&state.tensors[0], 1.0 / (1.0 - power(self.settings.beta2, state.steps)));
            let scale = Scale { unbiased: unbiased as f32, epsilon: self.settings.epsilon as f32 };
            inverses.push(scale.inverse(v, rows, i, self.settings.beta2)?);
            for (row, length) in rows.rows.iter().zip(&mut lengths) {
                effect += weighted_squares(&inverses[i], p, row.gradients[i])?;
                *length += weighted_squares(&inverses[i], p, row.traces[i])?;
            }
        }
        memory.effect += (1.0 - rows.decay) * (effect / n - memory.effect);
        let effect = memory.effect / (1.0 - rows.decay.powf(memory.updates));

        let intent = self.settings.intent.unwrap_or(INTENT[usize::from(rows.weighs)]);
        for (row, length) in rows.rows.iter().zip(&lengths) {
            let size = intent / (n * (effect * length).sqrt().max(1e-8));
            let step = (size * memory.take_error(row.error, rows.weighs)) as f32;
            for (i, ((_, p), inverse)) in parameters.iter().zip(&inverses).enumerate() {
                change([p], row.traces[i], |[p], z| {
                    simd(|| {
                        let elements = p.iter_mut().zip(z).zip(inverse);
                        elements.for_each(|((p, z), inverse)| *p += step * z * inverse);
                    });
                })?;
            }
        }
        self.shared = memory.into_shared();
        Ok(())
    }
}

/// `s = √(v · unbiased) + epsilon`
#[derive(Debug, Clone, Copy)]
struct Scale {
    unbiased: f32,
    epsilon: f32,
}

impl Scale {
    /// `1 / s` of each element of parameter `i`, after `v ← beta2 · v + (1 − beta2) · mean g²`.
    fn inverse(self, v: &Tensor, rows: &Rows<'_>, i: usize, beta2: f64) -> Result<Vec<f32>> {
        let (decay, share) = (beta2 as f32, ((1.0 - beta2) / rows.rows.len() as f64) as f32);
        change([v], None, |[v], _| v.iter_mut().for_each(|v| *v *= decay))?;
        for row in &rows.rows {
            change([v], row.gradients[i], |[v], g| {
                simd(|| v.iter_mut().zip(g).for_each(|(v, g)| *v += share * g * g));
            })?;
        }
        let (v, mut inverse) = (slice_in_memory_order(v)?, vec![0.0; v.numel()]);
        simd(|| {
            for (inverse, v) in inverse.iter_mut().zip(v) {
                *inverse = 1.0 / ((v * self.unbiased).sqrt() + self.epsilon);
            }
        });
        Ok(inverse)
    }
}

/// `Σ x² · inverse`, `x` of the parameter `p`; 0 without `x`.
fn weighted_squares(inverse: &[f32], p: &Tensor, x: Option<&Tensor>) -> Result<f64> {
    let Some(x) = x else { return Ok(0.0) };
    let x = laid_out_as(p, x)?;
    let x = slice_in_memory_order(&x)?;
    Ok(simd(|| sum_of(x, inverse, |x, inverse| x * x * inverse)))
}

//! Intentional updates (Sharifnassab et al., "Intentional updates for streaming reinforcement learning", arXiv 2604.19033).
use super::{Optimizer, Rows, power};
use crate::agent::elements::change;
use efference_sdk::autograd::{count, sum_of};
use efference_sdk::{Result, ensure, simd};
use std::ops::Range;
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
        // Σ g² / s of all rows, Σ z² / s of each, and 1 / s of each element of all parameters.
        let (mut effect, mut lengths) = (0.0, vec![0.0; rows.rows.len()]);
        let mut inverses = std::mem::take(&mut self.scratch);
        inverses.resize(parameters.iter().map(|(_, p)| count(p)).sum(), 0.0);
        let mut end = 0;
        for (i, (name, p)) in parameters.iter().enumerate() {
            let place = end..end + count(p);
            end = place.end;
            let (beta2, epsilon) = (self.settings.beta2, self.settings.epsilon);
            let state = self.count_update(i, name, p);
            if state.tensors.is_empty() {
                state.tensors.push(p.f_zeros_like()?);
            }
            let (v, unbiased) = (&state.tensors[0], 1.0 / (1.0 - power(beta2, state.steps)));
            let scale = Scale {
                decay: beta2 as f32,
                share: ((1.0 - beta2) / n) as f32,
                unbiased: unbiased as f32,
                epsilon: epsilon as f32,
            };
            effect += scale.measure(v, rows, (i, place.clone()), &mut inverses[place], &mut lengths)?;
        }
        memory.effect += (1.0 - rows.decay) * (effect / n - memory.effect);
        let effect = memory.effect / (1.0 - rows.decay.powf(memory.updates));

        let intent = self.settings.intent.unwrap_or(INTENT[usize::from(rows.weighs)]);
        for (row, length) in rows.rows.iter().zip(&lengths) {
            let size = intent / (n * (effect * length).sqrt().max(1e-8));
            let step = (size * memory.take_error(row.error, rows.weighs)) as f32;
            let mut rest = &inverses[..];
            for ((_, p), trace) in parameters.iter().zip(row.traces.of_all(parameters)) {
                let (inverse, behind) = rest.split_at(count(p));
                rest = behind;
                change([p], [trace], |[p], [z]| {
                    simd!({
                        let elements = p.iter_mut().zip(z).zip(inverse);
                        elements.for_each(|((p, z), inverse)| *p += step * z * inverse);
                    });
                })?;
            }
        }
        self.scratch = inverses;
        self.shared = memory.into_shared();
        Ok(())
    }
}

/// `v ← decay · v + share · Σ g²`, `s = √(v · unbiased) + epsilon`
#[derive(Debug, Clone, Copy)]
struct Scale {
    decay: f32,
    share: f32,
    unbiased: f32,
    epsilon: f32,
}

impl Scale {
    /// Updates `v` of the parameter `i`, whose elements are at `place` among those of all, writes `1 / s` of its elements, adds the
    /// `Σ z² / s` of its rows to `lengths`, and returns the `Σ g² / s` of all rows.
    fn measure(
        self,
        v: &Tensor,
        rows: &Rows<'_>,
        (i, place): (usize, Range<usize>),
        inverse: &mut [f32],
        lengths: &mut [f64],
    ) -> Result<f64> {
        let mut effect = 0.0;
        if let ([row], [length]) = (&rows.rows[..], &mut *lengths)
            && let (Some(g), Some(z)) = (row.gradients.of(i, place.clone()), row.traces.of(i, place.clone()))
        {
            // The usual case, in one pass over memory.
            change([v], [Some(g), Some(z)], |[v], [g, z]| {
                let sums = simd!(self.measure_row(v, g, z, inverse));
                effect += sums[0];
                *length += sums[1];
            })?;
            return Ok(effect);
        }
        change([v], [], |[v], []| v.iter_mut().for_each(|v| *v *= self.decay))?;
        for row in &rows.rows {
            change([v], [row.gradients.of(i, place.clone())], |[v], [g]| {
                simd!(v.iter_mut().zip(g).for_each(|(v, g)| *v += self.share * g * g));
            })?;
        }
        change([v], [], |[v], []| {
            simd!(inverse.iter_mut().zip(&*v).for_each(|(inverse, v)| *inverse = self.inverse(*v)));
        })?;
        for (row, length) in rows.rows.iter().zip(lengths) {
            let read = [row.gradients, row.traces].map(|all| all.of(i, place.clone()));
            change([v], read, |_, [g, z]| {
                effect += weighted_squares(g, inverse);
                *length += weighted_squares(z, inverse);
            })?;
        }
        Ok(effect)
    }

    /// The same of a single row, of which there are all gradients and traces: `Σ g² / s` and `Σ z² / s`. Sums are kept as
    /// [`sum_of`] keeps them, so that they are the same bits; they are taken while the next division is under way.
    #[inline(always)]
    fn measure_row(self, v: &mut [f32], g: &[f32], z: &[f32], inverse: &mut [f32]) -> [f64; 2] {
        const CHUNK: usize = 1024;
        const PLACES: usize = 16;
        let measure = |v: &mut f32, g: f32, z: f32, inverse: &mut f32| {
            *v = *v * self.decay + self.share * g * g;
            *inverse = self.inverse(*v);
            [g * g * *inverse, z * z * *inverse]
        };
        let mut totals = [0.0; 2];
        let chunks = v.chunks_mut(CHUNK).zip(inverse.chunks_mut(CHUNK));
        for ((v, inverse), (g, z)) in chunks.zip(g.chunks(CHUNK).zip(z.chunks(CHUNK))) {
            let (mut of_g, mut of_z) = ([0.0f32; PLACES], [0.0f32; PLACES]);
            let (mut vs, mut inverses) = (v.chunks_exact_mut(PLACES), inverse.chunks_exact_mut(PLACES));
            let (gs, zs) = (g.chunks_exact(PLACES), z.chunks_exact(PLACES));
            let rest = gs.remainder().iter().zip(zs.remainder());
            for ((v, inverse), (g, z)) in vs.by_ref().zip(inverses.by_ref()).zip(gs.zip(zs)) {
                for i in 0..PLACES {
                    let [g, z] = measure(&mut v[i], g[i], z[i], &mut inverse[i]);
                    of_g[i] += g;
                    of_z[i] += z;
                }
            }
            let mut rests = [0.0f32; 2];
            let ends = vs.into_remainder().iter_mut().zip(inverses.into_remainder());
            for ((v, inverse), (g, z)) in ends.zip(rest) {
                let [g, z] = measure(v, *g, *z, inverse);
                rests[0] += g;
                rests[1] += z;
            }
            totals[0] += f64::from(of_g.iter().sum::<f32>() + rests[0]);
            totals[1] += f64::from(of_z.iter().sum::<f32>() + rests[1]);
        }
        totals
    }

    #[inline(always)]
    fn inverse(self, v: f32) -> f32 {
        1.0 / ((v * self.unbiased).sqrt() + self.epsilon)
    }
}

/// `Σ x² · inverse`; 0 without `x`.
fn weighted_squares(x: &[f32], inverse: &[f32]) -> f64 {
    simd!(sum_of(x, inverse, |x, inverse| x * x * inverse))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_in_one_pass_are_the_same_bits() {
        let scale = Scale { decay: 0.9, share: 0.1, unbiased: 1.7, epsilon: 1e-6 };
        for n in [0, 1, 15, 16, 17, 1023, 1024, 1041, 5000] {
            let elements = |step: f32| -> Vec<f32> { (0..n).map(|i| (i as f32 * step).sin()).collect() };
            let (mut v, g, z) = (elements(0.3), elements(0.7), elements(1.1));
            v.iter_mut().for_each(|v| *v *= *v);
            let expected: Vec<f32> = v.iter().zip(&g).map(|(v, g)| v * 0.9 + 0.1 * g * g).collect();
            let inverses: Vec<f32> = expected.iter().map(|v| scale.inverse(*v)).collect();
            let mut inverse = vec![0.0; n];
            let sums = scale.measure_row(&mut v, &g, &z, &mut inverse);
            assert_eq!(sums, [weighted_squares(&g, &inverses), weighted_squares(&z, &inverses)], "{n}");
            assert_eq!((v, inverse), (expected, inverses), "{n}");
        }
    }
}

//! Policies: distributions over the actions that an environment wants.
use crate::autograd::{Context, Gradients, Op, OutputBuffer, apply, slice};
use crate::{ActionGroup, Random, Result, action_width, ensure};
use rand_distr::{Distribution, StandardNormal};
use std::ops::Range;
use tch::Tensor;

/// A distribution over a vector of actions, from parameters that a network returns, group by group:
///
/// * a choice among `n`: the softmax of `n` logits; an action is 1 for what was chosen and 0 elsewhere;
/// * a value: a normal distribution with mean `μ` and deviation `σ = softplus(ρ) + 1e-6`, of the parameters `μ, ρ`; an action is
///   the number that was drawn, which is not limited. The environment gets it limited to −1…1.
///
/// Groups are drawn independently of each other.
#[derive(Debug, Clone)]
pub struct Policy {
    groups: Vec<ActionGroup>,
}

/// Added to a deviation.
const EPSILON: f32 = 1e-6;
/// `½ · ln 2π`
const HALF_LOG_TAU: f32 = 0.918_938_5;

impl Policy {
    /// Over actions in these groups, at least one.
    pub fn new(groups: &[ActionGroup]) -> Result<Self> {
        ensure!(
            !groups.is_empty(),
            "a policy needs an environment that wants actions, and this one wants none"
        );
        Ok(Policy { groups: groups.to_vec() })
    }

    /// The groups.
    pub fn groups(&self) -> &[ActionGroup] {
        &self.groups
    }

    /// Elements of a vector of actions.
    pub fn width(&self) -> usize {
        action_width(&self.groups)
    }

    /// Parameters of a row.
    pub fn parameters(&self) -> usize {
        self.groups.iter().map(|group| parameters(*group)).sum()
    }

    /// Draws an action from a row of parameters, or takes the likeliest one.
    pub fn draw(&self, row: &[f32], random: &mut Random, greedy: bool, action: &mut [f32]) {
        for (group, own, place) in self.parts() {
            let (row, action) = (&row[own], &mut action[place]);
            if group.choices == 0 {
                let z: f64 = if greedy { 0.0 } else { StandardNormal.sample(random.generator()) };
                action[0] = row[0] + deviation(row[1]) * z as f32;
            } else {
                let chosen = if greedy { largest(row) } else { draw_choice(row, random) };
                action.fill(0.0);
                action[chosen] = 1.0;
            }
        }
    }

    /// The entropy of a row of parameters, in nats: that of choices, and the differential one of values.
    pub fn entropy(&self, row: &[f32]) -> f32 {
        let of_group = |(group, own, _): (ActionGroup, Range<usize>, Range<usize>)| {
            let row = &row[own];
            if group.choices == 0 {
                deviation(row[1]).ln() + HALF_LOG_TAU + 0.5
            } else {
                entropy_of(&softmax(row))
            }
        };
        self.parts().map(of_group).sum()
    }

    /// `log π(action) + weight · H`, (rows), of parameters (rows, [`parameters`](Self::parameters)); `actions` are
    /// [`width`](Self::width) numbers a row, `weights` what the entropy counts for, one a row.
    pub fn log_probability(
        &self,
        parameters: &Tensor,
        actions: Vec<f32>,
        weights: Vec<f32>,
    ) -> Result<Tensor> {
        let rows = weights.len();
        let expected = [rows as i64, self.parameters() as i64];
        ensure!(
            parameters.size() == expected && actions.len() == rows * self.width(),
            "a policy of {rows} rows has parameters of shape {expected:?} and {} elements of actions, not {:?} and {}",
            rows * self.width(),
            parameters.size(),
            actions.len()
        );
        Ok(apply(LogProbability { policy: self.clone(), actions, weights }, &[parameters])?.remove(0))
    }

    /// `log π(action) + weight · H` of a row of parameters.
    pub fn log_probability_of(&self, row: &[f32], action: &[f32], weight: f32) -> f32 {
        let mut y = weight * self.entropy(row);
        for (group, own, place) in self.parts() {
            let (row, action) = (&row[own], &action[place]);
            y += if group.choices == 0 {
                let sigma = deviation(row[1]);
                let z = (action[0] - row[0]) / sigma;
                -0.5 * z * z - sigma.ln() - HALF_LOG_TAU
            } else {
                log(softmax(row)[largest(action)])
            };
        }
        y
    }

    /// Its gradient by the row of parameters. With `w` the weight, of a choice
    /// `∂/∂logit_k = 1[k = action] − π_k − w · π_k · (log π_k + H)`; of a value, with `z = (action − μ) / σ`, `∂/∂μ = z / σ` and
    /// `∂/∂ρ = ((z² − 1 + w) / σ) · sigmoid(ρ)`.
    pub fn log_probability_gradient(&self, row: &[f32], action: &[f32], weight: f32, gradient: &mut [f32]) {
        for (group, own, place) in self.parts() {
            let (row, action, out) = (&row[own.clone()], &action[place], &mut gradient[own]);
            if group.choices == 0 {
                let sigma = deviation(row[1]);
                let z = (action[0] - row[0]) / sigma;
                out[0] = z / sigma;
                out[1] = (z * z - 1.0 + weight) / sigma / (1.0 + (-row[1]).exp());
                continue;
            }
            let probabilities = softmax(row);
            let (entropy, chosen) = (entropy_of(&probabilities), largest(action));
            for (k, (out, p)) in out.iter_mut().zip(&probabilities).enumerate() {
                let one = f32::from(u8::from(k == chosen));
                *out = one - p - weight * p * (log(*p) + entropy);
            }
        }
    }

    /// Each group, with where its parameters and its actions stand in a row.
    fn parts(&self) -> impl Iterator<Item = (ActionGroup, Range<usize>, Range<usize>)> {
        let (mut own, mut action) = (0, 0);
        self.groups.iter().map(move |group| {
            let starts = (own, action);
            (own, action) = (own + parameters(*group), action + group.width());
            (*group, starts.0..own, starts.1..action)
        })
    }
}

/// Parameters of a group.
fn parameters(group: ActionGroup) -> usize {
    if group.choices == 0 { 2 } else { group.choices as usize }
}

/// `softplus(ρ) + ε`
fn deviation(rho: f32) -> f32 {
    // ln(1 + e^ρ), without overflow for a large ρ.
    rho.max(0.0) + (-rho.abs()).exp().ln_1p() + EPSILON
}

/// The probabilities of a row of logits.
fn softmax(logits: &[f32]) -> Vec<f32> {
    let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f32> = logits.iter().map(|l| (l - top).exp()).collect();
    let sum: f32 = powers.iter().sum();
    powers.into_iter().map(|p| p / sum).collect()
}

/// `H = −Σ π · log π` of probabilities.
fn entropy_of(probabilities: &[f32]) -> f32 {
    -probabilities.iter().map(|p| p * log(*p)).sum::<f32>()
}

/// The logarithm; of 0 one that a product with 0 survives.
fn log(p: f32) -> f32 {
    p.max(f32::MIN_POSITIVE).ln()
}

fn draw_choice(logits: &[f32], random: &mut Random) -> usize {
    let mut left = random.unit() as f32;
    let drawn = softmax(logits).iter().position(|p| {
        left -= p;
        left < 0.0
    });
    // Rounding may leave a little beyond the last one.
    drawn.unwrap_or_else(|| largest(logits))
}

/// The place of the largest element; the last one of several.
pub fn largest(row: &[f32]) -> usize {
    (0..row.len()).max_by(|i, j| row[*i].total_cmp(&row[*j])).unwrap_or(0)
}

struct LogProbability {
    policy: Policy,
    actions: Vec<f32>,
    weights: Vec<f32>,
}

impl LogProbability {
    /// For each row: its parameters, its action and its weight.
    fn rows<'a>(&'a self, parameters: &'a [f32]) -> impl Iterator<Item = (&'a [f32], &'a [f32], f32)> {
        let rows = parameters.chunks_exact(self.policy.parameters());
        let done = self.actions.chunks_exact(self.policy.width());
        rows.zip(done).zip(&self.weights).map(|((row, action), weight)| (row, action, *weight))
    }
}

impl Op for LogProbability {
    const NAME: &'static str = "log-probability";

    fn forward(&mut self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        let parameters = inputs[0].f_contiguous()?;
        let mut y = OutputBuffer::empty(&[self.weights.len() as i64])?;
        for (y, (row, action, weight)) in y.iter_mut().zip(self.rows(slice(&parameters)?)) {
            *y = self.policy.log_probability_of(row, action, weight);
        }
        context.save(parameters);
        Ok(vec![y.into_tensor()])
    }

    fn backward(&self, saved: &[Tensor], gradients: &Gradients<'_>) -> Result<Vec<Option<Tensor>>> {
        let Some(grad) = gradients.of_output(0) else { return Ok(gradients.none()) };
        let (grad, parameters) = (grad.f_contiguous()?, &saved[0]);
        let mut out = OutputBuffer::empty(&parameters.size())?;
        let rows = out.chunks_exact_mut(self.policy.parameters()).zip(self.rows(slice(parameters)?));
        for ((out, (row, action, weight)), g) in rows.zip(slice(&grad)?) {
            self.policy.log_probability_gradient(row, action, weight, out);
            out.iter_mut().for_each(|out| *out *= g);
        }
        Ok(vec![Some(out.into_tensor())])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::autograd;
    use tch::Kind;

    fn mixed() -> Policy {
        Policy::new(&[ActionGroup::choice(3), ActionGroup::VALUE, ActionGroup::choice(2)]).unwrap()
    }

    #[test]
    fn log_probability_and_entropy_have_the_gradient_of_what_libtorch_computes() {
        let policy = mixed();
        assert_eq!((policy.width(), policy.parameters()), (6, 7));
        let parameters = Random::new(5).normal(&[2, 7], 1.0).set_requires_grad(true);
        let actions = vec![0.0, 1.0, 0.0, -0.7, 1.0, 0.0, 1.0, 0.0, 0.0, 2.5, 0.0, 1.0];
        let (weights, g) = (vec![0.3f32, -0.5], Tensor::from_slice(&[1.5f32, -2.0]));
        let y = policy.log_probability(&parameters, actions.clone(), weights.clone()).unwrap();
        let found = autograd::gradients(&[(&y, &g)], &[&parameters]).unwrap().remove(0).unwrap();

        let done = Tensor::from_slice(&actions).view([2, 6]);
        let of_choice = |from: i64, to: i64, action: i64| {
            let logs = parameters.narrow(1, from, to - from).log_softmax(-1, Kind::Float);
            let log = (&logs * done.narrow(1, action, to - from)).sum_dim_intlist(
                [1i64].as_slice(),
                false,
                Kind::Float,
            );
            let entropy = -(logs.exp() * &logs).sum_dim_intlist([1i64].as_slice(), false, Kind::Float);
            (log, entropy)
        };
        let (mean, sigma) = (parameters.select(1, 3), parameters.select(1, 4).softplus() + 1e-6);
        let z = (done.select(1, 3) - mean) / &sigma;
        let half = 0.5 * std::f64::consts::TAU.ln();
        let of_value = (z.square() * -0.5 - sigma.log() - half, sigma.log() + half + 0.5);
        let all = [of_choice(0, 3, 0), of_value, of_choice(5, 7, 4)];
        let weights = Tensor::from_slice(&weights);
        let expected =
            all.into_iter().map(|(log, entropy)| log + &weights * entropy).reduce(|a, b| a + b).unwrap();
        assert!(y.allclose(&expected, 1e-5, 1e-5, false), "{y} {expected}");
        let expected = Tensor::run_backward(&[(expected * g).sum(Kind::Float)], &[&parameters], false, false);
        assert!(found.allclose(&expected[0], 1e-4, 1e-5, false), "{found} {}", expected[0]);
    }

    #[test]
    fn actions_are_drawn_as_often_as_they_are_likely() {
        let policy = mixed();
        let row = [0.0, f32::MIN, f32::MIN, 0.25, 0.5, 0.0, 3f32.ln()];
        let (mut random, mut action, n) = (Random::new(1), [0.0; 6], 4000);
        let (mut second, mut sum, mut squares) = (0, 0.0, 0.0);
        for _ in 0..n {
            policy.draw(&row, &mut random, false, &mut action);
            assert_eq!(action[..3], [1.0, 0.0, 0.0]);
            second += usize::from(action[5] == 1.0);
            sum += f64::from(action[3]);
            squares += f64::from(action[3] * action[3]);
        }
        assert!((2900..3100).contains(&second), "{second}");
        let (mean, sigma) = (sum / f64::from(n), f64::from(deviation(0.5)));
        assert!((mean - 0.25).abs() < 0.06, "{mean}");
        let spread = (squares / f64::from(n) - mean * mean).sqrt();
        assert!((spread / sigma - 1.0).abs() < 0.05, "{spread} {sigma}");
        policy.draw(&row, &mut random, true, &mut action);
        assert_eq!(action, [1.0, 0.0, 0.0, 0.25, 0.0, 1.0]);
    }
}

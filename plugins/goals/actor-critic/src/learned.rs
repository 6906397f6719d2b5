//! What is learned of the rows of a step.
use crate::networks::{Networks, Outputs, POLICY, VALUE};
use efference_sdk::autograd::{OutputBuffer, scalar, slice};
use efference_sdk::nn::Policy;
use efference_sdk::tch::Tensor;
use efference_sdk::{Loss, Result, TraceStep, TracedLoss, TracedRow, TracedTerm, bail};

/// Row by row: the error, the action, what the policy's entropy counts for, and what becomes of the traces.
#[derive(Default)]
pub(crate) struct Learned {
    errors: Vec<f32>,
    actions: Vec<f32>,
    weights: Vec<f32>,
    traces: Vec<TraceStep>,
    /// Sums over the rows that something is learned of: of values and of entropies.
    sums: [f32; 2],
}

impl Learned {
    pub(crate) fn push(&mut self, error: f64, action: Vec<f32>, weight: f32) {
        self.errors.push(error as f32);
        self.actions.extend(action);
        self.weights.push(weight);
        self.traces.push(TraceStep::Continue);
    }

    /// Nothing is learned of the next row, whose action has so many elements.
    pub(crate) fn rest(&mut self, width: usize) {
        self.errors.push(0.0);
        self.actions.extend(std::iter::repeat_n(0.0, width));
        self.weights.push(0.0);
        self.traces.push(TraceStep::Rest);
    }

    pub(crate) fn measure(&mut self, value: f32, entropy: f32) {
        self.sums[0] += value;
        self.sums[1] += entropy;
    }

    /// Means over the rows that something is learned of; none without such rows.
    fn metrics(&self) -> impl Iterator<Item = (&'static str, f32)> + use<> {
        let rows = self.traces.iter().filter(|step| **step != TraceStep::Rest).count() as f32;
        let errors: f32 = self.errors.iter().map(|error| error.abs()).sum();
        let [values, entropies] = self.sums;
        let all = [("td_error", errors / rows), ("value", values / rows), ("entropy", entropies / rows)];
        all.into_iter().filter(move |_| rows > 0.0)
    }

    /// The terms with the gradients of their values, by what was computed before.
    pub(crate) fn traced(self, policy: &Policy, networks: &Networks, before: &Outputs) -> Result<TracedLoss> {
        let Some(evaluation) = &before.evaluation else { bail!("there is nothing to take gradients of") };
        let numbers = self.metrics().map(|(name, number)| (name.to_owned(), f64::from(number))).collect();
        let (values, parameters) = (slice(&before.value)?, slice(&before.policy)?);
        let (count, width) = (policy.parameters(), policy.width());
        let mut terms = [VALUE, POLICY].map(|name| TracedTerm {
            name: name.to_owned(),
            rows: Vec::with_capacity(self.errors.len()),
            gradients: Vec::new(),
        });
        let batch = self.errors.len() as i64;
        for (i, (error, step)) in self.errors.iter().zip(&self.traces).enumerate() {
            let of_row = (&parameters[i * count..][..count], &self.actions[i * width..][..width]);
            let weight = self.weights[i];
            let learns = *step != TraceStep::Rest;
            let log = if learns { policy.log_probability_of(of_row.0, of_row.1, weight) } else { 0.0 };
            for (term, value) in terms.iter_mut().zip([values[i], log]) {
                term.rows.push(TracedRow { value, error: *error, step: *step });
                if !learns {
                    let count = networks.gradient_count(&term.name, evaluation);
                    term.gradients.extend((0..count).map(|_| None));
                    continue;
                }
                // Of this row alone: those of the others are zero.
                let outs = if term.name == VALUE { 1 } else { count };
                let mut grad = OutputBuffer::zeros(&[batch, outs as i64])?;
                match &mut grad[i * outs..][..outs] {
                    [one] if term.name == VALUE => *one = 1.0,
                    own => policy.log_probability_gradient(of_row.0, of_row.1, weight, own),
                }
                term.gradients.extend(networks.gradients(&term.name, evaluation, grad.into_tensor())?);
            }
        }
        Ok(TracedLoss { traced: terms.into(), others: Loss::default(), numbers })
    }

    pub(crate) fn add_to(self, policy: &Policy, loss: &mut Loss, before: Outputs) -> Result<()> {
        for (name, number) in self.metrics() {
            loss.metric(name, scalar(number)?);
        }
        let error = Tensor::f_from_slice(&self.errors)?;
        let log = policy.log_probability(&before.policy, self.actions, self.weights)?;
        loss.traced(VALUE, before.value, error.shallow_clone(), self.traces.clone());
        loss.traced(POLICY, log, error, self.traces);
        Ok(())
    }
}

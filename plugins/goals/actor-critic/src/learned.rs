//! What is learned of the rows of a step.
use crate::networks::{Outputs, POLICY, VALUE};
use efference_sdk::autograd::scalar;
use efference_sdk::nn::Policy;
use efference_sdk::tch::Tensor;
use efference_sdk::{Loss, Result, TraceStep};

/// Row by row: the error, the action, what the policy's entropy counts for, and what becomes of the traces.
pub(crate) struct Learned<'a> {
    policy: &'a Policy,
    errors: Vec<f32>,
    actions: Vec<f32>,
    weights: Vec<f32>,
    traces: Vec<TraceStep>,
    /// Sums over the rows that something is learned of: of values and of entropies.
    sums: [f32; 2],
}

impl<'a> Learned<'a> {
    pub(crate) fn new(policy: &'a Policy) -> Self {
        let (errors, actions, weights, traces) = Default::default();
        Learned { policy, errors, actions, weights, traces, sums: [0.0; 2] }
    }

    pub(crate) fn push(&mut self, error: f64, action: Vec<f32>, weight: f32) {
        self.errors.push(error as f32);
        self.actions.extend(action);
        self.weights.push(weight);
        self.traces.push(TraceStep::Continue);
    }

    /// Nothing is learned of the next row.
    pub(crate) fn rest(&mut self) {
        self.errors.push(0.0);
        self.actions.extend(std::iter::repeat_n(0.0, self.policy.width()));
        self.weights.push(0.0);
        self.traces.push(TraceStep::Rest);
    }

    pub(crate) fn measure(&mut self, value: f32, entropy: f32) {
        self.sums[0] += value;
        self.sums[1] += entropy;
    }

    pub(crate) fn add_to(self, loss: &mut Loss, before: Outputs) -> Result<()> {
        let rows = self.traces.iter().filter(|step| **step != TraceStep::Rest).count() as f32;
        if rows > 0.0 {
            let errors: f32 = self.errors.iter().map(|error| error.abs()).sum();
            loss.metric("td_error", scalar(errors / rows)?);
            loss.metric("value", scalar(self.sums[0] / rows)?);
            loss.metric("entropy", scalar(self.sums[1] / rows)?);
        }
        let error = Tensor::f_from_slice(&self.errors)?;
        let policy = self.policy.log_probability(&before.policy, self.actions, self.weights)?;
        loss.traced(VALUE, before.value, error.shallow_clone(), self.traces.clone());
        loss.traced(POLICY, policy, error, self.traces);
        Ok(())
    }
}

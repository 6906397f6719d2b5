//! Goal plugin: a value and a policy, learned from a stream of rewards.
mod learned;
mod networks;
mod options;

use efference_sdk::autograd::{OutputBuffer, is_contiguous_cpu_f32, shape2, slice};
use efference_sdk::nn::{FeatureReader, Policy, RewardScale};
use efference_sdk::tch::{self, Device, Tensor};
use efference_sdk::{
    ActionRequest, Goal, GoalSetup, Loss, LossInput, Moment, ObservationLoss, ParamStore, Plugin, Prediction,
    Random, Result, Saved, StepType, TracedLoss, bail, ensure, saved,
};
use learned::Learned;
use networks::{Networks, Outputs, POLICY};
pub use options::Options;
use std::collections::BTreeMap;

/// Learns, of each stream's step from features `s` by an action `a` to a reward `r` and features `s′`,
///
/// ```text
/// error = r / scale + gamma · V(s′) − V(s)        V(s′) = 0 if the episode terminated; no gradient to V(s′)
/// value   V(s)
/// policy  log π(a | s) + entropy · sign(error) · H(π(· | s))
/// ```
///
/// both as terms with that error: by the trainer `traces` this is the streaming AC(λ) of Elsayed et al., "Streaming deep
/// reinforcement learning finally works" (2024, arXiv 2410.14606), by a trainer without traces it is TD(0). The policy is a
/// [`Policy`] over all actions that the environment wants, choices and values.
///
/// `V(s)` and the parameters of `π(· | s)` are computed once, in [`act`](Goal::act), before an update that the step's loss may
/// lead to; `V(s′)` is computed by the weights that `V(s)` was. Parameters are in the groups `goal.value` and `goal.policy`, or
/// all in `goal` if layers are [shared](Options::shared).
///
/// If the state is among the features, the goal predicts what is observed next as well ([`Prediction`]), and the cell learns from
/// that; from value and policy it learns only with [`teach_state`](Options::teach_state), by trainers that carry their gradient
/// to it.
pub struct ActorCritic {
    options: Options,
    policy: Policy,
    /// Whether the front of the state predicts what is observed.
    predicts: bool,
    features: FeatureReader,
    networks: Networks,
    reward_scale: RewardScale,
    /// Of each stream, what it acted upon last and what it did.
    acted: BTreeMap<u64, Acted>,
    /// What the last `act` computed, for the next `loss`: no update lies between them.
    outputs: Option<(Vec<u64>, Outputs)>,
    /// Whether the trainer was last answered without a graph, as it will be again.
    without_graph: bool,
}

struct Acted {
    /// (1, size)
    features: Tensor,
    /// As it was drawn: values are not limited.
    action: Vec<f32>,
}

impl Plugin for ActorCritic {
    const NAME: &'static str = "actor-critic";
    const DESCRIPTION: &'static str = "Value and policy, learned from each step's reward as it comes.";
    type Options = Options;
    type Kind = dyn Goal;

    fn new(options: Options, setup: &GoalSetup<'_>) -> Result<Self> {
        ensure!(
            setup.params.device()? == Device::Cpu,
            "actor-critic computes on the CPU: set device = \"cpu\""
        );
        let Some(spaces) = setup.spaces else {
            bail!("actor-critic needs an environment that says which actions it wants, and this one does not")
        };
        let policy = Policy::new(&spaces.actions)?;
        let predicts = options.features.use_state();
        let reserved = if predicts { Prediction::RESERVED } else { 0 };
        let features =
            FeatureReader::new(options.features, options.normalise_features, reserved, spaces, setup)?;
        let outs = policy.parameters() as i64;
        let networks = Networks::new(&options, features.size() as i64, outs, setup)?;
        let reward_scale = RewardScale::new(options.gamma);
        let acted = BTreeMap::new();
        let (outputs, without_graph) = (None, false);
        Ok(ActorCritic {
            options,
            policy,
            predicts,
            features,
            networks,
            reward_scale,
            acted,
            outputs,
            without_graph,
        })
    }
}

impl Goal for ActorCritic {
    fn reserved(&self) -> Result<i64> {
        Ok(if self.predicts { Prediction::RESERVED } else { 0 })
    }

    fn predicts(&self) -> Result<bool> {
        Ok(self.predicts)
    }

    fn loss(&mut self, input: &LossInput<'_>) -> Result<Loss> {
        self.without_graph = false;
        let before = self.before(input)?;
        let learned = self.learn(input, &before)?;
        let mut loss = self.predicted(input)?;
        learned.add_to(&self.policy, &mut loss, before)?;
        Ok(loss)
    }

    fn traced_loss(&mut self, input: &LossInput<'_>) -> Result<Option<TracedLoss>> {
        if self.teaches() || !self.networks.have_vjps() {
            return Ok(None);
        }
        self.without_graph = true;
        let before = self.before(input)?;
        let mut loss = self.learn(input, &before)?.traced(&self.policy, &self.networks, &before)?;
        loss.others = self.predicted(input)?;
        Ok(Some(loss))
    }

    fn traced_parameters(&self, term: &str) -> Result<Vec<String>> {
        Ok(self.networks.parameters(term))
    }

    fn act(&mut self, moment: &Moment<'_>, state: &Tensor, request: &ActionRequest<'_>) -> Result<Tensor> {
        ensure!(
            request.groups == self.policy.groups(),
            "a stream wants {:?}, and the environment said that all want {:?}",
            request.groups,
            self.policy.groups()
        );
        let x = self.features.now(moment, state)?;
        let outputs = self.evaluate(&x)?;
        let mut random = Random::new(request.seed);
        let (width, count) = (self.policy.width(), self.policy.parameters());
        let mut actions = OutputBuffer::zeros(&[moment.streams.len() as i64, width as i64])?;
        let rows = actions.chunks_exact_mut(width).zip(slice(&outputs.policy)?.chunks_exact(count));
        for (row, (action, parameters)) in rows.enumerate() {
            self.policy.draw(parameters, &mut random, request.greedy, action);
            let features =
                if moment.streams.len() == 1 { x.shallow_clone() } else { x.f_narrow(0, row as i64, 1)? };
            self.acted.insert(moment.streams[row], Acted { features, action: action.to_vec() });
        }
        self.outputs = Some((moment.streams.to_vec(), outputs));
        Ok(actions.into_tensor())
    }

    fn save(&self) -> Result<Saved> {
        let mut saved = Saved::new();
        self.features.save(&mut saved)?;
        self.reward_scale.save("reward", &mut saved)?;
        saved::put_streams(&mut saved, "acted.streams", self.acted.keys())?;
        let streams: Vec<u64> = self.acted.keys().copied().collect();
        saved.push(("acted.features".to_owned(), self.acted_upon(&streams)?));
        let actions: Vec<f32> = self.acted.values().flat_map(|acted| acted.action.iter().copied()).collect();
        saved::put_rows(&mut saved, "acted.actions", &actions, self.policy.width() as i64)?;
        Ok(saved)
    }

    fn restore(&mut self, saved: Saved) -> Result<()> {
        let streams = saved::streams(&saved, "acted.streams")?;
        let (size, width) = (self.features.size(), self.policy.width());
        let features = saved::rows(&saved, "acted.features", streams.len(), size as i64)?;
        let actions = saved::rows(&saved, "acted.actions", streams.len(), width as i64)?;
        self.features.restore(&saved)?;
        self.reward_scale.restore("reward", &saved)?;
        let rows = features.chunks_exact(size).zip(actions.chunks_exact(width));
        let acted = streams.into_iter().zip(rows).map(|(stream, (features, action))| {
            let features = Tensor::f_from_slice(features)?.f_view([1, size as i64])?;
            Ok((stream, Acted { features, action: action.to_vec() }))
        });
        self.acted = acted.collect::<Result<_>>()?;
        self.outputs = None;
        Ok(())
    }

    fn ended(&mut self, streams: &[u64]) -> Result<()> {
        for stream in streams {
            self.acted.remove(stream);
            self.reward_scale.forget(*stream);
        }
        Ok(())
    }

    fn weighs(&self, term: &str) -> Result<bool> {
        Ok(term == POLICY)
    }
}

impl ActorCritic {
    /// Whether the gradient of value and policy reaches the states.
    fn teaches(&self) -> bool {
        self.predicts && self.options.teach_state
    }

    /// What the networks returned of what these streams acted upon. For streams that acted earlier, before an update, it is
    /// computed anew.
    fn before(&mut self, input: &LossInput<'_>) -> Result<Outputs> {
        match self.outputs.take() {
            Some((streams, outputs))
                if streams == input.moment.streams
                    && outputs.evaluation.is_some() == self.without_graph
                    && !self.teaches() =>
            {
                Ok(outputs)
            }
            _ => {
                let mut x = self.acted_upon(input.moment.streams)?;
                if self.teaches() {
                    x = self.features.with_state(&x, input.state)?;
                }
                self.evaluate(&x)
            }
        }
    }

    /// What is learned of the rows of a step.
    fn learn(&mut self, input: &LossInput<'_>, before: &Outputs) -> Result<Learned> {
        let moment = input.moment;
        let ahead = self.features.ahead(moment, input.next)?;
        let next_value = self.networks.value(&ahead)?;
        let mut learned = Learned::default();
        for (row, (stream, step_type)) in moment.streams.iter().zip(moment.step_types).enumerate() {
            let done = self.done(moment, row)?;
            let Some(done) = done.filter(|_| !step_type.is_first()) else {
                self.reward_scale.forget(*stream);
                learned.rest(self.policy.width());
                continue;
            };
            let reward = f64::from(moment.reward[row]);
            let mut reward = if reward.is_nan() { 0.0 } else { reward };
            if self.options.normalise_reward {
                reward = self.reward_scale.scale(*stream, reward, step_type.is_last());
            }
            let future = if *step_type == StepType::TERMINATED { 0.0 } else { slice(&next_value)?[row] };
            let value = slice(&before.value)?[row];
            let error = reward + self.options.gamma * f64::from(future) - f64::from(value);
            let weight = self.options.entropy * error.signum();
            learned.push(error, done, weight as f32);
            let parameters = &slice(&before.policy)?[row * self.policy.parameters()..];
            learned.measure(value, self.policy.entropy(&parameters[..self.policy.parameters()]));
        }
        Ok(learned)
    }

    /// The terms of what the front of the state predicts.
    fn predicted(&self, input: &LossInput<'_>) -> Result<Loss> {
        let mut loss = Loss::default();
        if self.predicts {
            let observation_importance = self.options.observation_importance;
            let prediction = Prediction { observation_importance, observation_loss: ObservationLoss::L2 };
            prediction.add(input, &mut loss)?;
        }
        Ok(loss)
    }

    /// The features that these streams acted upon last, (rows, size); 0 for one that has not acted.
    fn acted_upon(&self, streams: &[u64]) -> Result<Tensor> {
        let size = self.features.size();
        let mut x = OutputBuffer::zeros(&[streams.len() as i64, size as i64])?;
        for (x, stream) in x.chunks_exact_mut(size).zip(streams) {
            if let Some(acted) = self.acted.get(stream) {
                x.copy_from_slice(slice(&acted.features)?);
            }
        }
        Ok(x.into_tensor())
    }

    /// Value and policy at some features, so that their gradients can be taken.
    fn evaluate(&self, x: &Tensor) -> Result<Outputs> {
        if self.without_graph {
            self.networks.evaluate(x)
        } else {
            tch::with_grad(|| self.networks.forward(x))
        }
    }

    /// The action that led to a row, as it was drawn if that is what was done; `None` if none was.
    fn done(&self, moment: &Moment<'_>, row: usize) -> Result<Option<Vec<f32>>> {
        let width = self.policy.width();
        let Some(acted) = self.acted.get(&moment.streams[row]) else { return Ok(None) };
        // A batch in which nobody did anything has no columns.
        if shape2(moment.action).is_none_or(|[_, columns]| columns != width as i64) {
            return Ok(None);
        }
        let contiguous;
        let actions = if is_contiguous_cpu_f32(moment.action) {
            moment.action
        } else {
            contiguous = moment.action.f_contiguous()?;
            &contiguous
        };
        let done = &slice(actions)?[row * width..][..width];
        if done.iter().any(|a| a.is_nan()) {
            return Ok(None);
        }
        let own = acted.action.iter().zip(done).all(|(drawn, done)| drawn.clamp(-1.0, 1.0) == *done);
        Ok(Some(if own { acted.action.clone() } else { done.to_vec() }))
    }
}

efference_sdk::export! { goal: ActorCritic }

#[cfg(test)]
mod catch;
#[cfg(test)]
mod tests;

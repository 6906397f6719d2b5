//! Goal plugin: values of actions, learned from a stream of rewards.
use efference_sdk::autograd::{OutputBuffer, scalar, slice};
use efference_sdk::nn::{FeatureReader, Features, FeedForward, FeedForwardSpec, RewardScale, largest};
use efference_sdk::tch::{self, Device, Tensor};
use efference_sdk::{
    ActionGroup, ActionRequest, Goal, GoalSetup, Loss, LossInput, Moment, ObservationLoss, ParamStore,
    Plugin, Prediction, Random, Result, Saved, Size, StepType, TraceStep, bail, ensure, saved,
};
use std::collections::BTreeMap;

efference_sdk::options! {
    /// Options of `q-lambda`.
    pub struct Options {
        /// What the values are functions of: "observation", the cell's "state", or "both".
        pub features: Features = Features::Observation,
        /// Features between layers.
        #[schemars(range(min = 1))]
        pub width: i64 = 64,
        /// Layers before the last one.
        #[schemars(range(min = 0))]
        pub depth: i64 = 2,
        /// The share of each unit's first weights that are zero.
        #[schemars(range(min = 0.0, max = 1.0))]
        pub sparsity: f64 = 0.9,
        /// What the next step's value counts for.
        #[schemars(range(min = 0.0, max = 1.0))]
        pub gamma: f64 = 0.99,
        /// How often a random action is taken at first.
        #[schemars(range(min = 0.0, max = 1.0))]
        pub epsilon_start: f64 = 1.0,
        /// How often a random action is taken after `epsilon_steps`.
        #[schemars(range(min = 0.0, max = 1.0))]
        pub epsilon_end: f64 = 0.01,
        /// Steps in which that falls from the one to the other, evenly.
        #[schemars(range(min = 0))]
        pub epsilon_steps: i64 = 10_000,
        /// Whether features are normalised by their running means and deviations.
        pub normalise_features: bool = true,
        /// Whether rewards are divided by the running deviation of their discounted sums.
        pub normalise_reward: bool = true,
        /// With the state among the features: what the error of a predicted observation counts for, by which the cell learns.
        #[schemars(range(min = 0.0))]
        pub observation_importance: f64 = 1.0,
        /// With the state among the features: whether the cell learns from the values too, by a trainer that takes their
        /// gradient through the state (not `traces`).
        pub teach_state: bool = false,
    }
}

/// Learns, of each stream's step from features `s` by an action `a` to a reward `r` and features `s′`,
///
/// ```text
/// error = r / scale + gamma · max_b Q(s′, b) − Q(s, a)     the maximum counts 0 if the episode terminated, and has no gradient
/// q       Q(s, a)
/// ```
///
/// as a term with that error, whose trace begins anew with an action that was not the best one (Watkins' Q(λ), 1989): by the
/// trainer `traces` this is the streaming Q(λ) of Elsayed et al., "Streaming deep reinforcement learning finally works" (2024,
/// arXiv 2410.14606), by a trainer without traces it is Q-learning. The best action is taken, or with the probability epsilon,
/// which falls over a number of steps, any one. There must be one choice.
///
/// Parameters are in the group `goal.q`. If the state is among the features, the goal predicts what is observed next as well
/// ([`Prediction`]), and the cell learns from that; from the values it learns only with [`teach_state`](Options::teach_state), by
/// trainers that carry their gradient to it.
pub struct QLambda {
    options: Options,
    choices: usize,
    features: FeatureReader,
    network: FeedForward,
    reward_scale: RewardScale,
    /// Steps in which it has explored.
    steps: u64,
    /// Of each stream, what it acted upon last, (1, size).
    acted: BTreeMap<u64, Tensor>,
    /// What the last `act` computed, (rows, choices), for the next `loss`: no update lies between them.
    values: Option<(Vec<u64>, Tensor)>,
}

/// The name of the term.
const TERM: &str = "q";

impl Plugin for QLambda {
    const NAME: &'static str = "q-lambda";
    const DESCRIPTION: &'static str =
        "Values of a choice's alternatives, learned from each step's reward as it comes.";
    type Options = Options;
    type Kind = dyn Goal;

    fn new(options: Options, setup: &GoalSetup<'_>) -> Result<Self> {
        ensure!(setup.params.device()? == Device::Cpu, "q-lambda computes on the CPU: set device = \"cpu\"");
        let Some(spaces) = setup.spaces else {
            bail!("q-lambda needs an environment that says which actions it wants, and this one does not")
        };
        let [ActionGroup { choices: choices @ 2.. }] = spaces.actions[..] else {
            bail!(
                "q-lambda makes one choice at a time, and this environment wants {} actions, of which {} are choices: \
                 choose the goal 'actor-critic', or set the environment to a choice if it has such an option",
                spaces.actions.len(),
                spaces.actions.iter().filter(|group| group.choices > 0).count()
            )
        };
        let reserved = if options.features.use_state() { Prediction::RESERVED } else { 0 };
        let features =
            FeatureReader::new(options.features, options.normalise_features, reserved, spaces, setup)?;
        let Options { width, depth, sparsity, gamma, .. } = options;
        let size = Size { ins: features.size() as i64, outs: i64::from(choices) };
        let spec = FeedForwardSpec { size, width, depth, sparsity, activate_last: false };
        Ok(QLambda {
            choices: choices as usize,
            features,
            network: FeedForward::new(spec, setup.layers, &setup.params.scope(TERM))?,
            reward_scale: RewardScale::new(gamma),
            steps: 0,
            acted: BTreeMap::new(),
            values: None,
            options,
        })
    }
}

impl Goal for QLambda {
    fn reserved(&self) -> Result<i64> {
        Ok(if self.options.features.use_state() { Prediction::RESERVED } else { 0 })
    }

    fn predicts(&self) -> Result<bool> {
        Ok(self.options.features.use_state())
    }

    fn loss(&mut self, input: &LossInput<'_>) -> Result<Loss> {
        let moment = input.moment;
        // For streams that acted earlier, before an update, it is computed anew.
        let before = match self.values.take() {
            Some((streams, values)) if streams == moment.streams && !self.teaches() => values,
            _ => {
                let mut x = self.acted_upon(moment.streams)?;
                if self.teaches() {
                    x = self.features.with_state(&x, input.state)?;
                }
                tch::with_grad(|| self.network.forward(&x))?
            }
        };
        let ahead = self.features.ahead(moment, input.next)?;
        let next = tch::no_grad(|| self.network.forward(&ahead))?;
        let (mut errors, mut places, mut traces) = (Vec::new(), Vec::new(), Vec::new());
        let mut sum = 0.0;
        for (row, (stream, step_type)) in moment.streams.iter().zip(moment.step_types).enumerate() {
            let Some(chosen) = self.chosen(moment, row)?.filter(|_| !step_type.is_first()) else {
                self.reward_scale.forget(*stream);
                errors.push(0.0);
                places.push(0);
                traces.push(TraceStep::Rest);
                continue;
            };
            let reward = f64::from(moment.reward[row]);
            let mut reward = if reward.is_nan() { 0.0 } else { reward };
            if self.options.normalise_reward {
                reward = self.reward_scale.scale(*stream, reward, step_type.is_last());
            }
            let best = |values: &[f32]| values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let future = match *step_type {
                StepType::TERMINATED => 0.0,
                _ => best(self.row(&next, row)?),
            };
            let values = self.row(&before, row)?;
            let value = values[chosen];
            errors.push((reward + self.options.gamma * f64::from(future) - f64::from(value)) as f32);
            places.push(chosen as i64);
            // What led here by an action that was not the best one says nothing of the best ones before.
            traces.push(if value == best(values) { TraceStep::Continue } else { TraceStep::Restart });
            sum += value;
        }
        let mut loss = Loss::default();
        if self.options.features.use_state() {
            let observation_importance = self.options.observation_importance;
            let prediction = Prediction { observation_importance, observation_loss: ObservationLoss::L2 };
            prediction.add(input, &mut loss)?;
        }
        let rows = traces.iter().filter(|step| **step != TraceStep::Rest).count() as f32;
        if rows > 0.0 {
            loss.metric("td_error", scalar(errors.iter().map(|error| error.abs()).sum::<f32>() / rows)?);
            loss.metric("value", scalar(sum / rows)?);
            loss.metric("epsilon", scalar(self.epsilon() as f32)?);
        }
        let places = Tensor::f_from_slice(&places)?.f_view([-1, 1])?;
        let value = before.f_gather(1, &places, false)?.f_view([-1])?;
        loss.traced(TERM, value, Tensor::f_from_slice(&errors)?, traces);
        Ok(loss)
    }

    fn act(&mut self, moment: &Moment<'_>, state: &Tensor, request: &ActionRequest<'_>) -> Result<Tensor> {
        ensure!(
            request.groups == [ActionGroup::choice(self.choices as u32)],
            "a stream wants {:?}, and the environment said that all want one choice among {}",
            request.groups,
            self.choices
        );
        let x = self.features.now(moment, state)?;
        let values = tch::with_grad(|| self.network.forward(&x))?;
        let (mut random, epsilon) = (Random::new(request.seed), self.epsilon());
        let mut actions = OutputBuffer::zeros(&[moment.streams.len() as i64, self.choices as i64])?;
        for (row, action) in actions.chunks_exact_mut(self.choices).enumerate() {
            let explores = !request.greedy && random.unit() < epsilon;
            let chosen = match explores {
                true => random.below(self.choices as u64) as usize,
                false => largest(self.row(&values, row)?),
            };
            action[chosen] = 1.0;
            let features =
                if moment.streams.len() == 1 { x.shallow_clone() } else { x.f_narrow(0, row as i64, 1)? };
            self.acted.insert(moment.streams[row], features);
        }
        self.steps += u64::from(!request.greedy);
        self.values = Some((moment.streams.to_vec(), values));
        Ok(actions.into_tensor())
    }

    fn save(&self) -> Result<Saved> {
        let mut saved = Saved::new();
        self.features.save(&mut saved)?;
        self.reward_scale.save("reward", &mut saved)?;
        saved::put_numbers(&mut saved, "steps", &[self.steps as f64])?;
        saved::put_streams(&mut saved, "acted.streams", self.acted.keys())?;
        let streams: Vec<u64> = self.acted.keys().copied().collect();
        saved.push(("acted.features".to_owned(), self.acted_upon(&streams)?));
        Ok(saved)
    }

    fn restore(&mut self, saved: Saved) -> Result<()> {
        let (streams, size) = (saved::streams(&saved, "acted.streams")?, self.features.size());
        let features = saved::rows(&saved, "acted.features", streams.len(), size as i64)?;
        self.steps = saved::numbers(&saved, "steps", 1)?[0] as u64;
        self.features.restore(&saved)?;
        self.reward_scale.restore("reward", &saved)?;
        let rows = features.chunks_exact(size);
        let rows = rows.map(|row| Ok(Tensor::f_from_slice(row)?.f_view([1, size as i64])?));
        self.acted = streams.into_iter().zip(rows.collect::<Result<Vec<_>>>()?).collect();
        self.values = None;
        Ok(())
    }

    fn ended(&mut self, streams: &[u64]) -> Result<()> {
        for stream in streams {
            self.acted.remove(stream);
            self.reward_scale.forget(*stream);
        }
        Ok(())
    }
}

impl QLambda {
    /// Whether the gradient of the values reaches the states.
    fn teaches(&self) -> bool {
        self.options.features.use_state() && self.options.teach_state
    }

    /// How often it explores now.
    fn epsilon(&self) -> f64 {
        let Options { epsilon_start: start, epsilon_end: end, epsilon_steps: steps, .. } = self.options;
        start + (end - start) * (self.steps as f64 / (steps.max(1)) as f64).min(1.0)
    }

    /// A row of values.
    fn row<'a>(&self, values: &'a Tensor, row: usize) -> Result<&'a [f32]> {
        Ok(&slice(values)?[row * self.choices..][..self.choices])
    }

    /// The features that these streams acted upon last, (rows, size); 0 for one that has not acted.
    fn acted_upon(&self, streams: &[u64]) -> Result<Tensor> {
        let size = self.features.size();
        let mut x = OutputBuffer::zeros(&[streams.len() as i64, size as i64])?;
        for (x, stream) in x.chunks_exact_mut(size).zip(streams) {
            if let Some(features) = self.acted.get(stream) {
                x.copy_from_slice(slice(features)?);
            }
        }
        Ok(x.into_tensor())
    }

    /// What was chosen that led to a row; `None` if nothing was.
    fn chosen(&self, moment: &Moment<'_>, row: usize) -> Result<Option<usize>> {
        // A batch in which nobody did anything has no columns.
        let known = self.acted.contains_key(&moment.streams[row]);
        if !known || moment.action.size()[1] != self.choices as i64 {
            return Ok(None);
        }
        let actions = moment.action.f_contiguous()?;
        let done = self.row(&actions, row)?;
        Ok((!done.iter().any(|a| a.is_nan())).then(|| largest(done)))
    }
}

efference_sdk::export! { goal: QLambda }

#[cfg(test)]
mod tests;

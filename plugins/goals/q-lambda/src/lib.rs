//! Goal plugin: values of actions, learned from a stream of rewards.
use efference_sdk::autograd::{OutputBuffer, scalar, shape2, slice};
use efference_sdk::nn::{FeatureReader, Features, FeedForward, FeedForwardSpec, Pass, RewardScale, largest};
use efference_sdk::tch::{self, Device, Tensor};
use efference_sdk::{
    ActionGroup, ActionRequest, Goal, GoalSetup, Loss, LossInput, Moment, ObservationLoss, ParamStore,
    Plugin, Prediction, Random, Result, Saved, Size, StepType, TraceStep, TracedLoss, TracedRow, TracedTerm,
    bail, ensure, saved,
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
        /// Whether the last layer is a matrix, whatever the others are.
        pub matrix_head: bool = true,
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
    /// What the last `act` computed, for the next `loss`: no update lies between them.
    outputs: Option<(Vec<u64>, Outputs)>,
    /// Whether the trainer was last answered without a graph, as it will be again.
    without_graph: bool,
}

/// What the network returned of some features.
struct Outputs {
    /// (rows, choices)
    values: Tensor,
    /// In place of a graph, if there is none.
    pass: Option<Pass>,
}

/// What is learned of a row: of what was chosen, its value and its error, and what becomes of the trace.
struct Learned {
    chosen: usize,
    value: f32,
    error: f32,
    step: TraceStep,
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
        let matrix_last = options.matrix_head;
        let spec = FeedForwardSpec { size, width, depth, sparsity, matrix_last, activate_last: false };
        Ok(QLambda {
            choices: choices as usize,
            features,
            network: FeedForward::new(spec, setup.layers, &setup.params.scope(TERM))?,
            reward_scale: RewardScale::new(gamma),
            steps: 0,
            acted: BTreeMap::new(),
            outputs: None,
            without_graph: false,
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
        self.without_graph = false;
        let before = self.before(input)?;
        let learned = self.learn(input, &before.values)?;
        let mut loss = self.predicted(input)?;
        for (name, number) in self.metrics(&learned) {
            loss.metric(name, scalar(number)?);
        }
        let places: Vec<i64> = learned.iter().map(|row| row.chosen as i64).collect();
        let places = Tensor::f_from_slice(&places)?.f_view([-1, 1])?;
        let value = before.values.f_gather(1, &places, false)?.f_view([-1])?;
        let errors: Vec<f32> = learned.iter().map(|row| row.error).collect();
        let steps = learned.iter().map(|row| row.step).collect();
        loss.traced(TERM, value, Tensor::f_from_slice(&errors)?, steps);
        Ok(loss)
    }

    fn traced_loss(&mut self, input: &LossInput<'_>) -> Result<Option<TracedLoss>> {
        if self.teaches() || !self.network.has_vjp() {
            return Ok(None);
        }
        self.without_graph = true;
        let before = self.before(input)?;
        let Some(pass) = &before.pass else { return Ok(None) };
        let learned = self.learn(input, &before.values)?;
        let mut term = TracedTerm { name: TERM.to_owned(), rows: Vec::new(), gradients: Vec::new() };
        for (row, Learned { chosen, value, error, step }) in learned.iter().enumerate() {
            term.rows.push(TracedRow { value: *value, error: *error, step: *step });
            if *step == TraceStep::Rest {
                term.gradients.extend((0..self.network.traced_count(pass)).map(|_| None));
                continue;
            }
            // Of what was chosen in this row alone: all else is zero.
            let mut grad = OutputBuffer::zeros(&[learned.len() as i64, self.choices as i64])?;
            grad[row * self.choices + chosen] = 1.0;
            term.gradients.extend(self.network.traced_gradients(pass, grad.into_tensor())?);
        }
        let numbers = self.metrics(&learned);
        let numbers = numbers.map(|(name, number)| (name.to_owned(), f64::from(number))).collect();
        Ok(Some(TracedLoss { traced: vec![term], others: self.predicted(input)?, numbers }))
    }

    fn traced_parameters(&self, _: &str) -> Result<Vec<String>> {
        Ok(self.network.parameters().iter().map(|name| format!("{TERM}.{name}")).collect())
    }

    fn act(&mut self, moment: &Moment<'_>, state: &Tensor, request: &ActionRequest<'_>) -> Result<Tensor> {
        ensure!(
            request.groups == [ActionGroup::choice(self.choices as u32)],
            "a stream wants {:?}, and the environment said that all want one choice among {}",
            request.groups,
            self.choices
        );
        let x = self.features.now(moment, state)?;
        let outputs = self.evaluate(&x)?;
        let (mut random, epsilon) = (Random::new(request.seed), self.epsilon());
        let mut actions = OutputBuffer::zeros(&[moment.streams.len() as i64, self.choices as i64])?;
        for (row, action) in actions.chunks_exact_mut(self.choices).enumerate() {
            let explores = !request.greedy && random.unit() < epsilon;
            let chosen = match explores {
                true => random.below(self.choices as u64) as usize,
                false => largest(self.row(&outputs.values, row)?),
            };
            action[chosen] = 1.0;
            let features =
                if moment.streams.len() == 1 { x.shallow_clone() } else { x.f_narrow(0, row as i64, 1)? };
            self.acted.insert(moment.streams[row], features);
        }
        self.steps += u64::from(!request.greedy);
        self.outputs = Some((moment.streams.to_vec(), outputs));
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
}

impl QLambda {
    /// Whether the gradient of the values reaches the states.
    fn teaches(&self) -> bool {
        self.options.features.use_state() && self.options.teach_state
    }

    /// Values of some features, so that their gradients can be taken.
    fn evaluate(&self, x: &Tensor) -> Result<Outputs> {
        if self.without_graph {
            let (values, pass) = self.network.evaluate(x)?;
            return Ok(Outputs { values, pass: Some(pass) });
        }
        Ok(Outputs { values: tch::with_grad(|| self.network.forward(x))?, pass: None })
    }

    /// Values of what these streams acted upon. For streams that acted earlier, before an update, they are computed anew.
    fn before(&mut self, input: &LossInput<'_>) -> Result<Outputs> {
        let streams = input.moment.streams;
        match self.outputs.take() {
            Some((acted, outputs))
                if acted == streams && outputs.pass.is_some() == self.without_graph && !self.teaches() =>
            {
                Ok(outputs)
            }
            _ => {
                let mut x = self.acted_upon(streams)?;
                if self.teaches() {
                    x = self.features.with_state(&x, input.state)?;
                }
                self.evaluate(&x)
            }
        }
    }

    /// What is learned of the rows of a step, by the values (rows, choices) of what was acted upon.
    fn learn(&mut self, input: &LossInput<'_>, before: &Tensor) -> Result<Vec<Learned>> {
        let moment = input.moment;
        let ahead = self.features.ahead(moment, input.next)?;
        let next = self.network.value(&ahead)?;
        let best = |values: &[f32]| values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let mut learned = Vec::with_capacity(moment.streams.len());
        for (row, (stream, step_type)) in moment.streams.iter().zip(moment.step_types).enumerate() {
            let values = self.row(before, row)?;
            let Some(chosen) = self.chosen(moment, row)?.filter(|_| !step_type.is_first()) else {
                let value = values[0];
                learned.push(Learned { chosen: 0, value, error: 0.0, step: TraceStep::Rest });
                self.reward_scale.forget(*stream);
                continue;
            };
            let reward = f64::from(moment.reward[row]);
            let mut reward = if reward.is_nan() { 0.0 } else { reward };
            if self.options.normalise_reward {
                reward = self.reward_scale.scale(*stream, reward, step_type.is_last());
            }
            let future = match *step_type {
                StepType::TERMINATED => 0.0,
                _ => best(self.row(&next, row)?),
            };
            let values = self.row(before, row)?;
            let value = values[chosen];
            let error = (reward + self.options.gamma * f64::from(future) - f64::from(value)) as f32;
            // What led here by an action that was not the best one says nothing of the best ones before.
            let step = if value == best(values) { TraceStep::Continue } else { TraceStep::Restart };
            learned.push(Learned { chosen, value, error, step });
        }
        Ok(learned)
    }

    /// Means over the rows that something is learned of; none without such rows.
    fn metrics(&self, learned: &[Learned]) -> impl Iterator<Item = (&'static str, f32)> + use<> {
        let learns = || learned.iter().filter(|row| row.step != TraceStep::Rest);
        let rows = learns().count() as f32;
        let errors = learns().map(|row| row.error.abs()).sum::<f32>();
        let values = learns().map(|row| row.value).sum::<f32>();
        let epsilon = self.epsilon() as f32;
        let all = [("td_error", errors / rows), ("value", values / rows), ("epsilon", epsilon)];
        all.into_iter().filter(move |_| rows > 0.0)
    }

    /// The terms of what the front of the state predicts.
    fn predicted(&self, input: &LossInput<'_>) -> Result<Loss> {
        let mut loss = Loss::default();
        if self.options.features.use_state() {
            let observation_importance = self.options.observation_importance;
            let prediction = Prediction { observation_importance, observation_loss: ObservationLoss::L2 };
            prediction.add(input, &mut loss)?;
        }
        Ok(loss)
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
        let columns = shape2(moment.action).map_or(0, |[_, columns]| columns);
        if !known || columns != self.choices as i64 {
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

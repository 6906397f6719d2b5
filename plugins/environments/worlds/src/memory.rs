//! `memory`: a bit is shown once and asked for later. It is the memory chain of bsuite's experiment `memory_len` (Osband
//! et al., "Behaviour Suite for Reinforcement Learning", 2020, arXiv 1908.03568).
//!
//! An episode of length N, the option `memory_length`, has N + 1 frames, t = 0…N. Three numbers are observed:
//!
//! | | t = 0, first | t = 1…N − 2 | t = N − 1 | t = N, terminated |
//! |---|---|---|---|---|
//! | time | 1 | 1 − t/N | 1/N | 0 |
//! | query | 0 | 0 | 1 | 0 |
//! | context | −1 or 1 | 0 | 0 | 0 |
//!
//! The context is random. The action is a choice of two, and that which responds to the query counts: the first
//! alternative says that the context was −1, the second that it was 1. The last frame's reward is 1 if that is so and
//! −1 if not; all other frames have none. Random play gets 0 on average, and so does whoever remembers nothing.
//!
//! With `memory_answer` a fourth number is observed: the context once more at t = N, missing before. Whoever predicts the
//! next observation then does the task without acting, and of each episode a metric is sent, `memory_accuracy`: 1 if the
//! prediction of that number had the right sign, else 0. The mean of it is ½ for whoever remembers nothing.
//!
//! bsuite's program differs in two points. It shows the frame of t = 0 twice. And the query is the number of
//! the bit that is asked for, which is 0 throughout where there is one bit, so only the time tells when it is asked.
use crate::options::Options;
use crate::picture;
use crate::random::SplitMix64;
use crate::world::{World, chosen};
use efference_sdk::serde::{Deserialize, Serialize};
use efference_sdk::{
    ActionGroup, Picture, Result, RewardRange, Spaces, StepType, ensure, metric, serde_json,
};

pub(crate) struct Memory {
    length: usize,
    /// How many of the four numbers are observed.
    observed: usize,
    chains: Vec<Chain>,
    observations: Vec<[f32; 4]>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(crate = "efference_sdk::serde", deny_unknown_fields)]
struct Chain {
    random: SplitMix64,
    context: bool,
    time: usize,
    /// What was chosen last.
    recalled: bool,
}

impl Chain {
    fn begin(mut random: SplitMix64) -> Self {
        let context = random.below(2) == 1;
        Chain { random, context, time: 0, recalled: false }
    }

    fn observe(&self, length: usize) -> [f32; 4] {
        let time = 1.0 - self.time as f32 / length as f32;
        let query = if self.time + 1 == length { 1.0 } else { 0.0 };
        let shown = if self.context { 1.0 } else { -1.0 };
        let context = if self.time == 0 { shown } else { 0.0 };
        let answer = if self.time == length { shown } else { f32::NAN };
        [time, query, context, answer]
    }
}

impl Memory {
    pub(crate) fn new(options: &Options, seed: u64) -> Result<Self> {
        let length = options.memory_length;
        ensure!((2..=128).contains(&length), "memory_length = {length} must be in 2 … 128");
        let begin = |stream| Chain::begin(SplitMix64::of_stream(seed, stream));
        let chains: Vec<Chain> = (0..options.streams).map(begin).collect();
        let observations = chains.iter().map(|c| c.observe(length)).collect();
        let observed = spaces(options).observation;
        Ok(Memory { length, observed, chains, observations })
    }
}

/// What all streams observe and want.
pub(crate) fn spaces(options: &Options) -> Spaces {
    let observation = if options.memory_answer { 4 } else { 3 };
    Spaces { observation, actions: vec![ActionGroup::choice(2)], reward: RewardRange::default() }
}

impl World for Memory {
    fn spaces(&self) -> Spaces {
        let actions = vec![ActionGroup::choice(2)];
        Spaces { observation: self.observed, actions, reward: RewardRange::default() }
    }

    fn observation(&self, stream: usize) -> &[f32] {
        &self.observations[stream][..self.observed]
    }

    fn reward(&self, stream: usize) -> Option<f32> {
        let chain = &self.chains[stream];
        let reward = if chain.recalled == chain.context { 1.0 } else { -1.0 };
        (chain.time == self.length).then_some(reward)
    }

    fn step_type(&self, stream: usize) -> StepType {
        match self.chains[stream].time {
            0 => StepType::FIRST,
            time if time == self.length => StepType::TERMINATED,
            _ => StepType::MIDDLE,
        }
    }

    fn step(&mut self, stream: usize, prediction: &[f32], action: &[f32]) {
        let chain = &mut self.chains[stream];
        if chain.time == self.length {
            *chain = Chain::begin(chain.random);
        } else {
            chain.recalled = chosen(action) == 1;
            chain.time += 1;
            // Only where the answer is observed is it predicted.
            if let Some(answer) = prediction.get(3).filter(|_| chain.time == self.length) {
                metric("memory_accuracy", f64::from((*answer > 0.0) == chain.context));
            }
        }
        self.observations[stream] = chain.observe(self.length);
    }

    /// A square each: time, query, context, and the answer if it is observed.
    fn picture(&self, observation: &[f32]) -> Result<Picture> {
        picture::require_length(observation, self.observed)?;
        Ok(picture::grid(1, self.observed, 32, |_, column| picture::colour(observation[column])))
    }

    fn save(&self) -> Result<serde_json::Value> {
        Ok(serde_json::to_value(&self.chains)?)
    }

    fn restore(&mut self, saved: serde_json::Value) -> Result<()> {
        let chains: Vec<Chain> = serde_json::from_value(saved)?;
        ensure!(
            chains.len() == self.chains.len(),
            "it has {} chains, not {}",
            chains.len(),
            self.chains.len()
        );
        ensure!(chains.iter().all(|c| c.time <= self.length), "a chain is longer than memory_length");
        self.observations = chains.iter().map(|c| c.observe(self.length)).collect();
        self.chains = chains;
        Ok(())
    }
}

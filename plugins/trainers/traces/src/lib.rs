//! Trainer plugin: eligibility traces of a goal's terms, one update a step.
use efference_sdk::autograd::{OutputBuffer, slice};
use efference_sdk::tch::{Device, Tensor};
use efference_sdk::{
    Agent, Batch, InputLayout, LossInput, Plugin, Result, ResultExt, Saved, Trainer, TrainerSetup, autograd,
    ensure, group, nn, saved,
};
use std::collections::BTreeMap;

efference_sdk::options! {
    /// Options of `traces`.
    pub struct Options {
        /// Discount; the same as the goal's.
        #[schemars(range(min = 0.0, max = 1.0))]
        pub gamma: f64 = 0.99,
        /// How much of a trace is left a step later, times the discount.
        #[schemars(range(min = 0.0, max = 1.0))]
        pub lambda: f64 = 0.8,
    }
}

/// Follows a trace of each of the goal's terms with an error ([`nn::Traces`]) and updates by it in each step; terms without
/// an error are descended along at once, each step by its own gradient.
///
/// States are what was observed, with 0 for what is missing and behind it: no cell is used, and none is made.
pub struct Traces {
    size: i64,
    traces: nn::Traces,
    /// Of each stream, (1, size).
    states: BTreeMap<u64, Tensor>,
    steps: u64,
}

impl Plugin for Traces {
    const NAME: &'static str = "traces";
    const DESCRIPTION: &'static str = "Eligibility traces of a goal's terms, with one update a step.";
    type Options = Options;
    type Kind = dyn Trainer;

    fn new(options: Options, setup: &TrainerSetup<'_>) -> Result<Self> {
        ensure!(setup.device == Device::Cpu, "traces computes on the CPU: set device = \"cpu\"");
        let traces = nn::Traces::new(options.gamma, options.lambda);
        Ok(Traces { size: setup.state_size, traces, states: BTreeMap::new(), steps: 0 })
    }
}

impl Trainer for Traces {
    fn input(&self) -> Result<InputLayout> {
        Ok(InputLayout { width: 0, observation: 0..0, action: 0..0 })
    }

    fn step(&mut self, agent: &dyn Agent, batch: &Batch<'_>) -> Result<Tensor> {
        self.traces.end(batch.ended);
        batch.ended.iter().for_each(|stream| drop(self.states.remove(stream)));
        let moment = &batch.moment;
        let next = self.observed(moment.observation)?;
        let state = self.states_of(moment.streams)?;
        let (target, unroll) = (&next, self.steps);
        let loss = agent.loss(&LossInput { moment, state: &state, target, next: Some(&next), unroll })?;
        self.traces.follow(agent, moment, &loss.terms)?;
        descend(agent, &loss)?;
        for (row, stream) in moment.streams.iter().enumerate() {
            let state = match moment.streams.len() {
                1 => next.shallow_clone(),
                _ => next.f_narrow(0, row as i64, 1)?,
            };
            self.states.insert(*stream, state);
        }
        self.steps += 1;
        Ok(next)
    }

    fn save(&self) -> Result<Saved> {
        let mut saved = Saved::new();
        saved::put_numbers(&mut saved, "steps", &[self.steps as f64])?;
        saved::put_streams(&mut saved, "streams", self.states.keys())?;
        saved.push(("state".to_owned(), self.states_of(&self.states.keys().copied().collect::<Vec<_>>())?));
        self.traces.save(&mut saved)?;
        Ok(saved)
    }

    fn restore(&mut self, saved: Saved) -> Result<()> {
        let streams = saved::streams(&saved, "streams")?;
        let states = saved::rows(&saved, "state", streams.len(), self.size)?;
        self.steps = saved::numbers(&saved, "steps", 1)?[0] as u64;
        self.traces.restore(&saved)?;
        let states = states.chunks_exact(self.size as usize);
        let states = states.map(|state| Ok(Tensor::f_from_slice(state)?.f_view([1, self.size])?));
        self.states = streams.into_iter().zip(states.collect::<Result<Vec<_>>>()?).collect();
        Ok(())
    }

    fn unroll_length(&self) -> Result<u64> {
        Ok(1)
    }
}

/// Updates by the terms without an error.
fn descend(agent: &dyn Agent, loss: &efference_sdk::Loss) -> Result<()> {
    let plain = loss.terms.iter().filter(|term| term.error.is_none() && term.value.requires_grad());
    let plain = plain.map(|term| term.total()).collect::<Result<Vec<_>>>()?;
    if plain.is_empty() {
        return Ok(());
    }
    let ones = plain.iter().map(|total| Ok(total.f_ones_like()?)).collect::<Result<Vec<_>>>()?;
    let roots: Vec<_> = plain.iter().zip(&ones).collect();
    autograd::backward(&roots).context("backpropagation")?;
    agent.update(group::ALL)
}

impl Traces {
    /// States of what was observed, (rows, size).
    fn observed(&self, observation: &Tensor) -> Result<Tensor> {
        let (rows, length) = observation.size2()?;
        ensure!(
            length <= self.size,
            "an observation has {length} elements, and a state {}: set state.size to at least {length}",
            self.size
        );
        let observation = observation.f_contiguous()?;
        let mut states = OutputBuffer::zeros(&[rows, self.size])?;
        let observed = slice(&observation)?.chunks_exact(length.max(1) as usize);
        for (state, observed) in states.chunks_exact_mut(self.size as usize).zip(observed) {
            state.iter_mut().zip(observed).for_each(|(s, o)| *s = if o.is_nan() { 0.0 } else { *o });
        }
        Ok(states.into_tensor())
    }

    /// The last states of these streams, (rows, size); 0 of one that begins.
    fn states_of(&self, streams: &[u64]) -> Result<Tensor> {
        if let [only] = streams
            && let Some(state) = self.states.get(only)
        {
            return Ok(state.shallow_clone());
        }
        let mut states = OutputBuffer::zeros(&[streams.len() as i64, self.size])?;
        for (row, stream) in states.chunks_exact_mut(self.size as usize).zip(streams) {
            if let Some(state) = self.states.get(stream) {
                row.copy_from_slice(slice(state)?);
            }
        }
        Ok(states.into_tensor())
    }
}

efference_sdk::export! { trainer: Traces }

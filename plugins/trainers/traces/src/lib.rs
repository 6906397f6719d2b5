//! Trainer plugin: eligibility traces of a goal's terms, one update a step.
mod observed;

use efference_sdk::nn;
use efference_sdk::tch::{Device, Tensor};
use efference_sdk::{Agent, Batch, InputLayout, Plugin, Result, Saved, Trainer, TrainerSetup, ensure};
use efference_stream_states::{Input, Merge, Window};
use observed::Observed;
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
        /// Whether states are the cell's; else they are what was observed, and no cell is made.
        pub cell: bool = false,
        /// With a cell: how many transitions back the gradient of the other terms goes, such as that of predictions.
        #[schemars(range(min = 1, max = 1_000_000))]
        pub length: u64 = 1,
        /// With a cell: what it receives: state and observation side by side, one over the other, their sum, or the state
        /// alone.
        pub merge: Merge = Merge::Concat,
        /// With a cell: whether its input also holds the action that was done before, behind the rest.
        pub action_input: bool = false,
        /// With a cell: whether a stream's state is zero again after the end of an episode.
        pub reset_after_episode: bool = false,
    }
}

/// Follows a trace of each of the goal's terms with an error ([`nn::Traces`]) and updates by it in each step; terms without
/// an error are descended along at once, each step by its own gradient.
///
/// Without a [cell](Options::cell), states are what was observed, with 0 for what is missing and behind it. With one, they are
/// the cell's, which the terms without an error train, through the last [`length`](Options::length) transitions ([`Window`]);
/// the goal is passed the states after what came as well. No gradient of a trace reaches the states.
pub struct Traces {
    states: States,
    length: u64,
}

enum States {
    Observed(Observed),
    Cell(Window),
}

impl Plugin for Traces {
    const NAME: &'static str = "traces";
    const DESCRIPTION: &'static str = "Eligibility traces of a goal's terms, with one update a step.";
    type Options = Options;
    type Kind = dyn Trainer;

    fn new(options: Options, setup: &TrainerSetup<'_>) -> Result<Self> {
        ensure!(setup.device == Device::Cpu, "traces computes on the CPU: set device = \"cpu\"");
        let Options { gamma, lambda, cell, length, merge, action_input, reset_after_episode } = options;
        ensure!((1..=1_000_000).contains(&length), "length must be in 1…1,000,000, and is {length}");
        let traces = nn::Traces::new(gamma, lambda);
        let states = if cell {
            let input = Input::new(merge, action_input, setup)?;
            let window = Window::new(input, length as usize, reset_after_episode, setup);
            States::Cell(window.looking_ahead(true).with_traces(traces))
        } else {
            States::Observed(Observed { size: setup.state_size, traces, states: BTreeMap::new(), steps: 0 })
        };
        Ok(Traces { states, length })
    }
}

impl Trainer for Traces {
    fn input(&self) -> Result<InputLayout> {
        Ok(match &self.states {
            States::Observed(_) => InputLayout { width: 0, observation: 0..0, action: 0..0 },
            States::Cell(window) => window.input().layout().clone(),
        })
    }

    fn step(&mut self, agent: &dyn Agent, batch: &Batch<'_>) -> Result<Tensor> {
        match &mut self.states {
            States::Observed(observed) => observed.step(agent, batch),
            States::Cell(window) => window.step(agent, batch, &mut |_| Ok(())),
        }
    }

    fn save(&self) -> Result<Saved> {
        match &self.states {
            States::Observed(observed) => observed.save(),
            States::Cell(window) => window.save(),
        }
    }

    fn restore(&mut self, saved: Saved) -> Result<()> {
        match &mut self.states {
            States::Observed(observed) => observed.restore(&saved),
            States::Cell(window) => window.restore(&saved),
        }
    }

    fn unroll_length(&self) -> Result<u64> {
        Ok(self.length)
    }
}

efference_sdk::export! { trainer: Traces }

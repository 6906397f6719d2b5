//! Trainer plugin: gradients through one transition, and no further.
mod normalise;

use efference_sdk::tch::Tensor;
use efference_sdk::{Agent, Batch, InputLayout, Plugin, Result, Saved, Trainer, TrainerSetup};
use efference_stream_states::{Input, Merge, Window};
use normalise::Normaliser;

efference_sdk::options! {
    /// Options of `immediate`.
    pub struct Options {
        /// Whether the gradient of each parameter (a weight matrix, a vector of biases) is divided by the root of its
        /// running mean square, so that all have the same scale: for optimizers that do not do this themselves.
        pub normalise: bool = false,
        /// How slowly that mean follows: it becomes decay · mean + (1 − decay) · what came.
        #[schemars(range(min = 0.0, max = 0.999_999))]
        pub normalise_decay: f64 = 0.999,
        /// What the cell receives: state and observation side by side, one over the other, their sum, or the
        /// state alone.
        pub merge: Merge = Merge::Concat,
        /// Whether the cell's input also holds the action that was done before, behind the rest: its efference copy.
        pub action_input: bool = false,
        /// Whether a stream's state is zero again after the end of an episode, so that nothing is carried over.
        pub reset_after_episode: bool = false,
        /// Whether the goal is passed the states after what came as well, which goals that learn values of states need. It takes
        /// one more transition a step.
        pub look_ahead: bool = false,
    }
}

/// No credit through time: each step makes one update, by the gradient of that step's loss through the one transition that
/// made the state ("immediate derivatives": Merin, "Temporal credit is free", arXiv 2603.28750, who finds them to suffice once
/// gradient scales are equal across the groups of parameters, as RMSprop makes them). What was seen before reaches the loss
/// through the state, forward; no gradient goes back to where it was seen.
///
/// The formula is that of [`Window`] for L = 1. A step costs one transition forward and one back.
pub struct Immediate {
    window: Window,
    normaliser: Option<Normaliser>,
}

impl Plugin for Immediate {
    const NAME: &'static str = "immediate";
    const DESCRIPTION: &'static str =
        "One update each step, by the gradient through one transition: no credit through time.";
    type Options = Options;
    type Kind = dyn Trainer;

    fn new(options: Options, setup: &TrainerSetup<'_>) -> Result<Self> {
        let Options { normalise, normalise_decay, merge, action_input, reset_after_episode, look_ahead } =
            options;
        let normaliser = normalise.then(|| Normaliser::new(normalise_decay)).transpose()?;
        let input = Input::new(merge, action_input, setup)?;
        let window = Window::new(input, 1, reset_after_episode, setup).looking_ahead(look_ahead);
        Ok(Immediate { window, normaliser })
    }
}

impl Trainer for Immediate {
    fn input(&self) -> Result<InputLayout> {
        Ok(self.window.input().layout().clone())
    }

    fn step(&mut self, agent: &dyn Agent, batch: &Batch<'_>) -> Result<Tensor> {
        let normaliser = &mut self.normaliser;
        self.window.step(agent, batch, &mut |agent| match normaliser {
            Some(normaliser) => normaliser.normalise(agent),
            None => Ok(()),
        })
    }

    fn save(&self) -> Result<Saved> {
        let mut saved = self.window.save()?;
        if let Some(normaliser) = &self.normaliser {
            saved.extend(normaliser.save()?);
        }
        Ok(saved)
    }

    fn restore(&mut self, saved: Saved) -> Result<()> {
        if let Some(normaliser) = &mut self.normaliser {
            normaliser.restore(&saved)?;
        }
        self.window.restore(&saved)
    }

    fn unroll_length(&self) -> Result<u64> {
        Ok(1)
    }
}

efference_sdk::export! { trainer: Immediate }

#[cfg(test)]
mod tests;

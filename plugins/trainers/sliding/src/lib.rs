//! Trainer plugin: one update each step, through a sliding window of transitions.
use efference_sdk::tch::Tensor;
use efference_sdk::{Agent, Batch, InputLayout, Plugin, Result, Saved, Trainer, TrainerSetup, ensure};
use efference_stream_states::{Input, Merge, Window};

efference_sdk::options! {
    /// Options of `sliding`.
    pub struct Options {
        /// How many transitions gradient travels back from a step's loss.
        #[schemars(range(min = 1, max = 1_000_000))]
        pub length: u64 = 4,
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

/// True truncated backpropagation through time, TBPTT(1, L) (Williams and Peng, "An efficient gradient-based algorithm for
/// on-line training of recurrent network trajectories", 1990): every step makes one update, by the gradient of that step's
/// loss through the last L transitions. `bptt` updates every `unroll_length` steps, and its losses reach back one transition
/// to `unroll_length` of them; here each loss reaches back L.
///
/// The formula, and which parameters the transitions of the window are made with: [`Window`]. A step costs L + 1 transitions
/// forward and L back, and the memory of L of them (one forward and one back for L = 1, which is `immediate`).
pub struct Sliding {
    window: Window,
    length: u64,
}

impl Plugin for Sliding {
    const NAME: &'static str = "sliding";
    const DESCRIPTION: &'static str =
        "One update each step, by the gradient through the last few transitions: TBPTT(1, L).";
    type Options = Options;
    type Kind = dyn Trainer;

    fn new(options: Options, setup: &TrainerSetup<'_>) -> Result<Self> {
        let Options { length, merge, action_input, reset_after_episode, look_ahead } = options;
        ensure!((1..=1_000_000).contains(&length), "length must be in 1…1,000,000, and is {length}");
        let input = Input::new(merge, action_input, setup)?;
        let window =
            Window::new(input, length as usize, reset_after_episode, setup).looking_ahead(look_ahead);
        Ok(Sliding { window, length })
    }
}

impl Trainer for Sliding {
    fn input(&self) -> Result<InputLayout> {
        Ok(self.window.input().layout().clone())
    }

    fn step(&mut self, agent: &dyn Agent, batch: &Batch<'_>) -> Result<Tensor> {
        self.window.step(agent, batch, &mut |_| Ok(()))
    }

    fn save(&self) -> Result<Saved> {
        self.window.save()
    }

    fn restore(&mut self, saved: Saved) -> Result<()> {
        self.window.restore(&saved)
    }

    fn unroll_length(&self) -> Result<u64> {
        Ok(self.length)
    }
}

efference_sdk::export! { trainer: Sliding }

#[cfg(test)]
mod tests;

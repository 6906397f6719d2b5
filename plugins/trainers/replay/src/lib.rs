//! Trainer plugin: the losses of what comes, and again those of what is remembered.
//!
//! An agent that learns online sees each moment once. This one remembers the last of them, and in each step makes further updates
//! by the same losses at remembered moments, which are drawn at random: more is learned from each moment, for more time a step.
//!
//! **What it costs**: with L = `unroll_length`, a step makes L + 2 transitions forward and L back for what comes, and `replays`
//! times 1 update and (`burn_in` + L) transitions forward and L back for what is remembered, of `batch` rows each. The memory is
//! `capacity · 4` bytes times the elements of a state, an observation and an action, in each checkpoint too; an estimate of what
//! a run takes does not count it. **When to use it**: where moments are dear (a page in real time, a robot) and computing is not. The
//! book's page on goals and trainers says what was measured.
mod memory;
mod options;

use efference_sdk::tch::{self, Tensor};
use efference_sdk::{
    Agent, Batch, InputLayout, LossInput, Plugin, Random, Result, ResultExt, Saved, Trainer, TrainerSetup,
    autograd, ensure, group,
};
use efference_stream_states::{Input, Window};
use memory::{Memory, Piece};
pub use options::Options;

/// What comes is learned from by [`Window`]; then, `replays` times a step, remembered pieces are learned from.
///
/// A piece is L + 1 moments of one stream that led to each other, L being `unroll_length`, with the state `s₀` before the first of
/// them; `o(i)` is what was observed, `F` the transition by the parameters of now. Of `batch` pieces in one update, for `B` active
/// streams:
///
/// ```text
/// s(i + 1) = F(s(i), o(i))                                         i = 0 … L − 1
/// update by the gradient of  B / (pieces · L) · Σ over pieces, i = 1 … L, of loss(s(i), o(i))
/// ```
///
/// so that a remembered update weighs as much as a fresh one. With `burn_in = 0` the state `s₀` is the one that was stored when the
/// moment came, made by older parameters; with more, the transitions before it are made again without gradient from the state
/// stored at their beginning ("stored state" and "burn-in" of Kapturowski et al., "Recurrent experience replay in distributed
/// reinforcement learning", ICLR 2019, OpenReview r1lyTjAqYX; here pieces are drawn evenly, by no priority).
///
/// No piece leads over the end of an episode or of a stream, but one may lead over steps in which its stream sat out. Pieces are
/// drawn from the experiment's seed and the step's number. The states of streams, and what they act by, are not touched: updates by
/// remembered moments come after the states of a step are made. Losses at remembered moments are not recorded.
///
/// A goal that keeps something from moment to moment (traces, running statistics of what comes), a bonus, or an environment
/// with elements that are only predicted does not fit, and is refused before the first step. Goals that keep a slow copy of a
/// network let it follow at each loss, so also at remembered ones.
///
/// All that the next step depends on is saved, the memory with it.
pub struct Replay {
    options: Options,
    state_size: i64,
    window: Window,
    memory: Memory,
}

impl Plugin for Replay {
    const NAME: &'static str = "replay";
    const DESCRIPTION: &'static str =
        "One update each step by what comes, and further ones by remembered moments.";
    type Options = Options;
    type Kind = dyn Trainer;

    fn new(options: Options, setup: &TrainerSetup<'_>) -> Result<Self> {
        let Options { capacity, unroll_length, batch, warm_up, .. } = options;
        ensure!(
            unroll_length >= 1 && batch >= 1,
            "unroll_length and batch must be at least 1, and are {unroll_length} and {batch}"
        );
        ensure!(
            capacity > unroll_length,
            "capacity is {capacity}, and a piece of unroll_length = {unroll_length} transitions has one moment more than that: \
             remember more, or let unroll_length be smaller"
        );
        ensure!(
            warm_up <= capacity,
            "warm_up is {warm_up}, and never more than capacity = {capacity} moments are remembered: there would be no replay"
        );
        let input = Input::new(options.merge, options.action_input, setup)?;
        let window = Window::new(input, unroll_length as usize, options.reset_after_episode, setup);
        let memory = Memory::new(capacity as usize, setup.device);
        Ok(Replay { options, state_size: setup.state_size, window: window.keeping_no_graph(), memory })
    }
}

impl Trainer for Replay {
    fn input(&self) -> Result<InputLayout> {
        Ok(self.window.input().layout().clone())
    }

    fn begin(&mut self, agent: &dyn Agent) -> Result<()> {
        match self.options.replays {
            0 => Ok(()),
            _ => agent.may_replay().context("replays above 0"),
        }
    }

    fn step(&mut self, agent: &dyn Agent, batch: &Batch<'_>) -> Result<Tensor> {
        let before = self.window.states_before(batch)?.f_detach()?;
        let states = self.window.step(agent, batch, &mut |_| Ok(()))?;
        if self.options.replays == 0 {
            return Ok(states);
        }
        self.memory.push(batch, &before)?;
        if (self.memory.len() as u64) < self.options.warm_up {
            return Ok(states);
        }
        let mut random = Random::new(agent.seed("replay")?);
        let Options { replays, batch: count, unroll_length, burn_in, .. } = self.options;
        let least = unroll_length as usize + 1;
        for _ in 0..replays {
            let pieces = self.memory.draw(&mut random, count as usize, least, least + burn_in as usize);
            if !pieces.is_empty() {
                self.replay(agent, &pieces, batch.moment.streams.len()).context("at remembered moments")?;
                agent.update(group::ALL)?;
            }
        }
        Ok(states)
    }

    fn save(&self) -> Result<Saved> {
        let mut saved = self.window.save()?;
        self.memory.save(&mut saved)?;
        Ok(saved)
    }

    fn restore(&mut self, saved: Saved) -> Result<()> {
        self.window.restore(&saved)?;
        self.memory.restore(&saved, self.state_size)
    }

    fn unroll_length(&self) -> Result<u64> {
        Ok(self.options.unroll_length)
    }
}

impl Replay {
    /// Gathers the gradient of these pieces, the longest first, in the parameters; it weighs as much as that of so many streams.
    fn replay(&self, agent: &dyn Agent, pieces: &[Piece], streams: usize) -> Result<()> {
        let unroll = self.options.unroll_length as usize;
        let (own, step) = (agent.memory()?, agent.step()?);
        let longest = pieces.first().map_or(0, Vec::len);
        let mut states: Option<Tensor> = None;
        let mut there = 0;
        let mut terms = Vec::new();
        for back in (0..longest).rev() {
            let count = pieces.iter().take_while(|piece| piece.len() > back).count();
            let numbers = pieces[..count].iter().map(|piece| piece[piece.len() - 1 - back]);
            let recalled = self.memory.recall(numbers)?;
            // Pieces that are shorter join those on the way with their stored state.
            let state = match states.take() {
                None => recalled.state.shallow_clone(),
                Some(states) if there == count => states,
                Some(states) => {
                    let joining = recalled.state.f_narrow(0, there as i64, (count - there) as i64)?;
                    Tensor::f_cat(&[states, joining], 0)?
                }
            };
            there = count;
            let moment = recalled.moment();
            let (input, target) =
                self.window.input().merge(&state, moment.observation, moment.action, own)?;
            if back < unroll {
                let input =
                    LossInput { moment: &moment, state: &state, target: &target, next: None, unroll: step };
                for term in &agent.replayed_loss(&input)?.terms {
                    terms.push(term.total()?);
                }
            }
            if back > unroll {
                states = Some(tch::no_grad(|| agent.transition(&input))?);
            } else if back > 0 {
                states = Some(agent.transition(&input)?);
            }
        }
        let weight = streams as f64 / (pieces.len() * unroll) as f64;
        terms.retain(Tensor::requires_grad);
        let weights = terms.iter().map(|term| Ok(term.f_full_like(weight)?)).collect::<Result<Vec<_>>>()?;
        let roots: Vec<_> = terms.iter().zip(&weights).collect();
        if roots.is_empty() {
            return Ok(());
        }
        autograd::backward(&roots).context("backpropagation")
    }
}

efference_sdk::export! { trainer: Replay }

#[cfg(test)]
mod tests;

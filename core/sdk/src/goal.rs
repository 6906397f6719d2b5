//! Goals: what is minimised and maximised.
use crate::{GradMask, GradPath, LayerFactory, Options, Params, Result, Transition};
use tch::Tensor;

/// What a prediction is compared with.
pub struct LossInput<'a> {
    /// The states before this step's observation, (live streams, state size); carries gradient. A state
    /// begins with the prediction of the observation.
    pub state: &'a Tensor,
    /// The same with what was observed written over its front, clamped to ±1; carries no gradient.
    pub got: &'a Tensor,
    /// What was observed, (live streams, length), the reserved numbers first; NaN is a hole.
    pub observation: &'a Tensor,
    /// For each live stream whether an episode ended with this observation.
    pub episode_ends: &'a [bool],
}

/// The terms of a loss, and numbers to be recorded beside them. Each tensor holds one number.
#[derive(Default)]
pub struct Loss {
    /// The loss is their sum.
    pub terms: Vec<(String, Tensor)>,
    /// Recorded and nothing else.
    pub metrics: Vec<(String, Tensor)>,
}

impl Loss {
    /// Adds a term.
    pub fn term(&mut self, name: &str, value: Tensor) {
        self.terms.push((name.to_owned(), value));
    }

    /// Adds a number to be recorded.
    pub fn metric(&mut self, name: &str, value: Tensor) {
        self.metrics.push((name.to_owned(), value));
    }

    /// The sum of the terms; `None` without any.
    pub fn total(&self) -> Result<Option<Tensor>> {
        let mut terms = self.terms.iter().map(|(_, t)| t);
        let Some(first) = terms.next() else { return Ok(None) };
        terms.try_fold(first.shallow_clone(), |sum, t| Ok(sum.f_add(t)?)).map(Some)
    }
}

/// Tensors that a component is saved as.
pub type Saved = Vec<(String, Tensor)>;

/// A goal plugin.
pub trait Goal: Send + Sized + 'static {
    /// The name that a spec says.
    const NAME: &'static str;
    /// What it is, in one line.
    const DESCRIPTION: &'static str;
    /// Its options.
    type Options: Options;

    /// Makes a goal for states of `state_size` numbers.
    fn new(
        options: Self::Options,
        state_size: i64,
        layers: &dyn LayerFactory,
        params: &Params<'_>,
    ) -> Result<Self>;

    /// How many numbers at the front of the state the goal keeps for itself. The first of them is where the
    /// score is observed; observations come behind them.
    fn reserved(&self) -> i64 {
        0
    }

    /// The next state, (batch, state size), of the cell's input `x` (batch, input size). By default the cell
    /// as it is.
    fn transition(&mut self, cell: &dyn Transition, x: &Tensor) -> Result<Tensor> {
        let all = GradPath { outs: 0..cell.outs(), mask: GradMask::All, frozen: false };
        Ok(cell.evaluate(x, &[all])?.remove(0))
    }

    /// `length` actions in −1…1 for each stream, (batch, length), from its state (batch, state size). By
    /// default the end of the state, reversed.
    fn act(&mut self, state: &Tensor, length: i64) -> Result<Tensor> {
        end_reversed(state, length)
    }

    /// Adds the terms of the loss.
    fn loss(&mut self, input: &LossInput<'_>, loss: &mut Loss) -> Result<()>;

    /// What [`restore`](Goal::restore) needs beyond the parameters and buffers.
    fn save(&self) -> Result<Saved> {
        Ok(Vec::new())
    }

    /// Takes up what [`save`](Goal::save) gave.
    fn restore(&mut self, saved: Saved) -> Result<()> {
        let _ = saved;
        Ok(())
    }
}

/// The last `length` numbers of each row, the last one first.
pub fn end_reversed(state: &Tensor, length: i64) -> Result<Tensor> {
    let size = state.size()[1];
    Ok(state.f_narrow(1, size - length, length)?.f_flip([1])?)
}

/// Any goal: one of this library, or one behind the boundary.
pub trait AnyGoal: Send {
    /// See [`Goal::reserved`].
    fn reserved(&self) -> i64;
    /// See [`Goal::transition`].
    fn transition(&mut self, cell: &dyn Transition, x: &Tensor) -> Result<Tensor>;
    /// See [`Goal::act`].
    fn act(&mut self, state: &Tensor, length: i64) -> Result<Tensor>;
    /// See [`Goal::loss`].
    fn loss(&mut self, input: &LossInput<'_>, loss: &mut Loss) -> Result<()>;
    /// See [`Goal::save`].
    fn save(&self) -> Result<Saved>;
    /// See [`Goal::restore`].
    fn restore(&mut self, saved: Saved) -> Result<()>;
}

impl<G: Goal> AnyGoal for G {
    fn reserved(&self) -> i64 {
        Goal::reserved(self)
    }

    fn transition(&mut self, cell: &dyn Transition, x: &Tensor) -> Result<Tensor> {
        Goal::transition(self, cell, x)
    }

    fn act(&mut self, state: &Tensor, length: i64) -> Result<Tensor> {
        Goal::act(self, state, length)
    }

    fn loss(&mut self, input: &LossInput<'_>, loss: &mut Loss) -> Result<()> {
        Goal::loss(self, input, loss)
    }

    fn save(&self) -> Result<Saved> {
        Goal::save(self)
    }

    fn restore(&mut self, saved: Saved) -> Result<()> {
        Goal::restore(self, saved)
    }
}

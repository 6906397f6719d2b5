//! Goals: what is minimised and maximised.
use crate::bridge::{check_answer, check_shape, interface};
use crate::environment::action_width;
use crate::{
    ActionGroup, GradMask, GradPath, LayerFactory, Params, Result, Saved, Spaces, StepType, Transition,
    autograd, ensure,
};
use tch::{Device, Kind, Tensor};

/// What a goal is made from.
pub struct GoalSetup<'a> {
    /// Elements of a state.
    pub state_size: i64,
    /// What the environment observes and wants, if it is known.
    pub spaces: Option<&'a Spaces>,
    /// Makes layers of the experiment's kind.
    pub layers: &'a dyn LayerFactory,
    /// Where its parameters are kept.
    pub params: Params<'a>,
}

/// What came from the environment at one moment, for the streams that observed something: a row each.
#[derive(Debug, Clone, Copy)]
pub struct Moment<'a> {
    /// The active streams, in the order of the rows; at least one, each once.
    pub streams: &'a [u64],
    /// (rows, length): what they observed, the goal's reserved slots first; NaN: missing.
    pub observation: &'a Tensor,
    /// What is to be maximised, one a row, with the goal's bonus; NaN: absent.
    pub reward: &'a [f32],
    /// (rows, width), on the CPU: the action that was done in response to the stream's frame before; NaN: none was.
    pub action: &'a Tensor,
    /// Where each row stands in an episode.
    pub step_types: &'a [StepType],
}

/// What actions are asked for.
#[derive(Debug, Clone, Copy)]
pub struct ActionRequest<'a> {
    /// Of the stream that wants the most; one that wants less ignores the rest.
    pub groups: &'a [ActionGroup],
    /// A seed for random numbers, from the experiment's seed and the step.
    pub seed: u64,
    /// Whether the best actions are wanted, as in an evaluation, and no exploration.
    pub greedy: bool,
}

impl ActionRequest<'_> {
    /// Elements of a vector of actions.
    pub fn width(&self) -> i64 {
        action_width(self.groups) as i64
    }
}

/// What a prediction is compared with.
#[derive(Debug, Clone, Copy)]
pub struct LossInput<'a> {
    /// What came.
    pub moment: &'a Moment<'a>,
    /// (rows, state size): the states before it; carries gradient. A state begins with the prediction of the
    /// observation.
    pub state: &'a Tensor,
    /// The same with the observation written over its front, limited to ±1; without gradient. A goal gets it with the
    /// elements that an environment only shows as they are in the state, and with those that are only to be predicted as
    /// they came, which the moment does not show: see [`Comparison`](crate::Comparison).
    pub target: &'a Tensor,
    /// The states after it, with gradient, from a trainer that makes them first.
    pub next: Option<&'a Tensor>,
    /// Counts unrolls: when it has changed, the graphs of what was computed before are freed.
    pub unroll: u64,
}

/// A term of a loss.
#[derive(Debug)]
pub struct Term {
    /// Its name.
    pub name: String,
    /// One number, or one a row.
    pub value: Tensor,
    /// One number a row, without gradient: then the term is `−Σ(error · value)`, and a trainer may follow a trace of
    /// the value's gradient in place of that gradient. `None`: the term is `Σ value`.
    pub error: Option<Tensor>,
    /// What becomes of each row's trace, if the term has an error; empty: all go on.
    pub traces: Vec<TraceStep>,
}

/// What becomes of a trace `z` of a value's gradient, in a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TraceStep {
    /// `z ← decay · z + ∇value`
    Continue,
    /// `z ← ∇value`: what was done before gets no credit for what comes.
    Restart,
    /// It stays as it is, and nothing is learned of this row.
    Rest,
}

impl Term {
    /// What is minimised: one number.
    pub fn total(&self) -> Result<Tensor> {
        let value = match &self.error {
            Some(error) => self.value.f_mul(error)?.f_neg()?,
            None if self.value.numel() == 1 => return Ok(self.value.shallow_clone()),
            None => self.value.shallow_clone(),
        };
        Ok(value.f_sum(value.kind())?)
    }
}

/// The terms of a loss, and numbers to be recorded beside them.
#[derive(Debug, Default)]
pub struct Loss {
    /// The loss is their sum.
    pub terms: Vec<Term>,
    /// Recorded and nothing else: one number each.
    pub metrics: Vec<(String, Tensor)>,
}

impl Loss {
    /// Adds a term: one number, or one a row, of which the sum counts.
    pub fn term(&mut self, name: &str, value: Tensor) {
        self.terms.push(Term { name: name.to_owned(), value, error: None, traces: Vec::new() });
    }

    /// Adds the term `−Σ(error · value)`, whose value's gradient a trainer may trace: both one number a row, `error`
    /// without gradient. `traces` says what becomes of each row's trace; empty: all go on. The error of a row whose trace
    /// rests is to be 0.
    pub fn traced(&mut self, name: &str, value: Tensor, error: Tensor, traces: Vec<TraceStep>) {
        self.terms.push(Term { name: name.to_owned(), value, error: Some(error), traces });
    }

    /// Adds a number to be recorded.
    pub fn metric(&mut self, name: &str, value: Tensor) {
        self.metrics.push((name.to_owned(), value));
    }

    /// The sum of the terms; `None` without any.
    pub fn total(&self) -> Result<Option<Tensor>> {
        let mut terms = self.terms.iter();
        let Some(first) = terms.next() else { return Ok(None) };
        terms.try_fold(first.total()?, |sum, term| Ok(sum.f_add(&term.total()?)?)).map(Some)
    }
}

interface! {
    /// A goal: what is minimised and maximised, and which actions follow from it.
    pub trait Goal: Send in goal as efference_abi::GoalVTable {
        /// The terms of the loss.
        exclusive fn loss(input: &LossInput<'_>) -> Loss,
            checked |loss, _caller| check_loss(loss, input.moment.streams.len());
        /// How many elements at the front of the state the goal keeps for itself. The first of them is where the
        /// reward is observed; observations follow. Asked for once.
        shared fn reserved() -> i64 = Ok(0);
        /// Whether the front of the state predicts the next observation. If not, no errors are recorded. Asked for once.
        shared fn predicts() -> bool = Ok(true);
        /// The next state, (rows, state size), of the cell's input `x` (rows, input size). By default the cell
        /// as it is.
        exclusive fn transition(cell: &dyn Transition, x: &Tensor) -> Tensor = plain_transition(cell, x),
            checked |y, _caller| check_answer(y, x, [x.size()[0], cell.outs()?]);
        /// Actions, (rows, request.width()), from what came and the states after it, (rows, state size). Of a choice
        /// the largest element counts; a value is limited to −1…1. Grad mode is off; a goal that wants to differentiate
        /// later what it computes here switches it on for itself (`tch::with_grad`).
        ///
        /// By default the end of the state, reversed.
        exclusive fn act(moment: &Moment<'_>, state: &Tensor, request: &ActionRequest<'_>) -> Tensor
            = end_reversed(state, request.width()),
            checked |actions, _caller| check_shape(actions, [state.size()[0], request.width()]);
        /// What is added to the reward before anybody sees it, one number a row, for exploration; `None`: nothing.
        exclusive fn bonus(moment: &Moment<'_>) -> Option<Tensor> = Ok(None),
            checked |bonus, _caller| check_bonus(bonus.as_ref(), moment.streams.len());
        /// What [`restore`](Goal::restore) needs beyond the parameters and buffers.
        shared fn save() -> Saved = Ok(Vec::new()), context "saving";
        /// Takes up what [`save`](Goal::save) returned.
        exclusive fn restore(saved: Saved) -> () = Ok(()), context "restoring";
        /// These streams have ended, before those of the next [`loss`](Goal::loss) and [`act`](Goal::act) were active:
        /// what the goal keeps of them can be dropped. Their numbers may come back as new streams.
        exclusive fn ended(streams: &[u64]) -> () = Ok(());
        /// Whether the error of this term weighs its value, as an advantage does the log-probability of an action, and is not
        /// how far the value is from its target. Optimizers that choose the size of a step by its effect want to know.
        shared fn weighs(term: &str) -> bool = {
            let _ = term;
            Ok(false)
        };
        /// Whether it is a bonus, to be chosen under `[bonus]` beside another goal: it adds to the reward, for exploration,
        /// and learns from its own loss. Then only [`loss`](Goal::loss), [`bonus`](Goal::bonus), [`save`](Goal::save),
        /// [`restore`](Goal::restore) and [`ended`](Goal::ended) are called, observations come without reserved slots, and
        /// terms are descended along, traced or not. Asked for once.
        shared fn is_bonus() -> bool = Ok(false);
    }
}

fn plain_transition(cell: &dyn Transition, x: &Tensor) -> Result<Tensor> {
    let all = GradPath { outs: 0..cell.outs()?, mask: GradMask::All, frozen: false };
    Ok(cell.evaluate(x, &[all])?.remove(0))
}

/// The last `length` elements of each row, the last one first.
pub fn end_reversed(state: &Tensor, length: i64) -> Result<Tensor> {
    let size = state.size()[1];
    Ok(state.f_narrow(1, size - length, length)?.f_flip([1])?)
}

/// Refuses terms of other shapes, and numbers that are not finite.
fn check_loss(loss: &Loss, rows: usize) -> Result<()> {
    for Term { name, value, error, traces } in &loss.terms {
        let elements = value.numel();
        ensure!(
            elements == 1 || (elements == rows && value.dim() == 1),
            "the loss term '{name}' has {elements} elements instead of one, or one for each of {rows} rows"
        );
        if let Some(error) = error {
            ensure!(
                error.size() == value.size() && !error.requires_grad(),
                "the error of the loss term '{name}' has the shape {:?}; it must be {:?}, as the value, and without \
                 gradient",
                error.size(),
                value.size()
            );
        }
        ensure!(
            traces.is_empty() || (error.is_some() && traces.len() == elements),
            "the loss term '{name}' says what becomes of {} traces, and has {elements} elements",
            traces.len()
        );
        for tensor in [Some(value), error.as_ref()].into_iter().flatten() {
            let kind = tensor.f_kind()?;
            ensure!(
                matches!(kind, Kind::Float | Kind::Double),
                "the loss term '{name}' is of kind {kind:?}; it must be Float or Double"
            );
            // On a GPU this would wait for it; there the loss shows in the next state.
            if tensor.device() == Device::Cpu {
                let number = if tensor.numel() == 1 {
                    autograd::item(tensor)?
                } else {
                    tensor.f_detach()?.f_sum(Kind::Double)?.f_double_value(&[])?
                };
                ensure!(
                    number.is_finite(),
                    "the loss term '{name}' is {number}. If the goal's parameters have become such, lower the \
                     learning rate; if not, the plugin has a mistake"
                );
            }
        }
    }
    for (name, value) in &loss.metrics {
        ensure!(value.numel() == 1, "the metric '{name}' holds {} numbers instead of one", value.numel());
    }
    Ok(())
}

fn check_bonus(bonus: Option<&Tensor>, rows: usize) -> Result<()> {
    let Some(bonus) = bonus else { return Ok(()) };
    ensure!(bonus.size() == [rows as i64], "returned a bonus of shape {:?} for {rows} rows", bonus.size());
    // On a GPU this would wait for it twice.
    if bonus.device() == Device::Cpu {
        ensure!(
            bonus.f_sum(Kind::Double)?.f_double_value(&[])?.is_finite(),
            "returned a bonus that is not finite (NaN or infinity). If the plugin's parameters have become such, lower the \
             learning rate; if not, the plugin has a mistake"
        );
    }
    Ok(())
}

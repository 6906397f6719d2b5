//! Goals: what is minimised and maximised.
use crate::bridge::{check_answer, check_shape, interface};
use crate::environment::action_width;
use crate::loss::{check_loss, check_traced_loss};
use crate::{
    ActionGroup, GradMask, GradPath, LayerFactory, Loss, Params, Result, Saved, Spaces, StepType, TracedLoss,
    Transition, autograd, ensure,
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
    /// The same with the observation written over its front, limited to ±1; without gradient. Compare the whole state with it,
    /// as [`Prediction`](crate::Prediction) does, not its front alone: behind the observation this is the state itself, limited,
    /// and nothing else keeps the state there within ±1. A goal gets it with the
    /// elements that an environment only shows as they are in the state, and with those that are only to be predicted as
    /// they came, which the moment does not show: see [`Comparison`](crate::Comparison).
    pub target: &'a Tensor,
    /// The states after it, with gradient, from a trainer that makes them first.
    pub next: Option<&'a Tensor>,
    /// Counts unrolls: when it has changed, the graphs of what was computed before are freed.
    pub unroll: u64,
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
            checked |y, _caller| check_answer(y, x, [autograd::rows(x), cell.outs()?]);
        /// Actions, (rows, request.width()), from what came and the states after it, (rows, state size). Of a choice
        /// the largest element counts; a value is limited to −1…1. Grad mode is off; a goal that wants to differentiate
        /// later what it computes here switches it on for itself (`tch::with_grad`).
        ///
        /// By default the end of the state, reversed.
        exclusive fn act(moment: &Moment<'_>, state: &Tensor, request: &ActionRequest<'_>) -> Tensor
            = end_reversed(state, request.width()),
            checked |actions, _caller| check_shape(actions, [autograd::rows(state), request.width()]);
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
        /// As [`loss`](Goal::loss), for a trainer that follows traces: terms with an error come with the gradients of their
        /// values, which a goal knows from where it computed those. Nothing of it needs a graph, which takes as long to make and
        /// to walk as a small network's whole step. `None`, the default: the goal has no such loss, and is asked for the plain
        /// one.
        exclusive fn traced_loss(input: &LossInput<'_>) -> Option<TracedLoss> = Ok(None),
            checked |loss, _caller| loss.as_ref().map_or(Ok(()), |loss| {
                check_traced_loss(loss, input.moment.streams.len())?;
                check_loss(&loss.others, input.moment.streams.len())
            });
        /// Which parameters the [gradients](crate::TracedTerm::gradients) of this term are of, in their order, by the names that the
        /// goal added them under. Asked for once a term.
        shared fn traced_parameters(term: &str) -> Vec<String> = {
            let _ = term;
            Ok(Vec::new())
        };
        /// Whether [`loss`](Goal::loss) depends on its input, parameters and buffers alone, so that a trainer may ask for it at a
        /// remembered moment as well, as often as it likes, of streams that come more than once. Not so for a goal that keeps
        /// traces, running statistics or the last moment of a stream: [`save`](Goal::save) is the same before a loss and after
        /// it.
        shared fn replayable() -> bool = Ok(false);
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

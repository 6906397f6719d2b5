//! Trainers: how gradients travel through time.
use crate::autograd::count;
use crate::bridge::{check_numbers, interface};
use crate::{
    Error, Loss, LossInput, Moment, Nonlinearity, Recurrence, Result, Saved, Spaces, TracedLoss, autograd,
    ensure,
};
use std::ops::Range;
use tch::{Device, Tensor};

/// A network of the trainer's own: a stack of the experiment's layer, kept by the agent.
#[derive(Debug, Clone)]
pub struct NetworkSpec<'a> {
    /// Its name, which is also the name of its parameter group.
    pub name: &'a str,
    /// Features in.
    pub ins: i64,
    /// Features out.
    pub outs: i64,
    /// How many layers, at least 1.
    pub layers: i64,
    /// What stands between layers.
    pub nonlinearity: Nonlinearity,
    /// Whether what the layers add to the input is zero at the start.
    pub zero_at_start: bool,
    /// The group's learning rate; `None`: the optimizer's.
    pub learning_rate: Option<f64>,
}

interface! {
    /// An agent that is being made.
    pub trait AgentBuilder in agent_builder as efference_abi::AgentBuilderVTable {
        /// Makes a network that the agent keeps under its name.
        shared fn network(spec: &NetworkSpec<'_>) -> ();
        /// Keeps a slow copy of the cell, whose parameters follow after each update of the cell's:
        /// `slow ← decay · slow + (1 − decay) · cell`, `decay` in 0…1.
        shared fn slow_cell(decay: f64) -> ();
    }
}

/// What a trainer is made from.
pub struct TrainerSetup<'a> {
    /// Elements of a state.
    pub state_size: i64,
    /// How many elements at the front of the state the goal keeps for itself.
    pub reserved: i64,
    /// The experiment's device.
    pub device: Device,
    /// What the environment observes and wants, if it is known.
    pub spaces: Option<&'a Spaces>,
    /// The agent that is being made.
    pub agent: &'a dyn AgentBuilder,
}

/// How the input that a trainer passes to the cell is laid out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputLayout {
    /// Elements in all: the cell is made for it. 0: the trainer uses no cell, and none is made.
    pub width: i64,
    /// Where the observation stands; empty: nowhere, or mixed with the state.
    pub observation: Range<i64>,
    /// Where the action that was done stands; empty: nowhere.
    pub action: Range<i64>,
}

/// Names of parameter groups. A group is all parameters whose name is the group's, or begins with it and a dot: `cell`,
/// `goal.value`, the name of a network.
pub mod group {
    /// All parameters.
    pub const ALL: &str = "";
    /// Those of the goal.
    pub const GOAL: &str = "goal";

    /// Whether a parameter of this name belongs to a group.
    pub fn contains(group: &str, parameter: &str) -> bool {
        match parameter.strip_prefix(group) {
            Some(rest) => group.is_empty() || rest.is_empty() || rest.starts_with('.'),
            None => false,
        }
    }
}

const TOO_OLD_TO_REPLAY: &str =
    "this host is older than the trainer, and knows no losses of remembered moments: use a newer one";

interface! {
    /// The agent, as a trainer sees it during a step.
    pub trait Agent in agent as efference_abi::AgentVTable {
        /// The next states, (rows, state size), of the cell's input `x`, by way of goal, cell and layers.
        shared fn transition(x: &Tensor) -> Tensor;
        /// The same by the [slow copy](AgentBuilder::slow_cell) of the cell, without gradient.
        shared fn slow_transition(x: &Tensor) -> Tensor;
        /// The goal's loss, term by term. The host records it.
        shared fn loss(input: &LossInput<'_>) -> Loss;
        /// The output of a network.
        shared fn network(name: &str, x: &Tensor) -> Tensor;
        /// Shared handles of the trained parameters of a [group], for update rules of a trainer's own.
        shared fn parameters(group: &str) -> Saved;
        /// Lets the optimizer use the gradients gathered in a group's parameters, and clears them.
        shared fn update(group: &str) -> ();
        /// As [`update`](Agent::update), by these gradients, in the order of [`parameters`](Agent::parameters), with
        /// moments that are kept under `name`. Gradients gathered in the parameters stay where they are.
        shared fn descend(name: &str, group: &str, gradients: &[Option<&Tensor>]) -> ();
        /// Clears the gradients gathered in a group's parameters.
        shared fn clear_gradients(group: &str) -> ();
        /// A seed for random numbers of this step.
        shared fn seed(purpose: &str) -> u64;
        /// The number of the current step, from 0.
        shared fn step() -> u64;
        /// How many elements at the end of a state are the [cell's own memory](crate::Cell::memory).
        shared fn memory() -> i64;
        /// As [`descend`](Agent::descend), by the eligibility traces of the loss term `name`, so that an optimizer can
        /// choose the size of a step by what it changes. `errors` are one a row; with `n` parameters in the group,
        /// `traces` (gradients included already) and `gradients` are `n` for each row in turn, or one that stands for all
        /// ([`split_elements`]). `decay` is what is left of a trace a step later. An optimizer of another kind descends along [`−Σ error · trace`](weighted_traces).
        shared fn follow(
            name: &str,
            group: &str,
            decay: f64,
            errors: &[f64],
            traces: &[Option<&Tensor>],
            gradients: &[Option<&Tensor>]
        ) -> () = {
            let _ = (name, group, decay, errors, traces, gradients);
            Err(Error::msg("this host is older than the trainer, and cannot follow traces: use a newer one"))
        };
        /// How the [cell's state recurs](crate::Cell::recurrence), if it does so unit by unit, with the full names of
        /// parameters.
        shared fn recurrence() -> Option<Recurrence> = Ok(None);
        /// As [`loss`](Agent::loss), with the gradients of the terms that have an error, from a goal that
        /// [has such a loss](crate::Goal::traced_loss). `None`: it has none, and [`loss`](Agent::loss) is to be asked for.
        shared fn traced_loss(input: &LossInput<'_>) -> Option<TracedLoss> = Ok(None);
        /// Which parameters the gradients of this term are of, in their order, by their full names.
        shared fn traced_parameters(term: &str) -> Vec<String> = {
            let _ = term;
            Ok(Vec::new())
        };
        /// An error that says why, if [`replayed_loss`](Agent::replayed_loss) is not to be asked for: the goal keeps something from
        /// moment to moment ([`Goal::replayable`](crate::Goal::replayable)), there is a bonus beside it, or elements of an
        /// observation are only predicted, which nobody remembers.
        shared fn may_replay() -> () = Err(Error::msg(TOO_OLD_TO_REPLAY));
        /// As [`loss`](Agent::loss), of a remembered moment. The host does not record it, so that recorded losses and metrics are
        /// those of what came; and a stream may be in the moment more than once.
        shared fn replayed_loss(input: &LossInput<'_>) -> Loss = {
            let _ = input;
            Err(Error::msg(TOO_OLD_TO_REPLAY))
        };
    }
}

/// Takes apart a tensor that stands for one of each of several parameters: it has one dim, and the elements of all, one parameter
/// after another, each as it lies in memory. Returns views with the parameters' shapes.
///
/// A step of a small agent makes, passes on and frees few tensors that way.
///
/// # Errors
/// It has another number of elements than all parameters together, or one of these is not contiguous.
pub fn split_elements(elements: &Tensor, parameters: &[&Tensor]) -> Result<Vec<Tensor>> {
    let all: usize = parameters.iter().map(|p| count(p)).sum();
    ensure!(
        elements.dim() == 1 && count(elements) == all && parameters.iter().all(|p| p.is_contiguous()),
        "a tensor of shape {:?} cannot stand for {} contiguous parameters of {all} elements together",
        elements.size(),
        parameters.len()
    );
    let mut at = 0;
    let views = parameters.iter().map(|p| {
        let own = elements.f_narrow(0, at, count(p) as i64)?;
        at += count(p) as i64;
        Ok(own.f_view_as(p)?)
    });
    views.collect()
}

/// `−Σ error · trace` over rows, for each parameter, of what is passed to [`Agent::follow`]; `None` where no row has a trace.
pub fn weighted_traces(errors: &[f64], traces: &[Option<&Tensor>]) -> Result<Vec<Option<Tensor>>> {
    let count = traces.len() / errors.len().max(1);
    ensure!(
        traces.len() == count * errors.len(),
        "{} traces cannot be those of {} rows",
        traces.len(),
        errors.len()
    );
    let of_parameter = |i: usize| -> Result<Option<Tensor>> {
        let mut sum: Option<Tensor> = None;
        for (error, traces) in errors.iter().zip(traces.chunks_exact(count)) {
            let Some(trace) = traces[i] else { continue };
            let weighted = trace.f_mul_scalar(-error)?;
            sum = Some(match sum {
                Some(sum) => sum.f_add(&weighted)?,
                None => weighted,
            });
        }
        Ok(sum)
    };
    (0..count).map(of_parameter).collect()
}

/// What came from the environment for one step.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    /// What the active streams observed.
    pub moment: Moment<'a>,
    /// Streams that began since the last step, active or not yet.
    pub started: &'a [u64],
    /// Streams that ended since the last step, before those in `started` began.
    pub ended: &'a [u64],
}

interface! {
    /// A trainer: it keeps the streams' states, and says when which gradient is taken and used.
    pub trait Trainer: Send in trainer as efference_abi::TrainerVTable {
        /// How what it passes to [`Agent::transition`] is laid out. Asked for once: the cell is made for it.
        shared fn input() -> InputLayout;
        /// One step; returns the new states of the active streams, (rows, state size).
        exclusive fn step(agent: &dyn Agent, batch: &Batch<'_>) -> Tensor,
            checked |states, _caller| check_states(states, batch.moment);
        /// What [`restore`](Trainer::restore) needs: the states above all.
        shared fn save() -> Saved, context "saving";
        /// Takes up what [`save`](Trainer::save) returned.
        exclusive fn restore(saved: Saved) -> (), context "restoring";
        /// Whether what [`save`](Trainer::save) returns now loses nothing, as it would in the middle of an unroll.
        shared fn saves_exactly() -> bool = Ok(true);
        /// Steps whose graph is held at once, before a backward pass frees it; 0: not known. By it the memory of a run is
        /// estimated.
        shared fn unroll_length() -> u64 = Ok(0);
        /// The agent is complete, and this is what will be trained: called once, before the first step. A trainer that the
        /// agent does not fit refuses it here, where `efference check` finds it.
        exclusive fn begin(agent: &dyn Agent) -> () = Ok(());
    }
}

fn check_states(states: &Tensor, moment: Moment<'_>) -> Result<()> {
    let streams = moment.streams.len();
    ensure!(
        autograd::shape2(states).is_some_and(|[rows, _]| rows == streams as i64),
        "returned states of shape {:?} for {streams} active streams",
        states.size()
    );
    check_numbers(states, moment.observation)
}

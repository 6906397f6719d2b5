//! Trainers, and the agent that the host lets them train.
use crate::{
    Error, List, Loss, LossInput, Moment, NamedTensor, Object, Range, Recurrence, Slice, Spaces, Status, Str,
    Tensor, TracedLoss,
};
use core::ffi::c_void;

/// A network of the trainer's own: a stack of the experiment's layer.
#[repr(C)]
pub struct NetworkSpec {
    /// Size of this struct, in bytes.
    pub size: usize,
    /// Its name, which is also the name of its parameter group.
    pub name: Str,
    /// Features in.
    pub ins: i64,
    /// Features out.
    pub outs: i64,
    /// How many layers, at least 1.
    pub layers: i64,
    /// Name of the nonlinearity between layers, such as `softsign`.
    pub nonlinearity: Str,
    /// Whether its output is zero at the start.
    pub zero_at_start: bool,
    /// The group's learning rate; NaN: the optimizer's.
    pub learning_rate: f64,
}

/// Functions of an agent that is being made.
#[repr(C)]
pub struct AgentBuilderVTable {
    /// Size of the maker's table, in bytes.
    pub size: usize,
    /// Frees an object that was returned.
    pub destroy: unsafe extern "C" fn(this_: *mut c_void),
    /// Makes a network that the agent keeps under its name.
    pub network: unsafe extern "C" fn(
        this_: *mut c_void,
        spec: *const NetworkSpec,
        out: *mut c_void,
        err: *mut Error,
    ) -> Status,
    /// Keeps a slow copy of the cell, whose parameters follow after each update:
    /// `slow ← decay · slow + (1 − decay) · cell`.
    pub slow_cell:
        unsafe extern "C" fn(this_: *mut c_void, decay: f64, out: *mut c_void, err: *mut Error) -> Status,
}

/// What a trainer is made from.
#[repr(C)]
pub struct TrainerSetup {
    /// Size of this struct, in bytes.
    pub size: usize,
    /// Elements of a state.
    pub state_size: i64,
    /// How many elements at the front of the state the goal keeps for itself.
    pub reserved: i64,
    /// The device of the experiment: −1 for the CPU, else the number of the CUDA device.
    pub device: i32,
    /// What the environment observes and wants, if it is known.
    pub spaces: *const Spaces,
    /// The agent that is being made.
    pub agent: Object<AgentBuilderVTable>,
}

/// How the input that a trainer passes to the cell is laid out.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct InputLayout {
    /// Elements in all; 0: the trainer uses no cell, and none is made.
    pub width: i64,
    /// Where the observation stands; empty: nowhere, or mixed with the state.
    pub observation: Range,
    /// Where the action that was done stands; empty: nowhere.
    pub action: Range,
}

/// Functions of the agent, as a trainer sees it during a step. A parameter group is all parameters whose name is the
/// group's, or begins with it and a dot: the cell's, the goal's or a part of it, those of a network; empty: all.
#[repr(C)]
pub struct AgentVTable {
    /// Size of the maker's table, in bytes.
    pub size: usize,
    /// Frees an object that was returned.
    pub destroy: unsafe extern "C" fn(this_: *mut c_void),
    /// The next states of the input `x`, by way of goal, cell and layers.
    pub transition: unsafe extern "C" fn(
        this_: *mut c_void,
        x: *const Tensor,
        out: *mut *mut Tensor,
        err: *mut Error,
    ) -> Status,
    /// The same by the slow copy of the cell, without gradient.
    pub slow_transition: unsafe extern "C" fn(
        this_: *mut c_void,
        x: *const Tensor,
        out: *mut *mut Tensor,
        err: *mut Error,
    ) -> Status,
    /// The goal's loss; the host records it.
    pub loss: unsafe extern "C" fn(
        this_: *mut c_void,
        input: *const LossInput,
        out: *mut Loss,
        err: *mut Error,
    ) -> Status,
    /// The output of a network.
    pub network: unsafe extern "C" fn(
        this_: *mut c_void,
        name: Str,
        x: *const Tensor,
        out: *mut *mut Tensor,
        err: *mut Error,
    ) -> Status,
    /// Shared handles of a group's trained parameters.
    pub parameters: unsafe extern "C" fn(
        this_: *mut c_void,
        group: Str,
        out: *mut List<NamedTensor>,
        err: *mut Error,
    ) -> Status,
    /// Lets the optimizer use the gradients gathered in a group's parameters, and clears them.
    pub update:
        unsafe extern "C" fn(this_: *mut c_void, group: Str, out: *mut c_void, err: *mut Error) -> Status,
    /// As `update`, by these gradients in the order of `parameters` (null: none), with moments that are kept under
    /// `name`. What is gathered in the parameters stays.
    pub descend: unsafe extern "C" fn(
        this_: *mut c_void,
        name: Str,
        group: Str,
        gradients: Slice<*const Tensor>,
        out: *mut c_void,
        err: *mut Error,
    ) -> Status,
    /// Clears the gradients gathered in a group's parameters.
    pub clear_gradients:
        unsafe extern "C" fn(this_: *mut c_void, group: Str, out: *mut c_void, err: *mut Error) -> Status,
    /// A seed for random numbers of this step, from the experiment's seed, the step and `purpose`.
    pub seed:
        unsafe extern "C" fn(this_: *mut c_void, purpose: Str, out: *mut u64, err: *mut Error) -> Status,
    /// The number of the current step, from 0.
    pub step: unsafe extern "C" fn(this_: *mut c_void, out: *mut u64, err: *mut Error) -> Status,
    /// How many elements at the end of a state are the cell's own memory.
    pub memory: unsafe extern "C" fn(this_: *mut c_void, out: *mut i64, err: *mut Error) -> Status,
    /// As `descend`, by eligibility traces of the loss term `name`, so that an optimizer can choose the size of a step by
    /// them: with `n` parameters in the group, `traces` and `gradients` are `n` a row in turn, or one that stands for all
    /// as in `TracedTerm`, and `errors` one a row. `decay` is what is left of a trace a step later.
    #[allow(clippy::type_complexity)] // a list of what crosses, as in all others
    pub follow: Option<
        unsafe extern "C" fn(
            this_: *mut c_void,
            name: Str,
            group: Str,
            decay: f64,
            errors: Slice<f64>,
            traces: Slice<*const Tensor>,
            gradients: Slice<*const Tensor>,
            out: *mut c_void,
            err: *mut Error,
        ) -> Status,
    >,
    /// How the cell's state recurs, if it does so unit by unit, with the full names of parameters.
    pub recurrence:
        Option<unsafe extern "C" fn(this_: *mut c_void, out: *mut Recurrence, err: *mut Error) -> Status>,
    /// As `loss`, with the gradients of the terms that have an error, from a goal that has such a loss.
    pub traced_loss: Option<
        unsafe extern "C" fn(
            this_: *mut c_void,
            input: *const LossInput,
            out: *mut TracedLoss,
            err: *mut Error,
        ) -> Status,
    >,
    /// Which parameters the gradients of the term of this name are of, in their order, by their full names.
    pub traced_parameters: Option<
        unsafe extern "C" fn(this_: *mut c_void, term: Str, out: *mut List<Str>, err: *mut Error) -> Status,
    >,
    /// An error that says why, if `replayed_loss` is not to be asked for.
    pub may_replay:
        Option<unsafe extern "C" fn(this_: *mut c_void, out: *mut c_void, err: *mut Error) -> Status>,
    /// As `loss`, of a remembered moment: the host does not record it, and a stream may come more than once.
    pub replayed_loss: Option<
        unsafe extern "C" fn(
            this_: *mut c_void,
            input: *const LossInput,
            out: *mut Loss,
            err: *mut Error,
        ) -> Status,
    >,
}

/// What came from the environment for one step.
#[repr(C)]
pub struct Batch {
    /// Size of this struct, in bytes.
    pub size: usize,
    /// What the active streams observed.
    pub moment: *const Moment,
    /// Streams that began since the last step, active or not yet.
    pub started: Slice<u64>,
    /// Streams that ended since the last step, before those in `started` began.
    pub ended: Slice<u64>,
}

/// Functions of a trainer.
#[repr(C)]
pub struct TrainerVTable {
    /// Size of the maker's table, in bytes.
    pub size: usize,
    /// Frees the trainer.
    pub destroy: unsafe extern "C" fn(this_: *mut c_void),
    /// How what it passes to the agent's transition is laid out. Asked for once.
    pub input: unsafe extern "C" fn(this_: *mut c_void, out: *mut InputLayout, err: *mut Error) -> Status,
    /// One step; returns the new states of the active streams, (rows, state size).
    pub step: unsafe extern "C" fn(
        this_: *mut c_void,
        agent: Object<AgentVTable>,
        batch: *const Batch,
        out: *mut *mut Tensor,
        err: *mut Error,
    ) -> Status,
    /// What `restore` needs.
    pub save:
        unsafe extern "C" fn(this_: *mut c_void, out: *mut List<NamedTensor>, err: *mut Error) -> Status,
    /// Takes up what `save` returned. The tensors move to the receiver.
    pub restore: unsafe extern "C" fn(
        this_: *mut c_void,
        saved: List<NamedTensor>,
        out: *mut c_void,
        err: *mut Error,
    ) -> Status,
    /// Whether what `save` returns now loses nothing, as it does in the middle of an unroll.
    pub saves_exactly:
        Option<unsafe extern "C" fn(this_: *mut c_void, out: *mut bool, err: *mut Error) -> Status>,
    /// Steps whose graph is held at once, before a backward pass frees it; 0: not known.
    pub unroll_length:
        Option<unsafe extern "C" fn(this_: *mut c_void, out: *mut u64, err: *mut Error) -> Status>,
    /// The agent is complete, and this is what the trainer will train: called once, before the first step. What does not
    /// fit the trainer is refused here.
    pub begin: Option<
        unsafe extern "C" fn(
            this_: *mut c_void,
            agent: Object<AgentVTable>,
            out: *mut c_void,
            err: *mut Error,
        ) -> Status,
    >,
}

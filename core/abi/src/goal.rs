//! Goals: what is minimised and maximised.
use crate::{
    ActionGroup, Error, LayerFactoryVTable, List, NamedTensor, Object, ParamStoreVTable, Slice, Spaces,
    Status, StepType, Str, Tensor, TransitionVTable,
};
use core::ffi::c_void;

/// What a goal is made from.
#[repr(C)]
pub struct GoalSetup {
    /// Size of this struct, in bytes.
    pub size: usize,
    /// Elements of a state.
    pub state_size: i64,
    /// What the environment observes and wants, if it is known.
    pub spaces: *const Spaces,
    /// Makes layers of the experiment's kind.
    pub layers: Object<LayerFactoryVTable>,
    /// Where its parameters are kept.
    pub params: Object<ParamStoreVTable>,
}

/// What came from the environment at one moment, for the streams that observed something: a row each.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Moment {
    /// Size of this struct, in bytes.
    pub size: usize,
    /// The active streams, in the order of the rows; each at most once, at least one.
    pub streams: Slice<u64>,
    /// (rows, length): what they observed, the goal's reserved slots first; NaN: missing.
    pub observation: *const Tensor,
    /// What is to be maximised, one a row, with the goal's bonus; NaN: absent.
    pub reward: Slice<f32>,
    /// (rows, width), on the CPU: the action that was done in response to the stream's frame before; NaN: none was.
    pub action: *const Tensor,
    /// Where each row stands in an episode.
    pub step_types: Slice<StepType>,
}

/// What actions are asked for.
#[repr(C)]
pub struct ActionRequest {
    /// Size of this struct, in bytes.
    pub size: usize,
    /// Of the stream that wants the most; one that wants less ignores the rest.
    pub groups: Slice<ActionGroup>,
    /// A seed for random numbers, from the experiment's seed and the step.
    pub seed: u64,
    /// Whether the best actions are wanted, as in an evaluation, and no exploration.
    pub greedy: bool,
}

/// What a prediction is compared with.
#[repr(C)]
pub struct LossInput {
    /// Size of this struct, in bytes.
    pub size: usize,
    /// What came.
    pub moment: *const Moment,
    /// (rows, state size): the states before it; carries gradient. A state begins with the prediction of the
    /// observation.
    pub state: *const Tensor,
    /// The same with the observation written over its front, limited to ±1; without gradient. A loss compares the whole
    /// state with it: behind the observation it is the state itself, limited, and nothing else keeps the state there
    /// within ±1. A goal gets it with the elements that an environment only shows as they are in the state, and with those
    /// that are only to be predicted as they came, which the moment does not show: see [`Comparison`](crate::Comparison).
    pub target: *const Tensor,
    /// The states after it, with gradient, from a trainer that makes them first; null from others.
    pub next: *const Tensor,
    /// Counts unrolls: when it has changed, the graphs of what was computed before are freed.
    pub unroll: u64,
}

/// A term of a loss.
#[repr(C)]
pub struct LossTerm {
    /// Its name.
    pub name: Str,
    /// One number, or one a row. Handed over.
    pub value: *mut Tensor,
    /// One number a row, without gradient: then the term is −Σ(error · value). Null: it is Σ value. Or (2, rows): behind
    /// the errors, what becomes of each row's trace in this step: 1: it goes on, 0: it begins anew, −1: it rests. Handed
    /// over.
    pub error: *mut Tensor,
}

/// A loss: the sum of its terms, and numbers that are only recorded.
#[repr(C)]
pub struct Loss {
    /// The terms.
    pub terms: List<LossTerm>,
    /// Numbers that are recorded, one each.
    pub metrics: List<NamedTensor>,
}

/// A number that is recorded.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct NamedNumber {
    /// Its name.
    pub name: Str,
    /// Its value.
    pub number: f64,
}

/// A row of a loss term that traces follow.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct TracedRow {
    /// The term's value.
    pub value: f32,
    /// The error: what the row adds to the loss is −error · value.
    pub error: f32,
    /// What becomes of the row's trace in this step: 1: it goes on, 0: it begins anew, −1: it rests.
    pub step: i32,
}

/// A loss term that traces follow, with its gradients: nothing of it has a graph.
#[repr(C)]
pub struct TracedTerm {
    /// Its name.
    pub name: Str,
    /// One a row.
    pub rows: List<TracedRow>,
    /// For each row in turn, the gradient of its value by each of the parameters that `traced_parameters` names; null: none.
    /// One tensor a row, with one dim, may stand for those of several parameters: the elements of all, one parameter after
    /// another, each as it lies in memory. Handed over.
    pub gradients: List<*mut Tensor>,
}

/// A loss some of whose terms come with the gradients that traces follow.
#[repr(C)]
pub struct TracedLoss {
    /// Whether there is such a loss. If not, all else is empty, and `loss` is what there is.
    pub known: bool,
    /// Terms with their gradients.
    pub traced: List<TracedTerm>,
    /// All other terms, and numbers that are only recorded.
    pub others: Loss,
    /// Further numbers that are only recorded.
    pub numbers: List<NamedNumber>,
}

/// Functions of a goal.
#[repr(C)]
pub struct GoalVTable {
    /// Size of the maker's table, in bytes.
    pub size: usize,
    /// Frees the goal.
    pub destroy: unsafe extern "C" fn(this_: *mut c_void),
    /// The terms of the loss.
    pub loss: unsafe extern "C" fn(
        this_: *mut c_void,
        input: *const LossInput,
        out: *mut Loss,
        err: *mut Error,
    ) -> Status,
    /// How many elements at the front of the state the goal keeps for itself. The first of them, if any, is the
    /// reward's; observations follow. Asked for once.
    pub reserved: Option<unsafe extern "C" fn(this_: *mut c_void, out: *mut i64, err: *mut Error) -> Status>,
    /// Whether the front of the state predicts the observation. Asked for once.
    pub predicts: Option<unsafe extern "C" fn(this_: *mut c_void, out: *mut bool, err: *mut Error) -> Status>,
    /// The next state, (rows, state size), of the cell's input `x`, (rows, input size).
    pub transition: Option<
        unsafe extern "C" fn(
            this_: *mut c_void,
            cell: Object<TransitionVTable>,
            x: *const Tensor,
            out: *mut *mut Tensor,
            err: *mut Error,
        ) -> Status,
    >,
    /// Actions, (rows, width of the groups), from what came and the states after it, (rows, state size).
    pub act: Option<
        unsafe extern "C" fn(
            this_: *mut c_void,
            moment: *const Moment,
            state: *const Tensor,
            request: *const ActionRequest,
            out: *mut *mut Tensor,
            err: *mut Error,
        ) -> Status,
    >,
    /// What is added to the reward, (rows); null: nothing.
    pub bonus: Option<
        unsafe extern "C" fn(
            this_: *mut c_void,
            moment: *const Moment,
            out: *mut *mut Tensor,
            err: *mut Error,
        ) -> Status,
    >,
    /// What `restore` needs, parameters and buffers in the store excepted.
    pub save: Option<
        unsafe extern "C" fn(this_: *mut c_void, out: *mut List<NamedTensor>, err: *mut Error) -> Status,
    >,
    /// Takes up what `save` returned. The tensors move to the receiver.
    pub restore: Option<
        unsafe extern "C" fn(
            this_: *mut c_void,
            saved: List<NamedTensor>,
            out: *mut c_void,
            err: *mut Error,
        ) -> Status,
    >,
    /// These streams have ended, before those of the next `loss` and `act` were active.
    pub ended: Option<
        unsafe extern "C" fn(
            this_: *mut c_void,
            streams: Slice<u64>,
            out: *mut c_void,
            err: *mut Error,
        ) -> Status,
    >,
    /// Whether the error of the term of this name is a weight of its value, such as an advantage, and not how far the value
    /// is from its target.
    pub weighs: Option<
        unsafe extern "C" fn(this_: *mut c_void, term: Str, out: *mut bool, err: *mut Error) -> Status,
    >,
    /// Whether it is a bonus, to be chosen under `[bonus]` beside another goal: then only `loss`, `bonus`, `save`, `restore`
    /// and `ended` are called. Asked for once.
    pub is_bonus: Option<unsafe extern "C" fn(this_: *mut c_void, out: *mut bool, err: *mut Error) -> Status>,
    /// The same as `loss`, for a trainer that follows traces: the gradients of terms with an error come with it.
    pub traced_loss: Option<
        unsafe extern "C" fn(
            this_: *mut c_void,
            input: *const LossInput,
            out: *mut TracedLoss,
            err: *mut Error,
        ) -> Status,
    >,
    /// Which of the goal's parameters the gradients of the term of this name are of, in their order, by the names that they
    /// were added under.
    pub traced_parameters: Option<
        unsafe extern "C" fn(this_: *mut c_void, term: Str, out: *mut List<Str>, err: *mut Error) -> Status,
    >,
    /// Whether its `loss` depends on its input and the store alone, so that it may be asked for at a remembered moment as well, of
    /// streams that come more than once.
    pub replayable:
        Option<unsafe extern "C" fn(this_: *mut c_void, out: *mut bool, err: *mut Error) -> Status>,
}

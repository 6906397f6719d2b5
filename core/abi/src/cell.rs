//! Cells: input to next state.
use crate::{
    Error, LayerFactoryVTable, List, NamedTensor, Object, ParamStoreVTable, Range, Size, Slice, Status,
    Tensor, VjpVTable,
};
use core::ffi::c_void;

/// What a cell is made from.
#[repr(C)]
pub struct CellSetup {
    /// Size of this struct, in bytes.
    pub size: usize,
    /// Features in, which is what the trainer passes, and out, which is the size of a state.
    pub features: Size,
    /// Where in its input the observation stands; empty: nowhere, or mixed with the state.
    pub observation: Range,
    /// Where in its input the action that was done stands; empty: nowhere.
    pub action: Range,
    /// Makes layers of the experiment's kind.
    pub layers: Object<LayerFactoryVTable>,
    /// Where its parameters are kept.
    pub params: Object<ParamStoreVTable>,
}

/// Functions of a cell.
#[repr(C)]
pub struct CellVTable {
    /// Size of the maker's table, in bytes.
    pub size: usize,
    /// Frees the cell.
    pub destroy: unsafe extern "C" fn(this_: *mut c_void),
    /// Of `x` (batch, ins): the elements `outs` of the next state, (batch, outs.end − outs.start).
    pub forward: unsafe extern "C" fn(
        this_: *mut c_void,
        x: *const Tensor,
        outs: Range,
        out: *mut *mut Tensor,
        err: *mut Error,
    ) -> Status,
    /// Its custom VJP, a null object if it has none. Asked for once. The cell outlives it.
    pub vjp: Option<
        unsafe extern "C" fn(this_: *mut c_void, out: *mut Object<VjpVTable>, err: *mut Error) -> Status,
    >,
    /// How many elements at the end of a state are the cell's own memory: carried from step to step without gradient
    /// and without a limit of their range. Asked for once.
    pub memory: Option<unsafe extern "C" fn(this_: *mut c_void, out: *mut i64, err: *mut Error) -> Status>,
    /// How its state recurs, if it does so unit by unit. Asked for once.
    pub recurrence:
        Option<unsafe extern "C" fn(this_: *mut c_void, out: *mut Recurrence, err: *mut Error) -> Status>,
}

/// A recurrence whose units do not see each other: the next elements of a unit depend on the state before through that
/// unit's elements alone, and the rest of the state before is not looked at.
#[repr(C)]
pub struct Recurrence {
    /// Where in a state the units are: the first part of each unit, then the second part of each, and so on.
    pub elements: Range,
    /// Elements of a unit; 0: there is no such recurrence.
    pub parts: i64,
    /// Which unit each element of a parameter feeds, for parameters whose elements feed one unit each, or none: the
    /// parameter's name, and 64-bit integers whose shape broadcasts to the parameter's; -1: it feeds none.
    pub units: List<NamedTensor>,
}

// SAFETY: a table is constant data.
unsafe impl Sync for CellVTable {}

/// One way for the gradient through an evaluation whose value all paths share.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct GradPath {
    /// The outputs wanted.
    pub outs: Range,
    /// The input is cut into chunks of this many elements; 0: one chunk.
    pub chunk: i64,
    /// Which chunks let gradient through: every chunk whose number is `i` modulo `period` if bit `i` is set.
    pub open_chunks: u64,
    /// See `open_chunks`; at least 1, at most 64.
    pub period: u32,
    /// Whether the parameters get no gradient.
    pub frozen: bool,
}

/// Functions of the experiment's cell, as a goal sees it.
#[repr(C)]
pub struct TransitionVTable {
    /// Size of the maker's table, in bytes.
    pub size: usize,
    /// Frees an object that was returned.
    pub destroy: unsafe extern "C" fn(this_: *mut c_void),
    /// Evaluates the cell on `x` (batch, ins) once for all paths; returns one tensor a path,
    /// (batch, outs.end − outs.start).
    pub evaluate: unsafe extern "C" fn(
        this_: *mut c_void,
        x: *const Tensor,
        paths: Slice<GradPath>,
        out: *mut List<*mut Tensor>,
        err: *mut Error,
    ) -> Status,
    /// The size of the state.
    pub outs: unsafe extern "C" fn(this_: *mut c_void, out: *mut i64, err: *mut Error) -> Status,
}

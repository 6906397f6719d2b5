//! Layers and cells.
use crate::{Buf, LayerFactory, Params, Status, Str, Tensor, TensorSink};
use core::ffi::c_void;

/// A linear map, made. Owned by its receiver.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct LayerObject {
    /// The object.
    pub this_: *mut c_void,
    /// Its functions.
    pub vtable: *const LayerVTable,
}

/// Functions of a layer plugin.
#[repr(C)]
pub struct LayerVTable {
    /// Size of the maker's table, in bytes.
    pub size: usize,
    /// Makes a layer `ins → outs`; `options` is a JSON object.
    pub create: unsafe extern "C" fn(
        options: Str,
        ins: i64,
        outs: i64,
        params: *const Params,
        out: *mut *mut c_void,
        err: *mut Buf,
    ) -> Status,
    /// Of `x` (batch, ins): the outputs `start .. end`, (batch, end − start).
    pub forward: unsafe extern "C" fn(
        this_: *mut c_void,
        x: *const Tensor,
        start: i64,
        end: i64,
        out: *mut *mut Tensor,
        err: *mut Buf,
    ) -> Status,
    /// Frees the layer.
    pub destroy: unsafe extern "C" fn(this_: *mut c_void),
    /// Passes of the layer's own, which spare libtorch's autograd; null: there are none.
    pub passes: *const PassesVTable,
    /// Multiplications of a forward pass over one row of `x`, all outputs, for estimates of a step's work; 0:
    /// unknown. Null: unknown of every layer.
    pub multiplications: Option<unsafe extern "C" fn(this_: *mut c_void) -> u64>,
}

// SAFETY: a table is constant data.
unsafe impl Sync for LayerVTable {}

/// A cell, made. Owned by its receiver.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct CellObject {
    /// The object.
    pub this_: *mut c_void,
    /// Its functions.
    pub vtable: *const CellVTable,
}

/// Functions of a cell plugin.
#[repr(C)]
pub struct CellVTable {
    /// Size of the maker's table, in bytes.
    pub size: usize,
    /// Makes a cell `ins → outs` of layers from `layers`; `options` is a JSON object.
    pub create: unsafe extern "C" fn(
        options: Str,
        ins: i64,
        outs: i64,
        layers: *const LayerFactory,
        params: *const Params,
        out: *mut *mut c_void,
        err: *mut Buf,
    ) -> Status,
    /// Of `x` (batch, ins): the numbers `start .. end` of the next state, (batch, end − start).
    pub forward: unsafe extern "C" fn(
        this_: *mut c_void,
        x: *const Tensor,
        start: i64,
        end: i64,
        out: *mut *mut Tensor,
        err: *mut Buf,
    ) -> Status,
    /// Frees the cell.
    pub destroy: unsafe extern "C" fn(this_: *mut c_void),
    /// Passes of the cell's own, which spare libtorch's autograd; null: there are none.
    pub passes: *const PassesVTable,
}

// SAFETY: a table is constant data.
unsafe impl Sync for CellVTable {}

/// The gradients that a backward pass starts from. Lent for the call.
///
/// They come in `lane_count` lanes: several gradients of the same outputs, which are kept apart. Row `r` of
/// `gradient` belongs to row `r % batch` of the forward pass, and to lane `r / batch`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Incoming {
    /// (lane_count · batch, outs)
    pub gradient: *const Tensor,
    /// For each lane whether it reaches the parameters.
    pub to_parameters: *const bool,
    /// How many lanes there are; at least 1.
    pub lane_count: usize,
    /// How many lanes, from the first on, reach the input.
    pub to_input: usize,
}

/// A forward and a backward pass of a layer's or a cell's own. libtorch's gradients are off during both.
#[repr(C)]
pub struct PassesVTable {
    /// Size of the maker's table, in bytes.
    pub size: usize,
    /// Whether this object has them.
    pub available: unsafe extern "C" fn(this_: *mut c_void) -> bool,
    /// Of `x` (batch, ins): all outputs, (batch, outs). Puts the tensors that `backward` needs, names left empty.
    pub forward: unsafe extern "C" fn(
        this_: *mut c_void,
        x: *const Tensor,
        out: *mut *mut Tensor,
        kept: *const TensorSink,
        err: *mut Buf,
    ) -> Status,
    /// Of what `forward` put, in its order: the gradient of the input, (to_input · batch, ins), null if `to_input`
    /// is 0; and puts the gradient of each trained parameter, summed over the lanes that reach it, in the order in
    /// which they were made: null for one without.
    pub backward: unsafe extern "C" fn(
        this_: *mut c_void,
        kept: *const *const Tensor,
        kept_count: usize,
        incoming: *const Incoming,
        input: *mut *mut Tensor,
        parameters: *const TensorSink,
        err: *mut Buf,
    ) -> Status,
}

/// One way for the gradient to run through an evaluation whose value all lanes share.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Lane {
    /// First output wanted.
    pub start: i64,
    /// One past the last output wanted.
    pub end: i64,
    /// The input is cut into chunks of this many numbers; 0: one chunk.
    pub chunk: i64,
    /// Which chunks carry gradient: bit `i` of it for every chunk whose number is `i` modulo `period`.
    pub carries: u64,
    /// See `carries`; at least 1, at most 64.
    pub period: u32,
    /// Whether the parameters get no gradient.
    pub frozen: bool,
}

/// The experiment's cell, as a goal sees it. Lent for the call.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Transition {
    /// Passed back to each function.
    pub ctx: *mut c_void,
    /// The functions.
    pub vtable: *const TransitionVTable,
}

/// Functions of a [`Transition`].
#[repr(C)]
pub struct TransitionVTable {
    /// Size of the maker's table, in bytes.
    pub size: usize,
    /// Evaluates the cell on `x` (batch, ins) once for all lanes; writes one given tensor a lane,
    /// (batch, end − start).
    pub evaluate: unsafe extern "C" fn(
        ctx: *mut c_void,
        x: *const Tensor,
        lanes: *const Lane,
        lane_count: usize,
        out: *mut *mut Tensor,
        err: *mut Buf,
    ) -> Status,
    /// The size of the state.
    pub outs: unsafe extern "C" fn(ctx: *mut c_void) -> i64,
}

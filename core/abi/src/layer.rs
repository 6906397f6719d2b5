//! Layers: linear maps.
use crate::{Error, List, NamedTensor, Object, ParamStoreVTable, Range, Slice, Status, Str, Tensor};
use core::ffi::c_void;

/// How many features go in and come out.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Size {
    /// Features in, at least 1.
    pub ins: i64,
    /// Features out, at least 1.
    pub outs: i64,
}

/// What a layer is made from.
#[repr(C)]
pub struct LayerSetup {
    /// Size of this struct, in bytes.
    pub size: usize,
    /// Features in and out.
    pub features: Size,
    /// Where its parameters are kept.
    pub params: Object<ParamStoreVTable>,
}

/// Which dims of a weight run over a layer's inputs: the others run over outputs.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct WeightLayout {
    /// The parameter's name, as the layer added it.
    pub name: Str,
    /// The dims.
    pub input_dims: Slice<i64>,
}

/// One connection of a stage.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Edge {
    /// The node that it comes from, counted from 0.
    pub from: i64,
    /// The node that it goes to.
    pub to: i64,
    /// Which weight of the stage it is multiplied with: edges of the same number share one. -1: none, the value is passed
    /// on as it is.
    pub weight: i64,
}

/// How the nodes of one column are connected to those of the next.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Stage {
    /// Nodes before and after.
    pub nodes: Size,
    /// The connections.
    pub edges: Slice<Edge>,
}

/// Functions of a layer.
#[repr(C)]
pub struct LayerVTable {
    /// Size of the maker's table, in bytes.
    pub size: usize,
    /// Frees the layer.
    pub destroy: unsafe extern "C" fn(this_: *mut c_void),
    /// Of `x` (batch, ins): the outputs `outs`, (batch, outs.end − outs.start).
    pub forward: unsafe extern "C" fn(
        this_: *mut c_void,
        x: *const Tensor,
        outs: Range,
        out: *mut *mut Tensor,
        err: *mut Error,
    ) -> Status,
    /// Its custom VJP, a null object if it has none. Asked for once. The layer outlives it.
    pub vjp: Option<
        unsafe extern "C" fn(this_: *mut c_void, out: *mut Object<VjpVTable>, err: *mut Error) -> Status,
    >,
    /// Multiply-accumulates of a forward pass over one row of `x`, all outputs; 0: unknown.
    pub multiply_accumulates:
        Option<unsafe extern "C" fn(this_: *mut c_void, out: *mut u64, err: *mut Error) -> Status>,
    /// Which dims of its weights run over inputs, for initialisers.
    pub weights: Option<
        unsafe extern "C" fn(this_: *mut c_void, out: *mut List<WeightLayout>, err: *mut Error) -> Status,
    >,
    /// Called after each update of the layer's parameters, in the given step: a layer may rewire itself.
    pub updated: Option<
        unsafe extern "C" fn(this_: *mut c_void, step: u64, out: *mut c_void, err: *mut Error) -> Status,
    >,
    /// How inputs reach outputs, for drawings: stages, the first of which begins with the layer's inputs, the last of
    /// which ends with its outputs, and each of which begins with as many nodes as the one before ends with. An empty
    /// list: the layer does not tell.
    pub connections:
        Option<unsafe extern "C" fn(this_: *mut c_void, out: *mut List<Stage>, err: *mut Error) -> Status>,
    /// Which output each element of a parameter feeds, for parameters whose elements feed one output each: the parameter's
    /// name, as the layer added it, and 64-bit integers whose shape broadcasts to the parameter's; -1: it feeds none.
    pub units: Option<
        unsafe extern "C" fn(this_: *mut c_void, out: *mut List<NamedTensor>, err: *mut Error) -> Status,
    >,
    /// If it is a matrix and nothing else, `y = x · weightᵀ + bias`: shared handles of its weight, (outs, ins), and of its
    /// bias, (outs), if it has one; else none.
    pub matrix: Option<
        unsafe extern "C" fn(this_: *mut c_void, out: *mut List<*mut Tensor>, err: *mut Error) -> Status,
    >,
}

// SAFETY: a table is constant data.
unsafe impl Sync for LayerVTable {}

/// The gradients that a backward pass starts from.
///
/// They come along `path_count` gradient paths: several gradients of the same outputs, which are kept apart. Row `r`
/// of `grad` belongs to row `r % batch` of the forward pass, and to path `r / batch`.
#[repr(C)]
pub struct GradOutput {
    /// Size of this struct, in bytes.
    pub size: usize,
    /// (path_count · batch, outs)
    pub grad: *const Tensor,
    /// For each path whether it reaches the parameters; at least one path.
    pub needs_param_grad: Slice<bool>,
    /// How many paths, from the first on, reach the input.
    pub input_paths: usize,
}

/// What a forward pass returns.
#[repr(C)]
pub struct VjpForward {
    /// All outputs, (batch, outs).
    pub output: *mut Tensor,
    /// What `backward` needs beside the parameters.
    pub saved: List<*mut Tensor>,
}

/// What a backward pass returns.
#[repr(C)]
pub struct GradInput {
    /// The gradient of the input, (input_paths · batch, ins); null if no path reaches it.
    pub input: *mut Tensor,
    /// That of each trained parameter, summed over the paths that reach it, in the order in which they were made;
    /// null for one without.
    pub params: List<*mut Tensor>,
}

/// A forward and a backward pass of a layer's or a cell's own. Grad mode is off during both.
#[repr(C)]
pub struct VjpVTable {
    /// Size of the maker's table, in bytes.
    pub size: usize,
    /// Frees the object.
    pub destroy: unsafe extern "C" fn(this_: *mut c_void),
    /// Of `x` (batch, ins): all outputs, and what `backward` needs.
    pub forward: unsafe extern "C" fn(
        this_: *mut c_void,
        x: *const Tensor,
        out: *mut VjpForward,
        err: *mut Error,
    ) -> Status,
    /// The gradients, given what `forward` saved, in its order, and those of the outputs.
    pub backward: unsafe extern "C" fn(
        this_: *mut c_void,
        saved: Slice<*const Tensor>,
        grad: *const GradOutput,
        out: *mut GradInput,
        err: *mut Error,
    ) -> Status,
}

//! What a plugin gets while it is made: a store for its parameters, and layers to build with.
use crate::{Error, LayerVTable, List, NamedTensor, Object, Size, Status, Str, Tensor};
use core::ffi::c_void;

/// Functions of a parameter store. Names are joined by dots, such as `z.layer.0.weight.1`.
#[repr(C)]
pub struct ParamStoreVTable {
    /// Size of the maker's table, in bytes.
    pub size: usize,
    /// Frees an object that was returned.
    pub destroy: unsafe extern "C" fn(this_: *mut c_void),
    /// Takes the first value of a parameter (`trainable`, 32-bit floats) or of a buffer (any dtype), moves it to the
    /// experiment's device and returns a handle that shares its storage and gradient. `init` is on the CPU.
    pub add: unsafe extern "C" fn(
        this_: *mut c_void,
        name: Str,
        init: *mut Tensor,
        trainable: bool,
        out: *mut *mut Tensor,
        err: *mut Error,
    ) -> Status,
    /// A seed for random numbers, from the experiment's seed, the store's place and `name`.
    pub seed: unsafe extern "C" fn(this_: *mut c_void, name: Str, out: *mut u64, err: *mut Error) -> Status,
    /// Shared handles of the tensors whose names begin with `prefix`, in the order of their making.
    pub list: unsafe extern "C" fn(
        this_: *mut c_void,
        prefix: Str,
        out: *mut List<NamedTensor>,
        err: *mut Error,
    ) -> Status,
    /// The device of the experiment: −1 for the CPU, else the number of the CUDA device.
    pub device: unsafe extern "C" fn(this_: *mut c_void, out: *mut i32, err: *mut Error) -> Status,
    /// Whether what is made is only counted, and never computes a step: then a first value may be a stand-in, a tensor
    /// of the same shape whose elements all lie at one place in memory.
    pub only_counts:
        Option<unsafe extern "C" fn(this_: *mut c_void, out: *mut bool, err: *mut Error) -> Status>,
}

/// Functions of what makes layers of the experiment's own kind.
#[repr(C)]
pub struct LayerFactoryVTable {
    /// Size of the maker's table, in bytes.
    pub size: usize,
    /// Frees an object that was returned.
    pub destroy: unsafe extern "C" fn(this_: *mut c_void),
    /// Makes a layer `ins → outs` with its parameters in `params`.
    pub make: unsafe extern "C" fn(
        this_: *mut c_void,
        size: Size,
        params: Object<ParamStoreVTable>,
        out: *mut Object<LayerVTable>,
        err: *mut Error,
    ) -> Status,
}

//! The C boundary between the efference host and its plugins: `repr(C)` types and nothing else.
//!
//! Plugin authors in Rust use `efference-sdk`, which hides all of this. Authors in C or C++ include
//! `include/efference.h`, which is made from this crate. One file here declares one plugin kind.
//!
//! # Rules
//!
//! * **One call shape.** Every function is `(this, arguments…, out, err) -> Status`. If it returns [`OK`], it has
//!   written its result to `*out`. Otherwise it has filled `*err` and written no result. A function without a result
//!   takes `out` as a `void *` that it ignores.
//! * **One object shape.** An [`Object`] is an opaque pointer and a table of functions. An object that a function
//!   returns is owned by the caller, who calls `destroy` once. An object that is passed as an argument, or inside of
//!   one, is borrowed for the call: its `destroy` is not called.
//! * **Errors.** An [`Error`] is a list of frames, from the outermost to the innermost: which plugin, if the frame names one,
//!   and a sentence for a person. Who receives it frees it as any list. An error in an option names the option's path.
//! * **Tensors** are pointers to libtorch's `at::Tensor`. `*const Tensor` is borrowed for the call; `*mut Tensor` moves
//!   to the receiver, who frees it. To keep a borrowed one, copy the `at::Tensor`, which shares its elements. What is borrowed is
//!   not changed in place.
//! * **Grad mode** is on while a trainer steps, and so in a goal's loss and transition, in cells and in layers: autograd
//!   sees through what they compute. It is off in both functions of a VJP, in `updated` and in `act`.
//! * **Lists** ([`List`]) are returned: the receiver takes over each element, then calls `free` once. **Slices**
//!   ([`Slice`]) and **texts** ([`Str`], UTF-8 without a terminating zero) are borrowed for the call.
//! * **Sizes.** Each table and each struct that is passed by pointer begins with its `size` in bytes, as its maker
//!   knows it. A receiver refuses one that lacks fields which it needs, and ignores fields that it does not know.
//!   Functions that are appended to a table within one [`ABI_VERSION`] are optional: null, or beyond `size`, means
//!   that the object does not have them.
//! * **Nothing unwinds** across the boundary. A panic or exception is caught by the side where it happens; one that is not
//!   ends the process.
//! * **Threads**: each object is called from one thread at a time, not always the same one. What is borrowed for a call
//!   belongs to that call's thread. The host's functions in [`HostApi`] may be called from any.
//! * **State of the process** (grad mode, default dtype, device and stream, number of threads, locale, working
//!   directory, signal handlers) is left as it was found.
//! * Libraries are never unloaded.
#![no_std]
#![allow(unsafe_code)] // constant tables with pointers in them are shared between threads

mod cell;
mod environment;
mod error;
mod goal;
mod host;
mod layer;
mod library;
mod params;
mod trainer;

pub use cell::*;
pub use environment::*;
pub use error::*;
pub use goal::*;
pub use host::*;
pub use layer::*;
pub use library::*;
pub use params::*;
pub use trainer::*;

use core::ffi::c_void;

/// An `at::Tensor` of libtorch. Never read through this type.
#[repr(C)]
pub struct Tensor {
    _opaque: [u8; 0],
}

/// An object: whoever made it knows what `this_` points to.
#[repr(C)]
pub struct Object<T> {
    /// Passed as the first argument to each function; null: no object.
    pub this_: *mut c_void,
    /// The functions.
    pub vtable: *const T,
}

impl<T> Clone for Object<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Object<T> {}

impl<T> Object<T> {
    /// No object.
    pub const NULL: Self = Object { this_: core::ptr::null_mut(), vtable: core::ptr::null() };
}

/// A borrowed piece of UTF-8 text, without a terminating zero.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Str {
    /// First byte; may be anything if `len` is 0.
    pub ptr: *const u8,
    /// Length in bytes.
    pub len: usize,
}

// SAFETY: a `Str` is two plain words; its reader is responsible for the lifetime of what it points to.
unsafe impl Sync for Str {}
// SAFETY: as above.
unsafe impl Send for Str {}

impl Str {
    /// Borrows `text`.
    pub const fn new(text: &str) -> Self {
        Str { ptr: text.as_ptr(), len: text.len() }
    }
}

/// Borrowed elements.
#[repr(C)]
pub struct Slice<T> {
    /// First element; may be anything if `len` is 0.
    pub ptr: *const T,
    /// How many.
    pub len: usize,
}

impl<T> Clone for Slice<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Slice<T> {}

impl<T> Slice<T> {
    /// Borrows `elements`.
    pub const fn new(elements: &[T]) -> Self {
        Slice { ptr: elements.as_ptr(), len: elements.len() }
    }
}

// SAFETY: as for `Str`.
unsafe impl<T: Sync> Sync for Slice<T> {}

/// Elements that the receiver takes over. What they point to without owning it (names) lives until `free`.
#[repr(C)]
pub struct List<T> {
    /// First element; may be anything if `len` is 0.
    pub ptr: *mut T,
    /// How many.
    pub len: usize,
    /// What `free` is called with.
    pub owner: *mut c_void,
    /// Frees the list, but no tensor in it; null if there is nothing to free.
    pub free: Option<unsafe extern "C" fn(owner: *mut c_void)>,
}

impl<T> List<T> {
    /// A list without elements.
    pub const EMPTY: Self =
        List { ptr: core::ptr::null_mut(), len: 0, owner: core::ptr::null_mut(), free: None };
}

/// The integers from `start` up to, but not including, `end`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Range {
    /// The first.
    pub start: i64,
    /// One past the last.
    pub end: i64,
}

/// A tensor and its name. In a [`Slice`] the tensor is borrowed, in a [`List`] it moves to the receiver.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct NamedTensor {
    /// The name.
    pub name: Str,
    /// The tensor.
    pub tensor: *mut Tensor,
}

/// How a call ended.
pub type Status = i32;
/// The call succeeded.
pub const OK: Status = 0;
/// The call failed; `*err` says why.
pub const ERROR: Status = 1;
/// As [`ERROR`], and the callee panicked: its object may only be destroyed from now on.
pub const PANIC: Status = 2;

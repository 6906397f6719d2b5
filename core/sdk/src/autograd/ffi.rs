//! The C++ part, made safe. `unsafe` is allowed in this file, which keeps these rules (those of shim.cpp):
//!
//! * A tensor pointer that goes out is lent for the call; one that comes in as a result is owned, and becomes one
//!   [`Tensor`]. A tensor that is lent to Rust is looked at through [`ManuallyDrop`].
//! * No panic enters C++: each function that it calls catches it. No exception enters Rust.
//! * Whoever makes a message frees it.
#![allow(unsafe_code)]
use super::op::{Gradients, Op};
use crate::error::panic_text;
use crate::{Error, Result, ensure};
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::{ptr, slice};
use tch::Tensor;
use torch_sys::C_tensor;

/// What C++ calls to add a gradient to another: `AddElements` in backward.cpp.
#[repr(C)]
struct AddElements {
    call: unsafe extern "C" fn(argument: *const c_void, to: *mut f32, from: *const f32, n: usize),
    argument: *const c_void,
}

/// What C++ calls of an operation: `OpTable` in shim.cpp.
#[repr(C)]
struct Table {
    name: *const u8,
    name_length: usize,
    backward: unsafe extern "C" fn(
        op: *const c_void,
        saved: *const *mut C_tensor,
        n_saved: usize,
        grads: *const *mut C_tensor,
        n_grads: usize,
        needs_input_grad: *const bool,
        out: *mut *mut C_tensor,
        n_inputs: usize,
        message: *mut *mut c_char,
    ) -> c_int,
    release: unsafe extern "C" fn(op: *mut c_void),
    release_message: unsafe extern "C" fn(message: *mut c_char),
}

// SAFETY: a table is read alone; its name is a constant.
unsafe impl Sync for Table {}

unsafe extern "C" {
    fn efference_autograd_grad_enabled() -> bool;
    fn efference_autograd_record(
        op: *mut c_void,
        table: *const Table,
        inputs: *const *const C_tensor,
        n_inputs: usize,
        unchanged_from: usize,
        saved: *const *const C_tensor,
        n_saved: usize,
        outputs: *mut *mut C_tensor,
        n_outputs: usize,
        message: *mut *mut c_char,
    ) -> c_int;
    fn efference_autograd_require_gradients(tensors: *const *const C_tensor, n: usize, require: *mut bool);
    fn efference_autograd_gradients(
        outputs: *const *const C_tensor,
        grads: *const *const C_tensor,
        n_outputs: usize,
        inputs: *const *const C_tensor,
        n_inputs: usize,
        out: *mut *mut C_tensor,
        message: *mut *mut c_char,
    ) -> c_int;
    fn efference_autograd_clear_gradient(leaf: *mut C_tensor);
    fn efference_autograd_take_gradients(
        leaves: *const *const C_tensor,
        n_leaves: usize,
        out: *mut *mut C_tensor,
    );
    fn efference_autograd_hold_leaf(leaf: *const C_tensor) -> *mut c_void;
    fn efference_autograd_release_leaf(leaf: *mut c_void);
    fn efference_autograd_bump_version(tensor: *const C_tensor);
    fn efference_autograd_unique(tensor: *const C_tensor) -> bool;
    fn efference_autograd_contiguous_f32(
        tensor: *const C_tensor,
        data: *mut *mut f32,
        count: *mut usize,
    ) -> bool;
    fn efference_autograd_non_overlapping_and_dense(tensor: *const C_tensor) -> bool;
    fn efference_autograd_dense_f32(tensor: *const C_tensor, data: *mut *mut f32, count: *mut usize) -> bool;
    fn efference_autograd_is_contiguous_f32(tensor: *const C_tensor) -> bool;
    fn efference_autograd_shape(tensor: *const C_tensor, sizes: *mut i64, room: usize) -> usize;
    fn efference_autograd_count(tensor: *const C_tensor) -> usize;
    fn efference_autograd_keep_blocks();
    fn efference_autograd_empty_like(tensor: *const C_tensor) -> *mut C_tensor;
    fn efference_autograd_empty_shaped(tensor: *const C_tensor, data: *mut *mut f32) -> *mut C_tensor;
    fn efference_autograd_detach(tensor: *const C_tensor) -> *mut C_tensor;
    fn efference_autograd_narrow(
        tensor: *const C_tensor,
        dim: usize,
        start: i64,
        length: i64,
    ) -> *mut C_tensor;
    fn efference_autograd_same_shape(a: *const C_tensor, b: *const C_tensor) -> bool;
    fn efference_autograd_same_strides(a: *const C_tensor, b: *const C_tensor) -> bool;
    fn efference_autograd_empty(sizes: *const i64, n_sizes: usize, data: *mut *mut f32) -> *mut C_tensor;
    fn efference_autograd_backward(
        outputs: *const *const C_tensor,
        grads: *const *const C_tensor,
        n_outputs: usize,
        add_elements: AddElements,
        message: *mut *mut c_char,
    ) -> c_int;
    fn efference_autograd_free(message: *mut c_char);
}

/// Whether libtorch records operations on this thread.
pub fn grad_enabled() -> bool {
    // SAFETY: reads a thread-local flag.
    unsafe { efference_autograd_grad_enabled() }
}

/// Which tensors require gradients; an undefined one does not.
pub(super) fn require_gradients(tensors: &[&Tensor]) -> Vec<bool> {
    let pointers: Vec<_> = tensors.iter().map(|t| t.as_ptr()).collect();
    let mut require = vec![false; tensors.len()];
    // SAFETY: all tensors live through the call, which writes a flag for each.
    unsafe {
        efference_autograd_require_gradients(pointers.as_ptr(), pointers.len(), require.as_mut_ptr());
    }
    require
}

/// Makes `outputs` results of a node that depends on `inputs`; those from `unchanged_from` on must not change until its backward
/// pass.
pub(crate) fn record<O: Op>(
    op: O,
    inputs: &[&Tensor],
    unchanged_from: usize,
    saved: &[Tensor],
    outputs: Vec<Tensor>,
) -> Result<Vec<Tensor>> {
    let inputs: Vec<_> = inputs.iter().map(|t| t.as_ptr()).collect();
    let saved: Vec<_> = saved.iter().map(Tensor::as_ptr).collect();
    let mut handles: Vec<_> = outputs.iter().map(|t| t.as_ptr().cast_mut()).collect();
    let mut message = ptr::null_mut();
    let op = Box::into_raw(Box::new(op)).cast();
    // SAFETY: all tensors live through the call, the lengths are theirs; `op` is given away, and is what `TABLE`
    // of the same type expects.
    let status = unsafe {
        efference_autograd_record(
            op,
            ptr::from_ref(Methods::<O>::TABLE),
            inputs.as_ptr(),
            inputs.len(),
            unchanged_from,
            saved.as_ptr(),
            saved.len(),
            handles.as_mut_ptr(),
            handles.len(),
            &raw mut message,
        )
    };
    if status != 0 {
        return Err(Error::msg(take_message(message)));
    }
    // SAFETY: on success, each handle is a new one and ours.
    Ok(handles.into_iter().map(|handle| unsafe { Tensor::from_ptr(handle) }).collect())
}

/// See [`super::gradients`].
pub(super) fn gradients(roots: &[(&Tensor, &Tensor)], inputs: &[&Tensor]) -> Result<Vec<Option<Tensor>>> {
    let outputs: Vec<_> = roots.iter().map(|(t, _)| t.as_ptr()).collect();
    let grads: Vec<_> = roots.iter().map(|(_, g)| g.as_ptr()).collect();
    let inputs: Vec<_> = inputs.iter().map(|t| t.as_ptr()).collect();
    let mut out = vec![ptr::null_mut(); inputs.len()];
    let mut message = ptr::null_mut();
    // SAFETY: all tensors live through the call, the lengths are theirs; `out` has room for one an input.
    let status = unsafe {
        efference_autograd_gradients(
            outputs.as_ptr(),
            grads.as_ptr(),
            outputs.len(),
            inputs.as_ptr(),
            inputs.len(),
            out.as_mut_ptr(),
            &raw mut message,
        )
    };
    if status != 0 {
        return Err(Error::msg(crate::error::without_cpp_trace(&take_message(message))));
    }
    // SAFETY: on success, each handle that is not null is a new one and ours.
    Ok(out.into_iter().map(|t| (!t.is_null()).then(|| unsafe { Tensor::from_ptr(t) })).collect())
}

/// See [`super::backward`]. `add` adds elements to as many others.
pub(super) fn backward(roots: &[(&Tensor, &Tensor)], add: fn(&[f32], &mut [f32])) -> Result<()> {
    let outputs: Vec<_> = roots.iter().map(|(t, _)| t.as_ptr()).collect();
    let grads: Vec<_> = roots.iter().map(|(_, g)| g.as_ptr()).collect();
    let mut message = ptr::null_mut();
    // SAFETY: all tensors and `add` live through the call, the lengths are those of the tensors.
    let status = unsafe {
        efference_autograd_backward(
            outputs.as_ptr(),
            grads.as_ptr(),
            outputs.len(),
            AddElements { call: add_elements, argument: (&raw const add).cast() },
            &raw mut message,
        )
    };
    if status != 0 {
        return Err(Error::msg(crate::error::without_cpp_trace(&take_message(message))));
    }
    Ok(())
}

/// A panic of what adds would end the process here.
unsafe extern "C" fn add_elements(argument: *const c_void, to: *mut f32, from: *const f32, n: usize) {
    // SAFETY: `backward` passes a pointer to such a function, and a backward pass lends it the elements of two tensors, of which
    // nobody else holds the first.
    unsafe {
        let add = *argument.cast::<fn(&[f32], &mut [f32])>();
        add(slice::from_raw_parts(from, n), slice::from_raw_parts_mut(to, n));
    }
}

/// Pointer to the elements of a contiguous f32 tensor on the CPU, and their number; `None` for any other tensor.
pub(super) fn contiguous_f32(tensor: &Tensor) -> Option<(*mut f32, usize)> {
    let (mut data, mut count) = (ptr::null_mut(), 0);
    // SAFETY: the tensor lives through the call, which writes to the two places.
    let contiguous =
        unsafe { efference_autograd_contiguous_f32(tensor.as_ptr(), &raw mut data, &raw mut count) };
    contiguous.then_some((data, count))
}

/// See [`super::is_non_overlapping_and_dense`].
pub(super) fn is_non_overlapping_and_dense(tensor: &Tensor) -> bool {
    // SAFETY: the tensor lives through the call, which reads strides.
    unsafe { efference_autograd_non_overlapping_and_dense(tensor.as_ptr()) }
}

/// Pointer to the elements of a non-overlapping and dense f32 tensor on the CPU, and their number; `None` for any other.
pub(super) fn dense_f32(tensor: &Tensor) -> Option<(*mut f32, usize)> {
    let (mut data, mut count) = (ptr::null_mut(), 0);
    // SAFETY: the tensor lives through the call, which writes to the two places.
    let dense = unsafe { efference_autograd_dense_f32(tensor.as_ptr(), &raw mut data, &raw mut count) };
    dense.then_some((data, count))
}

/// Whether [`contiguous_f32`] returns something.
pub(super) fn is_contiguous_f32(tensor: &Tensor) -> bool {
    // SAFETY: the tensor lives through the call, which reads what is known of it.
    unsafe { efference_autograd_is_contiguous_f32(tensor.as_ptr()) }
}

/// The first `N` sizes of a tensor, and how many dims it has.
pub(super) fn shape<const N: usize>(tensor: &Tensor) -> ([i64; N], usize) {
    let mut sizes = [0; N];
    // SAFETY: the tensor lives through the call, which writes `N` numbers at most.
    let dims = unsafe { efference_autograd_shape(tensor.as_ptr(), sizes.as_mut_ptr(), N) };
    (sizes, dims)
}

/// See [`super::count`].
pub(super) fn count(tensor: &Tensor) -> usize {
    // SAFETY: the tensor lives through the call, which reads a number.
    unsafe { efference_autograd_count(tensor.as_ptr()) }
}

/// See [`super::keep_small_blocks`].
pub(super) fn keep_blocks() {
    // SAFETY: memory that comes from the allocator before says itself where it goes back to.
    unsafe { efference_autograd_keep_blocks() }
}

/// A new f32 tensor on the CPU with the shape and the strides of another one.
pub(super) fn empty_like(tensor: &Tensor) -> Result<Tensor> {
    // SAFETY: the tensor lives through the call.
    let new = unsafe { efference_autograd_empty_like(tensor.as_ptr()) };
    ensure!(!new.is_null(), "there is no memory for a tensor of shape {:?}", tensor.size());
    // SAFETY: a new handle, and ours.
    Ok(unsafe { Tensor::from_ptr(new) })
}

/// A new f32 tensor on the CPU, and where its elements are, which are not initialised.
pub(super) fn empty(shape: &[i64]) -> Result<(Tensor, *mut f32)> {
    let mut data = ptr::null_mut();
    // SAFETY: the sizes are lent for the call, which writes to `data`.
    let tensor = unsafe { efference_autograd_empty(shape.as_ptr(), shape.len(), &raw mut data) };
    ensure!(!tensor.is_null(), "there is no memory for a tensor of shape {shape:?}");
    // SAFETY: a new handle, and ours.
    Ok((unsafe { Tensor::from_ptr(tensor) }, data))
}

/// The same of the shape of another tensor.
pub(super) fn empty_shaped(tensor: &Tensor) -> Result<(Tensor, *mut f32)> {
    let mut data = ptr::null_mut();
    // SAFETY: the tensor lives through the call, which writes to `data`.
    let new = unsafe { efference_autograd_empty_shaped(tensor.as_ptr(), &raw mut data) };
    ensure!(!new.is_null(), "there is no memory for a tensor of shape {:?}", tensor.size());
    // SAFETY: a new handle, and ours.
    Ok((unsafe { Tensor::from_ptr(new) }, data))
}

/// See [`super::detach`]; `None`: the short way is not open.
pub(super) fn detach(tensor: &Tensor) -> Option<Tensor> {
    // SAFETY: the tensor lives through the call; what it returns is null, or a new handle and ours.
    unsafe {
        let new = efference_autograd_detach(tensor.as_ptr());
        (!new.is_null()).then(|| Tensor::from_ptr(new))
    }
}

/// See [`super::narrow`]; `None`: the short way is not open.
pub(super) fn narrow(tensor: &Tensor, dim: usize, start: i64, length: i64) -> Option<Tensor> {
    // SAFETY: as above.
    unsafe {
        let new = efference_autograd_narrow(tensor.as_ptr(), dim, start, length);
        (!new.is_null()).then(|| Tensor::from_ptr(new))
    }
}

/// See [`super::same_shape`].
pub(super) fn same_shape(a: &Tensor, b: &Tensor) -> bool {
    // SAFETY: the tensors live through the call.
    unsafe { efference_autograd_same_shape(a.as_ptr(), b.as_ptr()) }
}

/// Whether two tensors have the same shape and the same strides.
pub(super) fn same_strides(a: &Tensor, b: &Tensor) -> bool {
    // SAFETY: the tensors live through the call.
    unsafe { efference_autograd_same_strides(a.as_ptr(), b.as_ptr()) }
}

/// See [`super::clear_gradient`].
pub(super) fn clear_gradient(leaf: &Tensor) {
    // SAFETY: the tensor lives through the call; without a gradient to share there is no aliasing of it.
    unsafe { efference_autograd_clear_gradient(leaf.as_ptr().cast_mut()) };
}

/// See [`super::take_gradients`].
pub(super) fn take_gradients(leaves: &[&Tensor]) -> Vec<Option<Tensor>> {
    let leaves: Vec<_> = leaves.iter().map(|t| t.as_ptr()).collect();
    let mut out = vec![ptr::null_mut(); leaves.len()];
    // SAFETY: the tensors live through the call, and `out` has room for one each.
    unsafe { efference_autograd_take_gradients(leaves.as_ptr(), leaves.len(), out.as_mut_ptr()) };
    // SAFETY: each handle that is not null is a new one and ours.
    out.into_iter().map(|t| (!t.is_null()).then(|| unsafe { Tensor::from_ptr(t) })).collect()
}

/// See [`super::bump_version`].
pub(super) fn bump_version(tensor: &Tensor) {
    // SAFETY: the tensor lives through the call, which adds to an atomic counter that all its handles share.
    unsafe { efference_autograd_bump_version(tensor.as_ptr()) };
}

/// Whether this is the only handle of its tensor, and the only tensor of its memory.
pub(super) fn is_unique(tensor: &Tensor) -> bool {
    // SAFETY: the tensor lives through the call, which reads counts.
    unsafe { efference_autograd_unique(tensor.as_ptr()) }
}

/// A message made by C++.
fn take_message(message: *mut c_char) -> String {
    if message.is_null() {
        return "libtorch failed without a message".to_owned();
    }
    // SAFETY: a failing function of shim.cpp leaves a C string that is ours to free, once.
    unsafe {
        let text = CStr::from_ptr(message).to_string_lossy().into_owned();
        efference_autograd_free(message);
        text.split("\nException raised from").next().unwrap_or_default().trim_end().to_owned()
    }
}

/// See [`super::HeldLeaf`].
#[derive(Debug)]
pub(super) struct Leaf(NonNull<c_void>);

// SAFETY: a node of libtorch's, whose handles are counted by atomic numbers, and which is only freed here.
unsafe impl Send for Leaf {}

impl Leaf {
    pub(super) fn hold(leaf: &Tensor) -> Option<Self> {
        // SAFETY: the tensor lives through the call.
        NonNull::new(unsafe { efference_autograd_hold_leaf(leaf.as_ptr()) }).map(Leaf)
    }
}

impl Drop for Leaf {
    fn drop(&mut self) {
        // SAFETY: what `hold` got, released once.
        unsafe { efference_autograd_release_leaf(self.0.as_ptr()) }
    }
}

/// Tensors that C++ lends for a call: they are its own to free.
struct Lent(Vec<ManuallyDrop<Tensor>>);

impl Lent {
    /// # Safety
    /// `pointers` are `count` pointers to tensors that live as long as the result, or null, which stays for an undefined
    /// tensor that must not be used.
    unsafe fn new(pointers: *const *mut C_tensor, count: usize) -> Self {
        if count == 0 {
            return Lent(Vec::new());
        }
        // SAFETY: by the caller's promise; `ManuallyDrop` keeps the tensors from being freed here.
        let pointers = unsafe { slice::from_raw_parts(pointers, count) };
        // SAFETY: as above.
        Lent(pointers.iter().map(|t| ManuallyDrop::new(unsafe { Tensor::from_ptr(*t) })).collect())
    }

    /// All of them, of which none may be null.
    fn all(&self) -> &[Tensor] {
        // SAFETY: `ManuallyDrop<T>` has the layout of `T`.
        unsafe { slice::from_raw_parts(self.0.as_ptr().cast(), self.0.len()) }
    }

    /// All of them; `None` where there is null.
    fn given(&self) -> Vec<Option<&Tensor>> {
        self.all().iter().map(|t| (!t.as_ptr().is_null()).then_some(t)).collect()
    }
}

/// The functions of an operation that C++ calls.
struct Methods<O>(O);

impl<O: Op> Methods<O> {
    const TABLE: &'static Table = &Table {
        name: O::NAME.as_ptr(),
        name_length: O::NAME.len(),
        backward: Self::backward,
        release: Self::release,
        release_message,
    };

    unsafe extern "C" fn backward(
        op: *const c_void,
        saved: *const *mut C_tensor,
        n_saved: usize,
        grads: *const *mut C_tensor,
        n_grads: usize,
        needs_input_grad: *const bool,
        out: *mut *mut C_tensor,
        n_inputs: usize,
        message: *mut *mut c_char,
    ) -> c_int {
        let run = || -> Result<()> {
            // SAFETY: C++ passes what `record` gave it: an `O`, the saved tensors, the gradients of the outputs,
            // and one flag and one place for a result for each input; all live through this call.
            let (op, saved, grads, needs_input_grad, out) = unsafe {
                (
                    &*op.cast::<O>(),
                    Lent::new(saved, n_saved),
                    Lent::new(grads, n_grads),
                    slice::from_raw_parts(needs_input_grad, n_inputs),
                    slice::from_raw_parts_mut(out, n_inputs),
                )
            };
            let grads = grads.given();
            let results = op.backward(saved.all(), &Gradients { outputs: &grads, needs_input_grad })?;
            ensure!(
                results.len() == n_inputs,
                "backward returned {} gradients for {n_inputs} inputs",
                results.len()
            );
            for (place, result) in out.iter_mut().zip(results) {
                if let Some(tensor) = result.filter(Tensor::defined) {
                    *place = ManuallyDrop::new(tensor).as_mut_ptr();
                }
            }
            Ok(())
        };
        let text = match catch_unwind(AssertUnwindSafe(run)) {
            Ok(Ok(())) => return 0,
            Ok(Err(error)) => format!("operation '{}', backward: {error:#}", O::NAME),
            Err(payload) => format!("operation '{}', backward panicked: {}", O::NAME, panic_text(payload)),
        };
        let text = CString::new(text.replace('\0', "?")).unwrap_or_default();
        // SAFETY: C++ passes a place for the message, and gives it back to `release_message`.
        unsafe { *message = text.into_raw() };
        1
    }

    unsafe extern "C" fn release(op: *mut c_void) {
        // SAFETY: C++ gives back, once, the box that `record` gave away.
        let op = unsafe { Box::from_raw(op.cast::<O>()) };
        // A panic while dropping has nowhere to be reported.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(op)));
    }
}

unsafe extern "C" fn release_message(message: *mut c_char) {
    if !message.is_null() {
        // SAFETY: the message was made by `CString::into_raw` in `backward`, and is given back once.
        drop(unsafe { CString::from_raw(message) });
    }
}

//! The custom VJP of a layer or a cell.
use super::raw;
use crate::autograd::required;
use crate::{AnyCell, AnyLayer, GradInput, GradOutput, Result, Vjp};
use efference_abi::{self as abi, Buf, Status, Str, TensorSink};
use std::ffi::c_void;
use tch::Tensor;

/// What may have a custom VJP.
pub(super) trait HasVjp {
    fn vjp(&self) -> Option<&dyn Vjp>;
}

impl HasVjp for dyn AnyLayer {
    fn vjp(&self) -> Option<&dyn Vjp> {
        AnyLayer::vjp(self)
    }
}

impl HasVjp for dyn AnyCell {
    fn vjp(&self) -> Option<&dyn Vjp> {
        AnyCell::vjp(self)
    }
}

/// Objects cross the boundary as a `Box` of one of these.
///
/// # Safety
/// `this_` is a `Box<T>` that was given.
unsafe fn object<'a, T: HasVjp + ?Sized + 'a>(this_: *mut c_void) -> &'a T {
    // SAFETY: by the caller's promise.
    unsafe { &*this_.cast::<Box<T>>() }
}

unsafe extern "C" fn available<T: HasVjp + ?Sized + 'static>(this_: *mut c_void) -> bool {
    // SAFETY: an object that was given.
    unsafe { object::<T>(this_) }.vjp().is_some()
}

/// # Safety
/// `sink` is a lent sink.
unsafe fn put(sink: *const TensorSink, tensor: Option<Tensor>) {
    // SAFETY: by the caller's promise; the tensor is given.
    unsafe { ((*sink).put)((*sink).ctx, Str::new(""), tensor.map_or(std::ptr::null_mut(), raw::give)) };
}

unsafe extern "C" fn forward<T: HasVjp + ?Sized + 'static>(
    this_: *mut c_void,
    x: *const abi::Tensor,
    out: *mut *mut abi::Tensor,
    kept: *const TensorSink,
    err: *mut Buf,
) -> Status {
    // SAFETY: an object that was given, a lent tensor and sink; `out` is writable.
    unsafe {
        raw::guard(err, || {
            let (y, tensors) = required(object::<T>(this_).vjp())?.forward(&raw::see(x))?;
            tensors.into_iter().for_each(|t| put(kept, Some(t)));
            out.write(raw::give(y));
            Ok(())
        })
    }
}

unsafe extern "C" fn backward<T: HasVjp + ?Sized + 'static>(
    this_: *mut c_void,
    kept: *const *const abi::Tensor,
    kept_count: usize,
    incoming: *const abi::Incoming,
    input: *mut *mut abi::Tensor,
    parameters: *const TensorSink,
    err: *mut Buf,
) -> Status {
    // SAFETY: an object that was given, lent tensors, gradients and sink; `input` is writable.
    unsafe {
        raw::guard(err, || {
            let kept: Vec<Tensor> =
                raw::see_slice(kept, kept_count).iter().map(|t| raw::see(*t).shallow_clone()).collect();
            let abi::Incoming { gradient, to_parameters, lane_count, to_input } = *incoming;
            let gradient = raw::see(gradient);
            let to_parameters = raw::see_slice(to_parameters, lane_count);
            let incoming =
                GradOutput { grad: &gradient, needs_param_grad: to_parameters, input_paths: to_input };
            let outgoing = required(object::<T>(this_).vjp())?.backward(&kept, &incoming)?;
            outgoing.params.into_iter().for_each(|g| put(parameters, g));
            input.write(outgoing.input.map_or(std::ptr::null_mut(), raw::give));
            Ok(())
        })
    }
}

pub(super) struct PassesTable<T: ?Sized>(std::marker::PhantomData<T>);

impl<T: HasVjp + ?Sized + 'static> PassesTable<T> {
    pub(super) const TABLE: *const abi::PassesVTable = &raw const *const {
        &abi::PassesVTable {
            size: size_of::<abi::PassesVTable>(),
            available: available::<T>,
            forward: forward::<T>,
            backward: backward::<T>,
        }
    };
}

/// The passes of an object of the other side, which outlives this.
pub(super) struct ForeignPasses {
    this: *mut c_void,
    vtable: *const abi::PassesVTable,
}

// SAFETY: the boundary lets an object be called from any thread, one at a time.
unsafe impl Send for ForeignPasses {}

impl ForeignPasses {
    /// `None` if the object has none.
    ///
    /// # Safety
    /// `this` is an object that was given, `vtable` null or the table of its passes.
    pub(super) unsafe fn new(this: *mut c_void, vtable: *const abi::PassesVTable) -> Option<Self> {
        // SAFETY: by the caller's promise.
        let has = !vtable.is_null() && unsafe { ((*vtable).available)(this) };
        has.then_some(ForeignPasses { this, vtable })
    }
}

type Put = Vec<Option<Tensor>>;

unsafe extern "C" fn put_one(ctx: *mut c_void, _: Str, tensor: *mut abi::Tensor) {
    // SAFETY: a sink's `ctx` is the vector that it was made of, and the other side gives the tensor.
    unsafe { (*ctx.cast::<Put>()).push(raw::take(tensor).ok()) };
}

fn sink(into: &mut Put) -> TensorSink {
    TensorSink { ctx: (&raw mut *into).cast(), put: put_one }
}

impl Vjp for ForeignPasses {
    fn forward(&self, x: &Tensor) -> Result<(Tensor, Vec<Tensor>)> {
        let mut out = std::ptr::null_mut();
        let mut kept = Put::new();
        let sink = sink(&mut kept);
        // SAFETY: an object that was given; `x` and the sink are lent, the results are ours.
        let y = unsafe {
            let forward = (*self.vtable).forward;
            raw::call(|err| forward(self.this, raw::lend(x), &raw mut out, &raw const sink, err))?;
            raw::take(out)?
        };
        Ok((y, kept.into_iter().flatten().collect()))
    }

    fn backward(&self, kept: &[Tensor], incoming: &GradOutput<'_>) -> Result<GradInput> {
        let kept: Vec<_> = kept.iter().map(raw::lend).collect();
        let incoming = abi::Incoming {
            gradient: raw::lend(incoming.grad),
            to_parameters: incoming.needs_param_grad.as_ptr(),
            lane_count: incoming.needs_param_grad.len(),
            to_input: incoming.input_paths,
        };
        let mut input = std::ptr::null_mut();
        let mut parameters = Put::new();
        let sink = sink(&mut parameters);
        // SAFETY: an object that was given; all else is lent, the results are ours.
        unsafe {
            let backward = (*self.vtable).backward;
            raw::call(|err| {
                let (kept, count) = (kept.as_ptr(), kept.len());
                let incoming = &raw const incoming;
                backward(self.this, kept, count, incoming, &raw mut input, &raw const sink, err)
            })?;
            Ok(GradInput { input: raw::take(input).ok(), params: parameters })
        }
    }
}

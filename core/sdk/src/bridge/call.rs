//! The two ends of a call: the callee's [`guard`], and the caller's [`Caller`].
use super::error::{from_raw_error, into_raw_error};
use super::panics::caught;
use crate::{GradOutput, PluginId, Result};
use efference_abi::{self as abi, ERROR, OK, PANIC, Status};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tch::Tensor;

/// Callee's side: runs Rust code, and keeps its errors and panics on this side.
///
/// # Safety
/// `err` is null or points to a writable [`abi::Error`] that owns nothing.
pub unsafe fn guard(err: *mut abi::Error, f: impl FnOnce() -> Result<()>) -> Status {
    let result = catch_unwind(AssertUnwindSafe(f));
    if let Ok(Ok(())) = result {
        return OK;
    }
    // SAFETY: handed on.
    unsafe { refused(err, result) }
}

/// # Safety
/// See [`guard`].
#[cold]
#[inline(never)]
unsafe fn refused(err: *mut abi::Error, result: std::thread::Result<Result<()>>) -> Status {
    let error = match result {
        Ok(Ok(())) => return OK,
        Ok(Err(error)) => error,
        Err(payload) => caught(payload),
    };
    let status = if error.panicked() { PANIC } else { ERROR };
    if !err.is_null() {
        // SAFETY: by the caller's promise.
        unsafe { err.write(into_raw_error(error)) };
    }
    status
}

/// Caller's side: makes a call and turns its status and error into a result.
pub fn call(f: impl FnOnce(*mut abi::Error) -> Status) -> Result<()> {
    let mut err = abi::Error::EMPTY;
    match f(&raw mut err) {
        OK => Ok(()),
        status => failed(err, status),
    }
}

#[cold]
#[inline(never)]
fn failed(err: abi::Error, status: Status) -> Result<()> {
    // SAFETY: a callee that fails has filled `err`, or left it empty.
    Err(unsafe { from_raw_error(err, status) })
}

/// A function that is called over the boundary, by its name in the trait. A monitor can give it a number, which is there from
/// then on without a search.
pub struct Method {
    name: &'static str,
    number: AtomicU32,
}

impl Method {
    /// The function of this name.
    pub const fn new(name: &'static str) -> Method {
        Method { name, number: AtomicU32::new(0) }
    }

    /// Its number, above 0; `number` gives it one.
    #[inline]
    pub fn number(&self, number: impl FnOnce(&str) -> u32) -> u32 {
        match self.number.load(Ordering::Relaxed) {
            0 => {
                let new = number(self.name);
                self.number.store(new, Ordering::Relaxed);
                new
            }
            known => known,
        }
    }
}

/// What a host checks around each call of a plugin.
pub trait Monitor: Send + Sync {
    /// Runs before a call; what it returns is passed to [`after`](Monitor::after).
    fn before(&self, method: &Method) -> u64;

    /// Runs after a call. Its error becomes that of the call if the call succeeded.
    fn after(&self, before: u64) -> Result<()>;

    /// Looks at a forward evaluation that succeeded: input and output.
    fn forward(&self, _x: &Tensor, _y: &Tensor) -> Result<()> {
        Ok(())
    }

    /// Looks at a backward pass of a custom VJP that succeeded.
    fn backward(&self, _grad: &GradOutput<'_>) {}
}

/// On whose behalf a proxy calls: which plugin the object belongs to, for errors, and who checks the calls.
#[derive(Clone, Default)]
pub struct Caller {
    plugin: Option<Arc<PluginId>>,
    monitor: Option<Arc<dyn Monitor>>,
}

impl Caller {
    /// Calls an object of this plugin, checked by `monitor`.
    pub fn new(plugin: PluginId, monitor: Arc<dyn Monitor>) -> Self {
        Caller { plugin: Some(Arc::new(plugin)), monitor: Some(monitor) }
    }

    /// Makes a call.
    pub(crate) fn call(&self, method: &Method, f: impl FnOnce(*mut abi::Error) -> Status) -> Result<()> {
        let Some(monitor) = &self.monitor else { return self.attribute(call(f)) };
        let before = monitor.before(method);
        let result = call(f);
        let checked = monitor.after(before);
        self.attribute(result.and(checked))
    }

    /// Lets an object be destroyed, which cannot fail.
    pub(crate) fn destroy(&self, f: impl FnOnce()) {
        static DROP: Method = Method::new("drop");
        let Some(monitor) = &self.monitor else { return f() };
        let before = monitor.before(&DROP);
        f();
        if let Err(error) = self.attribute(monitor.after(before)) {
            tracing::warn!("when it was dropped: {error:#}");
        }
    }

    /// Puts the plugin in front of an error.
    pub(crate) fn attribute<R>(&self, result: Result<R>) -> Result<R> {
        match &self.plugin {
            Some(plugin) => result.map_err(|e| e.in_plugin(plugin)),
            None => result,
        }
    }

    /// See [`Monitor::forward`].
    pub(crate) fn forward(&self, x: &Tensor, y: &Tensor) -> Result<()> {
        self.monitor.as_ref().map_or(Ok(()), |monitor| monitor.forward(x, y))
    }

    /// See [`Monitor::backward`].
    pub(crate) fn backward(&self, grad: &GradOutput<'_>) {
        if let Some(monitor) = &self.monitor {
            monitor.backward(grad);
        }
    }
}

//! What the host does for every plugin.
use crate::{Error, Slice, Status, Str};
use core::ffi::c_void;

/// Services of the host. Lives as long as the process; may be called from any thread.
#[repr(C)]
pub struct HostApi {
    /// Size of the host's table, in bytes.
    pub size: usize,
    /// The [`FEATURES`](crate::FEATURES) that the host has.
    pub features: Slice<Str>,
    /// Whether an event of this level (1 error, 2 warning, 3 info, 4 debug, 5 trace) would be recorded.
    pub log_enabled: unsafe extern "C" fn(level: u32, target: Str, out: *mut bool, err: *mut Error) -> Status,
    /// Takes one event.
    pub log: unsafe extern "C" fn(
        level: u32,
        target: Str,
        file: Str,
        line: u32,
        message: Str,
        out: *mut c_void,
        err: *mut Error,
    ) -> Status,
    /// Records `value` under `name` for this step; several values between two recordings are averaged.
    pub metric: unsafe extern "C" fn(name: Str, value: f64, out: *mut c_void, err: *mut Error) -> Status,
    /// A seed for random numbers of the current step, from the experiment's seed, the step and `purpose`.
    pub step_seed: unsafe extern "C" fn(purpose: Str, out: *mut u64, err: *mut Error) -> Status,
    /// As `metric`, but of several values between two recordings the last one counts. A host of before ends its table here.
    pub latest:
        Option<unsafe extern "C" fn(name: Str, value: f64, out: *mut c_void, err: *mut Error) -> Status>,
    /// Calls `task` once with each number in `0..tasks`, on the threads that the host has for kernels, this one among them, and
    /// returns when all calls have returned. `task` must not unwind. Within a call of `task`, all runs on the thread itself.
    pub parallel: Option<
        unsafe extern "C" fn(
            tasks: usize,
            task: unsafe extern "C" fn(argument: *const c_void, i: usize),
            argument: *const c_void,
            out: *mut c_void,
            err: *mut Error,
        ) -> Status,
    >,
    /// How many threads these are now. A host of before ends its table before `parallel`.
    pub threads: Option<unsafe extern "C" fn(out: *mut usize, err: *mut Error) -> Status>,
}

// SAFETY: a table is constant data.
unsafe impl Sync for HostApi {}

//! Kernels on several threads.
//!
//! `unsafe` is allowed in this file to pass a closure on as a function and a pointer: the closure outlives the call.
#![allow(unsafe_code)]
use super::workers::{Task, run_tasks, workers};
use crate::bridge::host_threads;
use std::any::Any;
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// How many threads [`parallel`] spreads tasks over: the host's (`threads` in the spec), or as many as libtorch has where no host
/// has loaded this plugin. It may change between two calls: what is computed must not depend on it.
pub fn threads() -> usize {
    host_threads().map_or_else(workers, |host| host.threads())
}

/// Calls `task(i)` once for each `i` in `0..tasks`, on up to [`threads`] threads, and waits for all.
///
/// Whoever is free takes the next task, so tasks need not be equally long; a thread that gets no core is not waited for. From
/// within a parallel region, with one thread, or with one task, all runs on the calling thread. A panic of a task comes out of
/// this call when the others have ended; tasks not begun by then are left out.
pub fn parallel(tasks: usize, task: impl Fn(usize) + Sync) {
    if tasks <= 1 || threads() <= 1 {
        return (0..tasks).for_each(task);
    }
    let panicked = AtomicBool::new(false);
    let panic: Mutex<Option<Box<dyn Any + Send>>> = Mutex::new(None);
    spread(tasks, &|i| {
        if panicked.load(Ordering::Relaxed) {
            return;
        }
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| task(i))) {
            panicked.store(true, Ordering::Relaxed);
            panic.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(payload);
        }
    });
    if let Some(payload) = panic.into_inner().unwrap_or_else(PoisonError::into_inner) {
        resume_unwind(payload);
    }
}

/// The same for a task that does not panic.
fn spread<F: Fn(usize) + Sync>(tasks: usize, task: &F) {
    unsafe extern "C" fn call<F: Fn(usize) + Sync>(task: *const c_void, i: usize) {
        // SAFETY: `spread` passes a pointer to its `task`, which lives until all calls have ended.
        let task = unsafe { &*task.cast::<F>() };
        task(i);
    }
    let task = Task { call: call::<F>, argument: std::ptr::from_ref(task).cast() };
    match host_threads() {
        // SAFETY: `task` is `Sync`, does not panic, and lives until all calls have ended.
        Some(host) => unsafe { host.parallel(tasks, &task) },
        // SAFETY: as above.
        None => unsafe { run_tasks(tasks, &task) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU32;

    #[test]
    fn each_task_runs_once() {
        let counts: Vec<AtomicU32> = (0..1000).map(|_| AtomicU32::new(0)).collect();
        parallel(counts.len(), |i| {
            counts[i].fetch_add(1, Ordering::Relaxed);
            // A parallel region inside another one runs on its thread.
            parallel(2, |_| {});
        });
        assert!(counts.iter().all(|c| c.load(Ordering::Relaxed) == 1));
        parallel(0, |_| panic!("there is no task"));
    }

    #[test]
    fn a_panic_comes_out_at_the_end() {
        let result = catch_unwind(|| parallel(64, |i| assert_ne!(i, 7, "task seven")));
        let payload = result.unwrap_err();
        assert!(payload.downcast_ref::<String>().unwrap().contains("task seven"));
        parallel(64, |_| {});
    }
}

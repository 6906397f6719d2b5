//! Kernels on libtorch's own threads.
use super::ffi;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// How many threads libtorch uses for one operation (`torch::set_num_threads`).
pub fn threads() -> usize {
    usize::try_from(tch::get_num_threads()).unwrap_or(1).max(1)
}

/// Calls `task(i)` once for each `i` in `0..tasks`, on up to [`threads`] of libtorch's threads, and waits for all.
///
/// The threads are those of libtorch's own operations: there is no second pool to fight with over the cores.
/// Whoever is free takes the next task, so tasks need not be equally long. From within libtorch's parallel regions,
/// with one thread, or with one task, all runs on the calling thread. A panic of a task comes out of this call when
/// the others have ended; tasks not begun by then are left out.
pub fn parallel(tasks: usize, task: impl Fn(usize) + Sync) {
    let threads = threads().min(tasks);
    if threads <= 1 {
        return (0..tasks).for_each(task);
    }
    let next = AtomicUsize::new(0);
    let panic: Mutex<Option<Box<dyn Any + Send>>> = Mutex::new(None);
    let work = || {
        let all = || {
            loop {
                let i = next.fetch_add(1, Ordering::Relaxed);
                if i >= tasks {
                    break;
                }
                task(i);
            }
        };
        if let Err(payload) = catch_unwind(AssertUnwindSafe(all)) {
            next.store(tasks, Ordering::Relaxed);
            panic.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(payload);
        }
    };
    ffi::on_threads(threads, &work);
    if let Some(payload) = panic.into_inner().unwrap_or_else(PoisonError::into_inner) {
        resume_unwind(payload);
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
    fn several_threads_take_part() {
        if threads() < 2 {
            return;
        }
        // Each of two tasks waits for the other one, so one thread alone would never end.
        let barrier = std::sync::Barrier::new(2);
        parallel(2, |_| {
            barrier.wait();
        });
    }

    #[test]
    fn a_panic_comes_out_at_the_end() {
        let result = catch_unwind(|| parallel(64, |i| assert_ne!(i, 7, "task seven")));
        let payload = result.unwrap_err();
        assert!(payload.downcast_ref::<String>().unwrap().contains("task seven"));
        parallel(64, |_| {});
    }
}

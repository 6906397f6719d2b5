//! Kernels on threads of our own. One test, in a program of its own: the number of threads is that of the process, and while
//! another thread has a call under way, all tasks run on the caller.
use efference_sdk::autograd::{parallel, set_workers, threads, workers};
use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn each_task_is_done_once_on_whichever_threads_have_a_core() {
    set_workers(3);
    assert_eq!((workers(), threads()), (3, 3));
    // More tasks than claims, too.
    for tasks in [0, 1, 2, 3, 7, 100, 65_536, 200_000] {
        let counts: Vec<AtomicU32> = (0..tasks).map(|_| AtomicU32::new(0)).collect();
        for _ in 0..5 {
            parallel(tasks, |i| {
                counts[i].fetch_add(1, Ordering::Relaxed);
                parallel(2, |_| {}); // within a call: on the same thread
            });
        }
        assert!(counts.iter().all(|c| c.load(Ordering::Relaxed) == 5), "{tasks} tasks");
    }

    // Others take part: each of two tasks waits for the other one.
    let barrier = Barrier::new(2);
    parallel(2, |_| _ = barrier.wait());
    // A task of another thread is waited for, also when the caller has gone to sleep by then.
    let caller = thread::current().id();
    let began = Instant::now();
    parallel(2, |_| {
        barrier.wait();
        if thread::current().id() != caller {
            thread::sleep(Duration::from_millis(20));
        }
    });
    assert!(began.elapsed() >= Duration::from_millis(20), "a task was not waited for");

    // Calls of two threads at once, and calls that are further apart than a thread looks for work before it sleeps.
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for round in 0..200 {
                    let sum = AtomicUsize::new(0);
                    parallel(64, |i| _ = sum.fetch_add(i, Ordering::Relaxed));
                    assert_eq!(sum.into_inner(), 64 * 63 / 2);
                    if round % 20 == 0 {
                        thread::sleep(Duration::from_millis(1));
                    }
                }
            });
        }
    });

    let panic = std::panic::catch_unwind(|| parallel(64, |i| assert_ne!(i, 7, "task seven"))).unwrap_err();
    assert!(panic.downcast_ref::<String>().unwrap().contains("task seven"));
    parallel(64, |_| {});
}

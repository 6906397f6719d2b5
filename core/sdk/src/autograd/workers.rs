//! Threads of our own, for kernels: a call waits for the tasks that they have begun, and for nothing else.
//!
//! A parallel region of OpenMP ends when all of its threads have come. Where another program has taken a core, one of them does
//! not come for milliseconds, though the work is done by then. Here whoever has a core takes the next task: if the others get
//! none, the caller has done all tasks by itself when it comes to their end, and goes on.
//!
//! The caller takes tasks from the front and the others take them from the back. So from call to call a thread gets about the
//! same ones, whose memory is in its own caches.
//!
//! `unsafe` is allowed in this file for one thing: to read the task of a call through a pointer, by a thread that has claimed a
//! part of it. The call does not end before all that was claimed is done.
#![allow(unsafe_code)]
use std::cell::Cell;
use std::ffi::c_void;
use std::hint::spin_loop;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::{Mutex, OnceLock, PoisonError, TryLockError};
use std::thread::{self, Thread};
use tracing::warn;

/// What is called with a number from `0..tasks`, and what is passed to it.
#[derive(Debug, Clone, Copy)]
pub struct Task {
    /// Must not unwind.
    pub call: unsafe extern "C" fn(argument: *const c_void, i: usize),
    /// Lives as long as the call, and may be used by several threads at once.
    pub argument: *const c_void,
}

// SAFETY: whoever makes one promises that several threads may use it at once.
unsafe impl Sync for Task {}

/// How often a thread looks for work before it sleeps: some ten microseconds, which is what lies between most calls of a step.
const LOOKS: u32 = 6_000;

/// How often a caller looks whether others are done before it sleeps. Asleep, it leaves its core to the one that it waits for.
const PATIENCE: u32 = 2_000;

/// The most claims of a call: more tasks are claimed several at a time.
const MOST_CLAIMS: usize = 0xffff;

/// A thread of these.
struct Worker {
    thread: Thread,
    sleeps: AtomicBool,
}

/// The call that is under way.
struct Call {
    /// The number of the call (32 bits), claims taken from the front (16), claims left up to the back (16).
    claims: AtomicU64,
    task: AtomicPtr<Task>,
    tasks: AtomicUsize,
    /// Tasks of one claim.
    size: AtomicUsize,
    /// Claims that others than the caller have done.
    done: AtomicU32,
    caller_sleeps: AtomicBool,
    caller: Mutex<Option<Thread>>,
}

static CALL: Call = Call {
    claims: AtomicU64::new(0),
    task: AtomicPtr::new(null_mut()),
    tasks: AtomicUsize::new(0),
    size: AtomicUsize::new(1),
    done: AtomicU32::new(0),
    caller_sleeps: AtomicBool::new(false),
    caller: Mutex::new(None),
};
/// Held by whoever calls [`run_tasks`].
static TURN: Mutex<()> = Mutex::new(());
/// One thread fewer than compute, for the caller is one.
static WORKERS: Mutex<Vec<&'static Worker>> = Mutex::new(Vec::new());
static THREADS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// Whether this thread is within a call.
    static WITHIN: Cell<bool> = const { Cell::new(false) };
}

/// How many threads compute, the caller among them: as many as libtorch has, until [`set_workers`] is called.
pub fn workers() -> usize {
    match THREADS.load(Ordering::Relaxed) {
        0 => {
            set_workers(usize::try_from(tch::get_num_threads()).unwrap_or(1));
            THREADS.load(Ordering::Relaxed)
        }
        threads => threads,
    }
}

/// Has kernels run on so many threads from now on, the caller among them. For the host.
pub fn set_workers(threads: usize) {
    let mut workers = WORKERS.lock().unwrap_or_else(PoisonError::into_inner);
    while workers.len() + 1 < threads {
        let cell: &'static OnceLock<&'static Worker> = Box::leak(Box::new(OnceLock::new()));
        let name = format!("kernels {}", workers.len() + 1);
        let started = thread::Builder::new().name(name).spawn(move || work(cell.wait()));
        match started {
            Ok(handle) => {
                let worker = Worker { thread: handle.thread().clone(), sleeps: AtomicBool::new(false) };
                let worker: &'static Worker = Box::leak(Box::new(worker));
                let _ = cell.set(worker);
                workers.push(worker);
            }
            Err(error) => {
                warn!("kernels have {} threads, for no more can be started: {error}", workers.len() + 1);
                break;
            }
        }
    }
    THREADS.store(threads.clamp(1, workers.len() + 1), Ordering::Relaxed);
}

/// Calls `task` once for each number in `0..tasks`, on the threads of this process, and returns when all are done. From within a
/// call, and while another thread's is under way, all runs on this thread. For the host.
///
/// # Safety
/// See [`Task`].
pub unsafe fn run_tasks(tasks: usize, task: &Task) {
    let alone = || {
        for i in 0..tasks {
            // SAFETY: by the caller's promise.
            unsafe { (task.call)(task.argument, i) }
        }
    };
    let threads = workers().min(tasks);
    if threads <= 1 || WITHIN.get() {
        return alone();
    }
    let _turn = match TURN.try_lock() {
        Ok(turn) => turn,
        Err(TryLockError::Poisoned(turn)) => turn.into_inner(),
        Err(TryLockError::WouldBlock) => return alone(),
    };
    WITHIN.set(true);
    let size = tasks.div_ceil(MOST_CLAIMS);
    let claims = tasks.div_ceil(size) as u64;
    CALL.task.store(std::ptr::from_ref(task).cast_mut(), Ordering::Relaxed);
    CALL.tasks.store(tasks, Ordering::Relaxed);
    CALL.size.store(size, Ordering::Relaxed);
    CALL.done.store(0, Ordering::Relaxed);
    let number = (CALL.claims.load(Ordering::Relaxed) >> 32).wrapping_add(1);
    CALL.claims.store((number << 32) | claims, Ordering::Release);
    // Either a worker sees these claims before it sleeps, or it is seen to sleep here.
    fence(Ordering::SeqCst);
    for worker in WORKERS.lock().unwrap_or_else(PoisonError::into_inner).iter().take(threads - 1) {
        if worker.sleeps.load(Ordering::Relaxed) {
            worker.thread.unpark();
        }
    }
    let mut own = 0;
    while claim_and_do(End::Front) {
        own += 1;
    }
    wait_for(claims as u32 - own);
    WITHIN.set(false);
}

/// Which end of what is left is claimed.
#[derive(Clone, Copy)]
enum End {
    Front,
    Back,
}

/// Takes a claim of the call under way and does it, if there is one left.
fn claim_and_do(end: End) -> bool {
    let mut seen = CALL.claims.load(Ordering::Acquire);
    loop {
        let (front, back) = ((seen >> 16) & 0xffff, seen & 0xffff);
        if front >= back {
            return false;
        }
        let (task, size) = (CALL.task.load(Ordering::Relaxed), CALL.size.load(Ordering::Relaxed));
        let tasks = CALL.tasks.load(Ordering::Relaxed);
        let (claimed, after) = match end {
            End::Front => (front, seen + (1 << 16)),
            End::Back => (back - 1, seen - 1),
        };
        // What was read belongs to this call if its number is still the same.
        match CALL.claims.compare_exchange_weak(seen, after, Ordering::AcqRel, Ordering::Acquire) {
            Err(now) => seen = now,
            Ok(_) => {
                let first = claimed as usize * size;
                // SAFETY: the call lasts until this claim is done.
                let task = unsafe { *task };
                for i in first..(first + size).min(tasks) {
                    // SAFETY: by the promise of whoever called `run`.
                    unsafe { (task.call)(task.argument, i) };
                }
                return true;
            }
        }
    }
}

/// Waits until the others have done so many claims.
fn wait_for(claims: u32) {
    let all_done = || CALL.done.load(Ordering::Acquire) == claims;
    for _ in 0..PATIENCE {
        if all_done() {
            return;
        }
        spin_loop();
    }
    *CALL.caller.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread::current());
    CALL.caller_sleeps.store(true, Ordering::Relaxed);
    // Either the last one sees that this thread sleeps, or this one sees that all is done.
    fence(Ordering::SeqCst);
    while !all_done() {
        thread::park();
    }
    CALL.caller_sleeps.store(false, Ordering::Relaxed);
}

/// The life of a worker.
fn work(own: &Worker) {
    WITHIN.set(true);
    let mut looks = 0;
    loop {
        if claim_and_do(End::Back) {
            CALL.done.fetch_add(1, Ordering::Release);
            fence(Ordering::SeqCst);
            if CALL.caller_sleeps.load(Ordering::Relaxed)
                && let Some(caller) = &*CALL.caller.lock().unwrap_or_else(PoisonError::into_inner)
            {
                caller.unpark();
            }
            looks = 0;
        } else if looks < LOOKS {
            looks += 1;
            spin_loop();
        } else {
            own.sleeps.store(true, Ordering::Relaxed);
            fence(Ordering::SeqCst);
            let claims = CALL.claims.load(Ordering::Acquire);
            if (claims >> 16) & 0xffff >= claims & 0xffff {
                thread::park();
            }
            own.sleeps.store(false, Ordering::Relaxed);
            looks = 0;
        }
    }
}

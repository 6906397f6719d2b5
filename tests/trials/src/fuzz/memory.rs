//! Counts what is allocated, so that an input for which a reader takes far more memory than the input is worth is seen.
//!
//! Rules of the unsafe code here: each request goes to the system's allocator with the very layout and pointer that came,
//! or is refused by a null pointer, which every caller must expect; and nothing here allocates or panics.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

/// No more than this is given out at once, in bytes: a reader that goes beyond would take the machine's memory.
const CEILING: usize = 1 << 30;

static TAKEN: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

/// The allocator of this program.
pub(crate) struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Bytes that were taken at once while this was done, beyond those taken before.
pub(crate) fn peak_of<R>(does: impl FnOnce() -> R) -> (usize, R) {
    let before = TAKEN.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let done = does();
    (PEAK.load(Ordering::Relaxed).saturating_sub(before), done)
}

/// Whether there is room for this many bytes; if so they count as taken.
fn take(bytes: usize) -> bool {
    let taken = TAKEN.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
    if taken > CEILING {
        TAKEN.fetch_sub(bytes, Ordering::Relaxed);
        return false;
    }
    PEAK.fetch_max(taken, Ordering::Relaxed);
    true
}

// SAFETY: memory comes from the system's allocator and goes back to it unchanged; see the rules above.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !take(layout.size()) {
            return std::ptr::null_mut();
        }
        // SAFETY: the layout is the caller's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        TAKEN.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: pointer and layout are the caller's, and the memory is the system allocator's.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if !take(layout.size()) {
            return std::ptr::null_mut();
        }
        // SAFETY: as in `alloc`. The system's pages are zero already, so that room which nobody touches costs nothing.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if !take(size) {
            return std::ptr::null_mut();
        }
        // SAFETY: pointer, layout and size are the caller's, and the memory is the system allocator's.
        let moved = unsafe { System.realloc(at, layout, size) };
        // What is not taken any more: the old room, or, if there is no new one, the new.
        TAKEN.fetch_sub(if moved.is_null() { size } else { layout.size() }, Ordering::Relaxed);
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_is_counted_though_it_is_given_back() {
        // Far more than what other tests take at the same time.
        let large = 512 << 20;
        // Several times, for they may also give back a little just then.
        let tries = (0..16).map(|_| peak_of(|| Vec::<u8>::with_capacity(large).capacity()));
        let (peak, room) = tries.max().unwrap();
        assert!(room == large && peak >= large, "{peak}");
        assert!(Vec::<u8>::new().try_reserve_exact(CEILING + 1).is_err());
        let (peak, ()) = peak_of(|| ());
        assert!(peak < large / 2, "what was given back is not taken any more: {peak}");
    }
}

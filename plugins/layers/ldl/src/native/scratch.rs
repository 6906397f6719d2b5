//! Memory of a thread that kernels work in, kept from call to call so that it stays in the caches.
use super::simd::LINE;
use std::cell::RefCell;

thread_local! {
    static MEMORY: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

/// Calls `f` with at least `count` elements, of any value. Pieces of them begin at a line of the cache.
pub(super) fn with<R>(count: usize, f: impl FnOnce(&mut Arena<'_>) -> R) -> R {
    // Taken out while in use: a call within a call gets memory of its own, the same one each time.
    let mut memory = MEMORY.with_borrow_mut(Vec::pop).unwrap_or_default();
    if memory.len() < count + LINE {
        memory = vec![0.0; count + LINE];
    }
    let skip = memory.as_ptr().align_offset(LINE * size_of::<f32>()).min(LINE);
    let result = f(&mut Arena { free: &mut memory[skip..] });
    MEMORY.with_borrow_mut(|m| m.push(memory));
    result
}

/// What is left of the memory.
#[derive(Debug)]
pub(super) struct Arena<'a> {
    free: &'a mut [f32],
}

impl Arena<'_> {
    /// The same memory, to be used again when the result is gone.
    pub(super) fn again(&mut self) -> Arena<'_> {
        Arena { free: &mut *self.free }
    }

    /// Takes a piece. Panics if there is not enough: how much is needed is known beforehand, see [`rounded`].
    pub(super) fn take(&mut self, count: usize) -> *mut f32 {
        let free = std::mem::take(&mut self.free);
        let (piece, rest) = free.split_at_mut(rounded(count));
        self.free = rest;
        piece.as_mut_ptr()
    }
}

/// How many elements [`Arena::take`] uses up.
pub(super) const fn rounded(count: usize) -> usize {
    count.next_multiple_of(LINE)
}

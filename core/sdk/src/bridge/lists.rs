//! Slices and texts that are borrowed, and lists that change their owner.
use crate::Result;
use efference_abi::{List, Str};
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};

unsafe extern "C" fn free<O>(owner: *mut c_void) {
    // A destructor that panics must not unwind into the other side; there is nobody left to report it to.
    let _ = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: `list_with_owner` made this pointer, and the receiver frees it once.
        drop(unsafe { Box::from_raw(owner.cast::<O>()) });
    }));
}

/// Hands over elements. What they borrow from `owner` must not move when `owner` does.
pub(super) fn list_with_owner<T, O>(elements: Vec<T>, owner: O) -> List<T> {
    let mut all = Box::new((elements, owner));
    let (ptr, len) = (all.0.as_mut_ptr(), all.0.len());
    List { ptr, len, owner: Box::into_raw(all).cast(), free: Some(free::<(Vec<T>, O)>) }
}

/// Hands over elements.
pub(super) fn list<T>(elements: Vec<T>) -> List<T> {
    if elements.is_empty() { List::EMPTY } else { list_with_owner(elements, ()) }
}

/// Takes over a list: reads each element, then frees the list.
///
/// # Safety
/// The list is as its maker left it, is taken once, and `read` takes over its elements.
pub(super) unsafe fn take_list<T, R>(list: List<T>, mut read: impl FnMut(T) -> R) -> Vec<R> {
    // SAFETY: by the caller's promise.
    let elements: &[T] = unsafe { read_slice(list.ptr.cast_const(), list.len) };
    // SAFETY: each element is read once; what it points to belongs to `read`, and the list frees its memory alone.
    let taken = elements.iter().map(|element| read(unsafe { std::ptr::read(element) })).collect();
    // SAFETY: all elements were taken.
    unsafe { free_memory(list) };
    taken
}

/// # Safety
/// Nobody uses the list's memory any more, and its elements have other owners.
unsafe fn free_memory<T>(list: List<T>) {
    if let Some(free) = list.free {
        // SAFETY: the maker's own function with the maker's own value, once.
        unsafe { free(list.owner) }
    }
}

/// The same where an element may be refused: the others are taken over, too.
///
/// # Safety
/// See [`take_list`].
pub(super) unsafe fn try_take_list<T, R>(
    list: List<T>,
    mut read: impl FnMut(T) -> Result<R>,
) -> Result<Vec<R>> {
    // SAFETY: by the caller's promise.
    let elements: &[T] = unsafe { read_slice(list.ptr.cast_const(), list.len) };
    let (mut taken, mut refused) = (Vec::with_capacity(elements.len()), Ok(()));
    for element in elements {
        // SAFETY: as in `take_list`.
        match read(unsafe { std::ptr::read(element) }) {
            Ok(element) => taken.push(element),
            Err(error) => refused = Err(error),
        }
    }
    // SAFETY: all elements were taken.
    unsafe { free_memory(list) };
    refused.map(|()| taken)
}

/// Reads borrowed elements.
///
/// # Safety
/// `ptr` points to `len` readable elements, or `len` is 0.
pub(super) unsafe fn read_slice<'a, T>(ptr: *const T, len: usize) -> &'a [T] {
    if len == 0 || ptr.is_null() {
        return &[];
    }
    // SAFETY: by the caller's promise.
    unsafe { std::slice::from_raw_parts(ptr, len) }
}

/// Reads a borrowed text; what is not UTF-8 is replaced.
///
/// # Safety
/// `s` points to `s.len` readable bytes, or has length 0.
pub unsafe fn read_str(s: Str) -> String {
    // SAFETY: by the caller's promise.
    String::from_utf8_lossy(unsafe { read_slice(s.ptr, s.len) }).into_owned()
}

//! Keeps memory that steps use again and again.
//!
//! Rules of the unsafe code here: `mallopt` changes settings of the allocator and nothing else.
#![allow(unsafe_code)]

/// Tells glibc's allocator not to hand large blocks back to the system at once: each step allocates the same tensors,
/// and having their pages cleared anew costs more than some of the arithmetic. Small blocks of tensors are kept by size. To be
/// called when the process starts.
pub fn keep() {
    efference_sdk::autograd::keep_small_blocks();
    #[cfg(target_env = "gnu")]
    // SAFETY: changes settings of the allocator alone.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 1 << 30);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 512 << 20);
    }
}

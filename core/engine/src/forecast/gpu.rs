//! The free memory of a GPU.
//!
//! Rules of the unsafe code here: the CUDA runtime that libtorch has loaded is opened once more, and one function of it is
//! called by its published signature.
#![allow(unsafe_code)]
use efference_runs::limits::MemoryLimit;
use libloading::os::unix::{Library, RTLD_NOW};
use std::fs;
use tch::{Device, Kind, Tensor};

/// `cudaError_t cudaMemGetInfo(size_t *free, size_t *total)`
type MemGetInfo = unsafe extern "C" fn(free: *mut usize, total: *mut usize) -> i32;

/// What a GPU has left; `None` where the runtime does not say.
pub(super) fn free_memory(number: usize) -> Option<MemoryLimit> {
    // The runtime answers for the device of the thread, which is the first one unless somebody changed it.
    if number != 0 {
        return None;
    }
    // The device has a context from here on, as it would in a moment anyway.
    let _one = Tensor::f_zeros([1], (Kind::Float, Device::Cuda(number))).ok()?;
    let maps = fs::read_to_string("/proc/self/maps").ok()?;
    let runtime = maps.split_whitespace().find(|word| word.contains("libcudart"))?;
    let (mut free, mut total) = (0_usize, 0_usize);
    // SAFETY: the library is loaded already, so that opening it runs nothing; the signature is CUDA's own, and both
    // pointers are writable.
    let status = unsafe {
        let library = Library::open(Some(runtime), RTLD_NOW | libc::RTLD_NOLOAD).ok()?;
        let function = library.get::<MemGetInfo>(b"cudaMemGetInfo").ok()?;
        function(&raw mut free, &raw mut total)
    };
    let source = format!("free memory of cuda:{number}");
    (status == 0).then_some(MemoryLimit { free: free as u64, source })
}

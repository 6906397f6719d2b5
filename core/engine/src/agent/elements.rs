//! Elements of parameters and of what optimizers keep of them, changed where they lie.
//!
//! Rules of the unsafe code here: a slice is made of a tensor's memory only where its elements fill that stretch, are 32-bit
//! floats and on the CPU, and for no longer than one call of a closure, which gets no other handle of that tensor.
#![allow(unsafe_code)]
use super::optimizer::laid_out_as;
use efference_sdk::autograd::{bump_version, is_non_overlapping_and_dense, slice_in_memory_order};
use efference_sdk::{Result, ensure};
use tch::{Device, Kind, Tensor};

/// Calls `f` with the elements of `changed`, in the order in which they lie in memory, and with those of `read` in the same
/// order. All are different tensors of one shape.
pub(super) fn change<const N: usize>(
    changed: [&Tensor; N],
    read: Option<&Tensor>,
    f: impl FnOnce([&mut [f32]; N], &[f32]),
) -> Result<()> {
    let first = changed[0];
    for tensor in changed {
        let plain = tensor.kind() == Kind::Float && tensor.device() == Device::Cpu;
        ensure!(
            plain && is_non_overlapping_and_dense(tensor) && tensor.stride() == first.stride(),
            "this optimizer updates 32-bit floats on the CPU, and a parameter of shape {:?} is {:?} on {:?}; choose \
             another `kind` of optimizer for it, such as \"adam\"",
            tensor.size(),
            tensor.kind(),
            tensor.device()
        );
    }
    let read = read.map(|read| laid_out_as(first, read)).transpose()?;
    let read = read.as_ref().map_or(Ok(&[][..]), slice_in_memory_order)?;
    changed.into_iter().for_each(bump_version);
    // SAFETY: checked above; these are different tensors, and `f` has no other handle of them.
    f(
        changed.map(|t| unsafe { std::slice::from_raw_parts_mut(t.data_ptr().cast::<f32>(), t.numel()) }),
        read,
    );
    Ok(())
}

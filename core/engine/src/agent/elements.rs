//! Elements of parameters and of what optimizers keep of them, changed where they lie.
//!
//! Rules of the unsafe code here: a slice is made of a tensor's memory only where its elements fill that stretch, are 32-bit
//! floats and on the CPU, and for no longer than one call of a closure, which gets no other handle of that tensor.
#![allow(unsafe_code)]
use super::optimizer::laid_out_as;
use efference_sdk::autograd::{
    bump_version, contiguous_slice, count, is_contiguous_cpu_f32, is_non_overlapping_and_dense,
    slice_in_memory_order,
};
use efference_sdk::{Result, ensure};
use tch::{Device, Kind, Tensor};

/// Calls `f` with the elements of `changed`, in the order in which they lie in memory, and with those of `read` in the same
/// order; of `None` there are none. All are different tensors of one shape.
pub(super) fn change<const N: usize, const M: usize>(
    changed: [&Tensor; N],
    read: [Option<&Tensor>; M],
    f: impl FnOnce([&mut [f32]; N], [&[f32]; M]),
) -> Result<()> {
    let first = changed[0];
    for tensor in changed {
        ensure!(
            lies_as(tensor, first),
            "this optimizer updates 32-bit floats on the CPU, and a parameter of shape {:?} is {:?} on {:?}; choose \
             another `kind` of optimizer for it, such as \"adam\"",
            tensor.size(),
            tensor.kind(),
            tensor.device()
        );
    }
    let (elements, plain) = (count(first), is_contiguous_cpu_f32(first));
    let mut copies = [const { None }; M];
    let mut slices = [&[][..]; M];
    for ((slice, copy), read) in slices.iter_mut().zip(&mut copies).zip(read) {
        let Some(read) = read else { continue };
        *slice = match contiguous_slice(read).filter(|s| plain && s.len() == elements) {
            Some(slice) => slice,
            None => slice_in_memory_order(copy.insert(laid_out_as(first, read)?))?,
        };
    }
    changed.into_iter().for_each(bump_version);
    // SAFETY: checked above; these are different tensors, and `f` has no other handle of them.
    f(
        changed.map(|t| unsafe { std::slice::from_raw_parts_mut(t.data_ptr().cast::<f32>(), elements) }),
        slices,
    );
    Ok(())
}

/// Whether a tensor fills a stretch of memory with 32-bit floats on the CPU, in the order in which another one does.
fn lies_as(tensor: &Tensor, other: &Tensor) -> bool {
    if count(tensor) != count(other) {
        return false;
    }
    if is_contiguous_cpu_f32(tensor) && is_contiguous_cpu_f32(other) {
        return true;
    }
    let plain = tensor.kind() == Kind::Float && tensor.device() == Device::Cpu;
    plain && is_non_overlapping_and_dense(tensor) && tensor.stride() == other.stride()
}

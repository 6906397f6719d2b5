//! The elements of tensors as slices. `unsafe` is allowed in this file for two things: to read a tensor's elements as a
//! slice, after its kind, device and layout were checked, and to write those of a tensor without other handles.
#![allow(unsafe_code)]
use super::ffi;
use crate::{Error, Result, ensure};
use std::ops::{Deref, DerefMut};
use std::slice;
use tch::{Device, Kind, Tensor};

/// The elements of a contiguous f32 tensor on the CPU, in row-major order.
///
/// Nobody may write to the tensor meanwhile, by another handle of the same storage (`shallow_clone`, a view) or
/// on another thread. In an [`Op`](super::Op) that holds for inputs, saved tensors and gradients, as long as the
/// operation does not itself change them in place.
pub fn slice(tensor: &Tensor) -> Result<&[f32]> {
    match ffi::contiguous_f32(tensor) {
        Some((_, 0)) => Ok(&[]),
        // SAFETY: kind, device and layout were checked, so there are `count` f32 at the pointer; the tensor keeps them
        // alive for the lifetime of the result, and the documented condition keeps writers away.
        Some((data, count)) => Ok(unsafe { slice::from_raw_parts(data, count) }),
        None => Err(not_readable(tensor)),
    }
}

/// Whether a tensor is f32, on the CPU and contiguous, so that [`slice()`] can read it as it is.
pub fn is_contiguous_cpu_f32(tensor: &Tensor) -> bool {
    ffi::is_contiguous_f32(tensor)
}

/// The elements of a contiguous f32 tensor on the CPU, as [`slice()`]; `None` of any other one.
pub fn contiguous_slice(tensor: &Tensor) -> Option<&[f32]> {
    match ffi::contiguous_f32(tensor)? {
        (_, 0) => Some(&[]),
        // SAFETY: as in `slice`.
        (data, count) => Some(unsafe { slice::from_raw_parts(data, count) }),
    }
}

/// Changes the elements of a tensor, in the order in which they lie in memory, which must be
/// [non-overlapping and dense](is_non_overlapping_and_dense): in its own memory if this is its only handle, else in a copy
/// that takes its place.
pub fn change(tensor: &mut Tensor, f: impl FnOnce(&mut [f32])) -> Result<()> {
    if let Some((data, count)) = ffi::dense_f32(tensor)
        && count > 0
        && !tensor.requires_grad()
        && ffi::is_unique(tensor)
    {
        // SAFETY: kind, device and layout were checked, and this is the only handle, which is borrowed for the call.
        f(unsafe { slice::from_raw_parts_mut(data, count) });
        return Ok(());
    }
    let mut elements = OutputBuffer::empty_like(tensor)?;
    elements.copy_from_slice(slice_in_memory_order(tensor)?);
    f(&mut elements);
    *tensor = elements.into_tensor();
    Ok(())
}

/// Whether the elements of a tensor fill one stretch of memory, each once, in whatever order of its dims.
///
/// A parameter may be such: it keeps the strides that it was made with. So kernels may have a dim innermost that is not
/// the last, by a first value made with `permute(…).contiguous().permute(back)`. Its gradient should have the same
/// strides: see [`slice_in_memory_order`] and [`OutputBuffer::empty_like`].
pub fn is_non_overlapping_and_dense(tensor: &Tensor) -> bool {
    ffi::is_non_overlapping_and_dense(tensor)
}

/// The elements of a [non-overlapping and dense](is_non_overlapping_and_dense) f32 tensor on the CPU, in the order in
/// which they lie in memory; otherwise as [`slice()`].
pub fn slice_in_memory_order(tensor: &Tensor) -> Result<&[f32]> {
    match ffi::dense_f32(tensor) {
        Some((_, 0)) => Ok(&[]),
        // SAFETY: kind, device and layout were checked, so there are `count` f32 at the pointer; else as in `slice`.
        Some((data, count)) => Ok(unsafe { slice::from_raw_parts(data, count) }),
        None => Err(not_readable(tensor)),
    }
}

/// Where the elements of f32 tensors on the CPU lie, and how many each has, if all have as many, and in the same order: each is
/// contiguous, or all are [non-overlapping and dense](is_non_overlapping_and_dense) with the same shape and strides.
#[doc(hidden)]
pub fn elements_alike<const N: usize>(tensors: [&Tensor; N]) -> Option<([*mut f32; N], usize)> {
    let places = |of: fn(&Tensor) -> Option<(*mut f32, usize)>| {
        let (mut places, mut count) = ([std::ptr::null_mut(); N], None);
        for (place, tensor) in places.iter_mut().zip(tensors) {
            let (data, elements) = of(tensor)?;
            if *count.get_or_insert(elements) != elements {
                return None;
            }
            *place = data;
        }
        Some((places, count.unwrap_or_default()))
    };
    places(ffi::contiguous_f32).or_else(|| {
        let alike = tensors.iter().all(|tensor| same_strides(tensor, tensors[0]));
        if alike { places(ffi::dense_f32) } else { None }
    })
}

/// Rows and columns of a matrix; `None` of a tensor with more or fewer dims. [`Tensor::size2`] says the same by way of an
/// allocation and some hundred instructions more, which counts where tensors are small.
pub fn shape2(tensor: &Tensor) -> Option<[i64; 2]> {
    match ffi::shape::<2>(tensor) {
        (sizes, 2) => Some(sizes),
        _ => None,
    }
}

/// The size of a tensor's first dim; 0 of one without dims.
pub fn rows(tensor: &Tensor) -> i64 {
    ffi::shape::<1>(tensor).0[0]
}

/// Whether two tensors have the same shape; no if one of them is undefined.
pub fn same_shape(a: &Tensor, b: &Tensor) -> bool {
    ffi::same_shape(a, b)
}

/// Whether two tensors have the same shape and the same strides; no if one of them is undefined.
pub fn same_strides(a: &Tensor, b: &Tensor) -> bool {
    ffi::same_strides(a, b)
}

/// A handle of a tensor's memory without a history: [`Tensor::detach`], as [`shape2`] is [`Tensor::size2`].
pub fn detach(tensor: &Tensor) -> Result<Tensor> {
    ffi::detach(tensor).map_or_else(|| Ok(tensor.f_detach()?), Ok)
}

/// Part of a tensor along a dim: [`Tensor::narrow`], as [`shape2`] is [`Tensor::size2`].
pub fn narrow(tensor: &Tensor, dim: usize, start: i64, length: i64) -> Result<Tensor> {
    let short = ffi::narrow(tensor, dim, start, length);
    short.map_or_else(|| Ok(tensor.f_narrow(dim as i64, start, length)?), Ok)
}

/// How many elements a tensor has: [`Tensor::numel`], as [`shape2`] is [`Tensor::size2`].
pub fn count(tensor: &Tensor) -> usize {
    ffi::count(tensor)
}

/// Tensors on the CPU get their memory from an allocator that keeps small blocks when they are freed, by size. For a host, when
/// the process starts; a plugin leaves it alone.
#[doc(hidden)]
pub fn keep_small_blocks() {
    ffi::keep_blocks();
}

/// A matrix of so many rows, on the CPU.
///
/// # Errors
/// The elements do not divide into rows.
pub fn matrix(rows: usize, elements: &[f32]) -> Result<Tensor> {
    let columns = elements.len() / rows.max(1);
    ensure!(rows * columns == elements.len(), "{} elements do not divide into {rows} rows", elements.len());
    let mut matrix = OutputBuffer::empty(&[rows as i64, columns as i64])?;
    matrix.copy_from_slice(elements);
    Ok(matrix.into_tensor())
}

/// A tensor of one element, without dims, on the CPU.
pub fn scalar(value: f32) -> Result<Tensor> {
    let mut tensor = OutputBuffer::empty(&[])?;
    tensor[0] = value;
    Ok(tensor.into_tensor())
}

/// The value of a tensor of one element. If it is on another device, this waits for it.
pub fn item(tensor: &Tensor) -> Result<f64> {
    match ffi::contiguous_f32(tensor) {
        Some((_, 1)) => Ok(f64::from(slice(tensor)?[0])),
        _ if count(tensor) != 1 => {
            Err(Error::msg(format!("a tensor of shape {:?} does not hold one number", tensor.size())))
        }
        _ => Ok(tensor.f_reshape(&[] as &[i64])?.f_double_value(&[])?),
    }
}

fn not_readable(tensor: &Tensor) -> Error {
    if !tensor.defined() {
        return Error::msg("a tensor to be read is undefined");
    }
    let (kind, device) = (tensor.kind(), tensor.device());
    Error::msg(if kind != Kind::Float {
        format!("a tensor of kind {kind:?} cannot be read as f32: convert it first")
    } else if device != Device::Cpu {
        format!("a tensor on {device:?} cannot be read as a slice: move it to the CPU first")
    } else {
        "a tensor that is not contiguous cannot be read as a slice: f_contiguous first".to_owned()
    })
}

/// An f32 tensor on the CPU without other handles, to be written as a slice in row-major order (made by
/// [`empty_like`](OutputBuffer::empty_like): in the memory order of the other tensor).
#[derive(Debug)]
pub struct OutputBuffer {
    tensor: Tensor,
    // One call into libtorch, not one at each access.
    data: *mut f32,
    count: usize,
}

// SAFETY: the pointer goes into the tensor's storage, which moves with it, and tensors are `Send`. Sharing gives
// out `&[f32]` alone.
unsafe impl Send for OutputBuffer {}
// SAFETY: as above.
unsafe impl Sync for OutputBuffer {}

impl OutputBuffer {
    /// An uninitialised tensor, for a kernel that writes each element.
    pub fn empty(shape: &[i64]) -> Result<Self> {
        let (tensor, data) = ffi::empty(shape)?;
        Ok(Self::at(tensor, data, shape.iter().product::<i64>() as usize))
    }

    /// The same of the shape of another tensor.
    pub fn shaped_like(tensor: &Tensor) -> Result<Self> {
        let (made, data) = ffi::empty_shaped(tensor)?;
        Ok(Self::at(made, data, count(tensor)))
    }

    /// A tensor of zeros.
    pub fn zeros(shape: &[i64]) -> Result<Self> {
        // `torch::zeros` goes by way of the dispatcher: five times the time for a small tensor.
        let mut zeros = Self::empty(shape)?;
        zeros.fill(0.0);
        Ok(zeros)
    }

    /// The elements of `tensor`: in its own memory if this is its only handle, else in a copy.
    pub fn reuse(tensor: Tensor) -> Result<Self> {
        if is_contiguous_cpu_f32(&tensor) && !tensor.requires_grad() && ffi::is_unique(&tensor) {
            return Self::of(tensor);
        }
        let mut copy = Self::shaped_like(&tensor)?;
        copy.copy_from_slice(slice(&tensor.f_contiguous()?)?);
        Ok(copy)
    }

    /// An uninitialised tensor with the shape and strides of another, which must be
    /// [non-overlapping and dense](is_non_overlapping_and_dense).
    pub fn empty_like(tensor: &Tensor) -> Result<Self> {
        if !is_non_overlapping_and_dense(tensor) {
            return Err(not_readable(tensor));
        }
        Self::of(ffi::empty_like(tensor)?)
    }

    fn of(tensor: Tensor) -> Result<Self> {
        let (data, count) = ffi::dense_f32(&tensor).ok_or_else(|| not_readable(&tensor))?;
        Ok(Self::at(tensor, data, count))
    }

    fn at(tensor: Tensor, data: *mut f32, count: usize) -> Self {
        // A tensor of nothing may have a null pointer, which a slice must not.
        let data = if count == 0 { std::ptr::NonNull::dangling().as_ptr() } else { data };
        OutputBuffer { tensor, data, count }
    }

    /// The tensor.
    pub fn into_tensor(self) -> Tensor {
        self.tensor
    }
}

impl Deref for OutputBuffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        // SAFETY: a contiguous f32 CPU tensor of `count` elements, of which this is the only handle. They come from
        // an allocator outside Rust; any bits are an f32.
        unsafe { slice::from_raw_parts(self.data, self.count) }
    }
}

impl DerefMut for OutputBuffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as above.
        unsafe { slice::from_raw_parts_mut(self.data, self.count) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_be_read_is_read() {
        let t = Tensor::from_slice2(&[[1.0f32, 2.0], [3.0, 4.0]]);
        assert_eq!(slice(&t).unwrap(), [1.0, 2.0, 3.0, 4.0]);
        assert!(slice(&t.transpose(0, 1)).unwrap_err().to_string().contains("contiguous"));
        assert_eq!(slice(&t.transpose(0, 1).contiguous()).unwrap(), [1.0, 3.0, 2.0, 4.0]);
        assert!(slice(&t.to_kind(Kind::Double)).unwrap_err().to_string().contains("Double"));
        assert!(slice(&Tensor::new()).unwrap_err().to_string().contains("undefined"));
        assert!(slice(&Tensor::zeros([0, 3], (Kind::Float, Device::Cpu))).unwrap().is_empty());
    }

    #[test]
    fn only_a_tensor_without_other_handles_is_reused() {
        let mine = Tensor::from_slice(&[1.0f32, 2.0]);
        let place = mine.data_ptr();
        let mut output = OutputBuffer::reuse(mine).unwrap();
        output[0] = 3.0;
        let t = output.into_tensor();
        assert_eq!((slice(&t).unwrap(), t.data_ptr()), (&[3.0, 2.0][..], place));
        // A second handle, a view, and what is no plain memory are copied.
        for other in [
            t.shallow_clone(),
            t.narrow(0, 0, 2),
            t.detach(),
            Tensor::zeros([2, 2], (Kind::Float, Device::Cpu)).tr(),
        ] {
            let shape = other.size();
            let mut output = OutputBuffer::reuse(other).unwrap();
            output[0] = 4.0;
            assert_eq!(output.into_tensor().size(), shape);
        }
        assert_eq!(slice(&t).unwrap(), [3.0, 2.0]);
    }

    #[test]
    fn a_tensor_may_lie_in_another_order_than_that_of_its_dims() {
        let t = Tensor::from_slice2(&[[1.0f32, 2.0, 3.0], [4.0, 5.0, 6.0]]).tr();
        assert!(
            is_non_overlapping_and_dense(&t)
                && !is_contiguous_cpu_f32(&t)
                && !is_non_overlapping_and_dense(&t.narrow(0, 0, 2))
        );
        assert_eq!(slice_in_memory_order(&t).unwrap(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        assert!(
            slice_in_memory_order(&t.narrow(0, 0, 2)).is_err()
                && OutputBuffer::empty_like(&t.narrow(0, 0, 2)).is_err()
        );
        let mut other = OutputBuffer::empty_like(&t).unwrap();
        other.copy_from_slice(slice_in_memory_order(&t).unwrap());
        let other = other.into_tensor();
        assert_eq!(other.stride(), t.stride());
        assert!(other.equal(&t));
    }

    #[test]
    fn a_scalar_is_written_and_read() {
        let t = scalar(1.5).unwrap();
        assert_eq!((t.size(), item(&t).unwrap()), (vec![], 1.5));
        assert_eq!(item(&Tensor::from(2.5f64).reshape([1, 1])).unwrap(), 2.5);
        assert!(item(&Tensor::from_slice(&[1.0f32, 2.0])).unwrap_err().to_string().contains("one number"));
    }

    #[test]
    fn shapes_are_those_of_libtorch() {
        let of = |shape: &[i64]| Tensor::zeros(shape, (Kind::Float, Device::Cpu));
        assert_eq!((shape2(&of(&[3, 5])), rows(&of(&[3, 5])), count(&of(&[3, 5]))), (Some([3, 5]), 3, 15));
        assert_eq!((shape2(&of(&[])), rows(&of(&[])), count(&of(&[]))), (None, 0, 1));
        assert_eq!((shape2(&of(&[2, 3, 4])), rows(&of(&[2, 3, 4])), count(&of(&[0, 4]))), (None, 2, 0));
        assert_eq!((shape2(&Tensor::new()), rows(&Tensor::new()), count(&Tensor::new())), (None, 0, 0));
        assert_eq!(matrix(2, &[1.0, 2.0, 3.0, 4.0]).unwrap().double_value(&[1, 0]), 3.0);
        assert!(matrix(3, &[1.0]).is_err());
    }

    #[test]
    fn a_part_and_a_handle_without_a_history_are_those_of_libtorch() {
        let x = Tensor::from_slice2(&[[1.0f32, 2.0, 3.0], [4.0, 5.0, 6.0]]).set_requires_grad(true);
        let y = &x * 1.0;
        let bare = detach(&y).unwrap();
        assert!(!bare.requires_grad() && bare.is_leaf() && bare.data_ptr() == y.data_ptr());
        // A change by either handle is seen by graphs that saved the other.
        let graph = y.square().sum(Kind::Float);
        let _ = bare.shallow_clone().fill_(7.0);
        assert!(graph.f_backward().unwrap_err().to_string().contains("modified by an inplace operation"));
        assert_eq!(y.double_value(&[0, 0]), 7.0);

        for (dim, start, length) in [(0, 1, 1), (1, 1, 2), (1, 0, 3), (1, 3, 0)] {
            for of in [bare.shallow_clone(), bare.tr(), x.shallow_clone()] {
                let (dim, start) = (dim, start.min(of.size()[dim] - 1));
                let length = length.min(of.size()[dim] - start);
                let (found, expected) =
                    (narrow(&of, dim, start, length).unwrap(), of.narrow(dim as i64, start, length));
                assert_eq!((found.size(), found.stride()), (expected.size(), expected.stride()));
                assert_eq!(found.requires_grad(), expected.requires_grad());
                assert!(found.equal(&expected));
            }
        }
        assert!(narrow(&bare, 1, 2, 2).is_err() && narrow(&bare, 2, 0, 1).is_err());
        assert!(narrow(&bare, 1, -1, 1).is_ok_and(|last| last.size() == [2, 1]), "as libtorch counts it");
    }

    #[test]
    fn a_change_reaches_no_other_handle() {
        let double = |t: &mut [f32]| t.iter_mut().for_each(|x| *x *= 2.0);
        let mut only = Tensor::from_slice(&[1.0f32, 2.0]);
        let place = only.data_ptr();
        change(&mut only, double).unwrap();
        assert_eq!((slice(&only).unwrap(), only.data_ptr()), (&[2.0, 4.0][..], place));
        let other = only.shallow_clone();
        change(&mut only, double).unwrap();
        assert_eq!((slice(&only).unwrap(), slice(&other).unwrap()), (&[4.0, 8.0][..], &[2.0, 4.0][..]));
        let mut swapped = Tensor::from_slice2(&[[1.0f32, 2.0], [3.0, 4.0]]).tr();
        change(&mut swapped, |t| t[1] = 5.0).unwrap();
        assert_eq!(swapped.double_value(&[1, 0]), 5.0);
        assert!(change(&mut Tensor::from_slice(&[1i64]), double).is_err());
    }

    #[test]
    fn a_small_tensor_is_made_of_one_that_nobody_holds_any_more() {
        keep_small_blocks();
        let made = |shape: &[i64]| OutputBuffer::empty(shape).unwrap().into_tensor();
        let shape = [3, 1237];
        let first = made(&shape);
        let place = first.data_ptr();
        // What is held, if only by a view, is not taken.
        let view = first.narrow(0, 1, 1);
        assert_ne!(made(&shape).data_ptr(), place);
        drop(first);
        assert_ne!(made(&shape).data_ptr(), place);
        drop(view);
        // What it was before is gone: its place in a graph, its gradient, and what it was changed to.
        let old = made(&shape);
        let place = old.data_ptr();
        let _ = old.set_requires_grad(true);
        (&old * 2.0).sum(Kind::Float).backward();
        assert!(old.grad().defined());
        drop(old);
        let new = made(&shape);
        assert_eq!((new.data_ptr(), new.size(), new.stride()), (place, shape.to_vec(), vec![1237, 1]));
        assert!(!new.requires_grad() && new.is_leaf() && !new.grad().defined());
        // One of another shape, a resized one, and one with a swapped layout are others.
        assert_ne!(made(&[1237, 3]).data_ptr(), place);
        let mut new = new;
        let _ = new.resize_([2, 2]);
        drop(new);
        assert_eq!(made(&shape).size(), shape);
        assert_eq!(made(&[2, 2]).size(), [2, 2]);
        let mut swapped = made(&shape);
        let _ = swapped.t_();
        drop(swapped);
        assert_eq!(made(&shape).stride(), [1237, 1]);
        // On another thread, and when that has ended.
        let sent =
            std::thread::spawn(move || OutputBuffer::empty(&shape).unwrap().into_tensor()).join().unwrap();
        let place = sent.data_ptr();
        drop(sent);
        assert_eq!(made(&shape).data_ptr(), place);
    }

    #[test]
    fn tensors_that_are_held_share_no_memory() {
        let held: Vec<_> = (0..100).map(|_| OutputBuffer::zeros(&[16_000]).unwrap()).collect();
        drop(held);
        for i in 1..20_000 {
            drop(OutputBuffer::empty(&[i % 1000 + 1, 1]).unwrap());
        }
        let again: Vec<_> = (0..100).map(|i| matrix(1, &[i as f32; 64]).unwrap()).collect();
        for (i, t) in again.iter().enumerate() {
            assert!(slice(t).unwrap().iter().all(|x| *x == i as f32));
        }
    }

    #[test]
    fn outputs_are_filled() {
        let mut output = OutputBuffer::zeros(&[2, 2]).unwrap();
        output[3] = 1.0;
        let t = output.into_tensor();
        assert_eq!(t.size(), [2, 2]);
        assert_eq!(slice(&t).unwrap(), [0.0, 0.0, 0.0, 1.0]);
        assert!(OutputBuffer::empty(&[0]).unwrap().is_empty());
    }
}

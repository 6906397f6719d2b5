//! Elements of parameters and of what optimizers keep of them, changed where they lie.
//!
//! Rules of the unsafe code here: a slice is made of a tensor's memory only where its elements fill that stretch, are 32-bit
//! floats and on the CPU, and for no longer than one call of a closure, which gets no other handle of that tensor.
#![allow(unsafe_code)]
use efference_sdk::autograd::{
    bump_version, contiguous_slice, count, elements_alike, is_contiguous_cpu_f32, same_strides,
    slice_in_memory_order,
};
use efference_sdk::{Error, Result};
use std::ops::Range;
use tch::Tensor;

/// Gradients or traces of the parameters of a group.
#[derive(Clone, Copy)]
pub(super) enum Elements<'a> {
    /// Of each parameter a tensor, if it has one.
    Each(&'a [Option<&'a Tensor>]),
    /// The elements of all, one parameter after another, each as it lies in memory.
    All(&'a [f32]),
}

/// What of them belongs to one parameter.
#[derive(Clone, Copy)]
pub(super) enum Own<'a> {
    Tensor(&'a Tensor),
    Elements(&'a [f32]),
}

impl<'a> Elements<'a> {
    /// Those of parameter `i`, whose elements are at `place` among those of all.
    pub(super) fn of(self, i: usize, place: Range<usize>) -> Option<Own<'a>> {
        match self {
            Elements::Each(tensors) => tensors[i].map(Own::Tensor),
            Elements::All(all) => Some(Own::Elements(&all[place])),
        }
    }

    /// Those of each of these parameters.
    pub(super) fn of_all(self, parameters: &'a [(String, Tensor)]) -> impl Iterator<Item = Option<Own<'a>>> {
        let mut end = 0;
        parameters.iter().enumerate().map(move |(i, (_, p))| {
            let start = end;
            end += count(p);
            self.of(i, start..end)
        })
    }
}

impl<'a> Own<'a> {
    /// The elements, in the order in which they lie in memory.
    pub(super) fn elements(self) -> Result<&'a [f32]> {
        match self {
            Own::Tensor(tensor) => slice_in_memory_order(tensor),
            Own::Elements(elements) => Ok(elements),
        }
    }
}

/// Calls `f` with the elements of `changed`, in the order in which they lie in memory, and with those of `read` in the same
/// order; of `None` there are none. All are different tensors of one shape.
pub(super) fn change<const N: usize, const M: usize>(
    changed: [&Tensor; N],
    read: [Option<Own<'_>>; M],
    f: impl FnOnce([&mut [f32]; N], [&[f32]; M]),
) -> Result<()> {
    let first = changed[0];
    let (places, elements) = elements_alike(changed).ok_or_else(|| not_updated(first))?;
    let plain = is_contiguous_cpu_f32(first);
    let mut copies = [const { None }; M];
    let mut slices = [&[][..]; M];
    for ((slice, copy), read) in slices.iter_mut().zip(&mut copies).zip(read) {
        *slice = match read {
            None => continue,
            Some(Own::Elements(own)) => own,
            Some(Own::Tensor(own)) => match contiguous_slice(own).filter(|s| plain && s.len() == elements) {
                Some(slice) => slice,
                None => slice_in_memory_order(copy.insert(laid_out_as(first, own)?))?,
            },
        };
    }
    changed.into_iter().for_each(bump_version);
    if elements > 0 {
        // SAFETY: there are so many elements at each place; these are different tensors, and `f` has no other handle of them.
        f(places.map(|place| unsafe { std::slice::from_raw_parts_mut(place, elements) }), slices);
    }
    Ok(())
}

fn not_updated(tensor: &Tensor) -> Error {
    Error::msg(format!(
        "this optimizer updates 32-bit floats on the CPU, and a parameter of shape {:?} is {:?} on {:?}; choose another \
         `kind` of optimizer for it, such as \"adam\"",
        tensor.size(),
        tensor.kind(),
        tensor.device()
    ))
}

/// `g`, lying in memory as `p` does.
pub(super) fn laid_out_as(p: &Tensor, g: &Tensor) -> Result<Tensor> {
    let plain = is_contiguous_cpu_f32(g) && is_contiguous_cpu_f32(p);
    if (plain && count(g) == count(p)) || same_strides(g, p) {
        return Ok(g.shallow_clone());
    }
    let mut copy = p.f_empty_like()?;
    copy.f_copy_(g)?;
    Ok(copy)
}

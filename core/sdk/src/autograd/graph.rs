//! Backward passes through a recorded graph, and the gradients that leaves gather.
use super::data::same_shape;
use super::elementwise::add_elements;
use super::ffi;
use crate::{Result, ensure};
use tch::Tensor;

/// The gradients of `inputs`, from those of outputs: `roots` are pairs of an output and its gradient, which have the same
/// shape. `None` for an input that the outputs do not depend on. The graph is retained, for other passes through it;
/// nothing is added to the gradients that leaves gather. May be called within [`Op::backward`](super::Op::backward).
pub fn gradients(roots: &[(&Tensor, &Tensor)], inputs: &[&Tensor]) -> Result<Vec<Option<Tensor>>> {
    check_roots(roots)?;
    ffi::gradients(roots, inputs)
}

/// Runs backward from outputs whose gradients are known: `roots` are pairs of an output and its gradient, which have
/// the same shape. What arrives at leaves, such as parameters, is added to their gradients; the graph is freed.
///
/// [`Tensor::backward`] of a sum of products does the same, by way of more operations.
pub fn backward(roots: &[(&Tensor, &Tensor)]) -> Result<()> {
    check_roots(roots)?;
    ffi::backward(roots, add_elements)
}

fn check_roots(roots: &[(&Tensor, &Tensor)]) -> Result<()> {
    for (output, gradient) in roots {
        ensure!(
            same_shape(output, gradient),
            "an output of shape {:?} has a gradient of that shape, not of {:?}",
            output.size(),
            gradient.size()
        );
    }
    Ok(())
}

/// Removes the gradient gathered in a leaf, such as a parameter. Unlike one set to zero it is then undefined: the next
/// one is put there without adding, and without one an optimizer leaves the parameter alone.
pub fn clear_gradient(leaf: &Tensor) {
    ffi::clear_gradient(leaf);
}

/// Takes away the gradients gathered in leaves, all at once; `None` for one that has none. See [`clear_gradient`].
pub fn take_gradients(leaves: &[&Tensor]) -> Vec<Option<Tensor>> {
    ffi::take_gradients(leaves)
}

/// Holds what autograd keeps of a leaf that is recorded again and again, such as a parameter: its node in the graph, which is
/// otherwise made for each graph, and freed with it.
#[derive(Debug)]
pub struct HeldLeaf(#[expect(dead_code, reason = "it is held, and released when this is dropped")] ffi::Leaf);

impl HeldLeaf {
    /// `None` of a tensor that does not require gradients, or that is the result of a recorded operation.
    pub fn new(leaf: &Tensor) -> Option<Self> {
        ffi::Leaf::hold(leaf).map(HeldLeaf)
    }
}

/// Reports to autograd that a tensor's elements were changed through its memory, not by an operation of libtorch's.
///
/// A backward pass that saved the tensor before the change is then an error ("modified by an inplace operation"), as after
/// an operation in place; without this its gradients would silently be those of the new elements. Views and detached
/// handles share the counter.
pub fn bump_version(tensor: &Tensor) {
    ffi::bump_version(tensor);
}

//! Differentiable operations with a hand-written forward and backward, in safe Rust.
//!
//! A plugin whose mathematics is slow as a chain of libtorch's own operations writes both passes itself, on plain
//! slices, and libtorch's autograd calls them:
//!
//! ```
//! use efference_sdk::op::{Context, Gradients, Op, Output, apply, slice};
//! use efference_sdk::Result;
//! use efference_sdk::tch::{self, Tensor};
//!
//! /// y = x · w, number by number.
//! struct Scale;
//!
//! impl Op for Scale {
//!     const NAME: &'static str = "scale";
//!
//!     fn forward(&mut self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
//!         let (x, w) = (inputs[0].f_contiguous()?, inputs[1].f_contiguous()?);
//!         let mut y = Output::empty(&x.size())?;
//!         for (y, (x, w)) in y.iter_mut().zip(slice(&x)?.iter().zip(slice(&w)?)) {
//!             *y = x * w;
//!         }
//!         context.save(x);
//!         context.save(w);
//!         Ok(vec![y.into_tensor()])
//!     }
//!
//!     fn backward(&self, saved: &[Tensor], gradients: &Gradients<'_>) -> Result<Vec<Option<Tensor>>> {
//!         let Some(gy) = gradients.of_output(0) else { return Ok(vec![None, None]) };
//!         let gradient = |wanted, other: &Tensor| -> Result<Option<Tensor>> {
//!             Ok(if wanted { Some(gy.f_mul(other)?) } else { None })
//!         };
//!         Ok(vec![
//!             gradient(gradients.wanted(0), &saved[1])?,
//!             gradient(gradients.wanted(1), &saved[0])?,
//!         ])
//!     }
//! }
//!
//! let x = Tensor::from_slice(&[1.0f32, 2.0]).set_requires_grad(true);
//! let w = Tensor::from_slice(&[3.0f32, 4.0]);
//! let y = apply(Scale, &[&x, &w])?;
//! y[0].f_sum(tch::Kind::Float)?.f_backward()?;
//! assert_eq!(slice(&x.grad())?, [3.0, 4.0]);
//! # Ok::<(), efference_sdk::Error>(())
//! ```
//!
//! [`gradients`] runs backward through a graph that is kept, [`backward`] from outputs whose gradients are known, and
//! [`parallel`] spreads a kernel over libtorch's own threads.

mod apply;
mod data;
mod elementwise;
mod ffi;
pub mod math;
mod parallel;
mod simd;

pub use apply::{Context, Gradients, Op, apply};
pub use data::{Output, is_dense, is_plain, memory, number, scalar, slice};
#[doc(hidden)]
pub use elementwise::in_lanes_by;
pub use elementwise::sum_of;
pub use parallel::{parallel, threads};
pub use simd::{has_vectors, simd};

use crate::{Result, ensure};
use tch::Tensor;

/// The gradients of `inputs`, given those of outputs: `roots` are pairs of an output and its gradient, which have
/// the same shape. `None` for an input that the outputs do not depend on. The graph is kept, for other passes
/// through it; nothing is added to the gradients that leaves gather. May be called within [`Op::backward`].
pub fn gradients(roots: &[(&Tensor, &Tensor)], inputs: &[&Tensor]) -> Result<Vec<Option<Tensor>>> {
    check_roots(roots)?;
    ffi::gradients(roots, inputs)
}

/// Runs backward from outputs whose gradients are known: `roots` are pairs of an output and its gradient, which have
/// the same shape. What arrives at leaves, such as parameters, is added to their gradients; the graph is let go.
///
/// [`Tensor::backward`] of a sum of products does the same, by way of more operations.
pub fn backward(roots: &[(&Tensor, &Tensor)]) -> Result<()> {
    check_roots(roots)?;
    ffi::backward(roots)
}

fn check_roots(roots: &[(&Tensor, &Tensor)]) -> Result<()> {
    for (output, gradient) in roots {
        ensure!(
            output.size() == gradient.size(),
            "an output of shape {:?} has a gradient of that shape, not of {:?}",
            output.size(),
            gradient.size()
        );
    }
    Ok(())
}

/// Takes the gradient away that was gathered in a leaf, such as a parameter. Unlike one set to zero it is then
/// undefined: the next one is put there without adding, and without one an optimizer leaves the parameter alone.
pub fn clear_gradient(leaf: &Tensor) {
    ffi::clear_gradient(leaf);
}

//! Differentiable operations with a hand-written forward and backward, in safe Rust: custom operations of libtorch's
//! autograd ([`Op`]), custom VJPs of layers and cells ([`Vjp`]), and SIMD helpers for the loops in them.
//!
//! A plugin whose mathematics is slow as a chain of libtorch's own operations writes forward and backward itself, on
//! slices, and libtorch's autograd calls them:
//!
//! ```
//! use efference_sdk::autograd::{Context, Gradients, Op, OutputBuffer, apply, slice};
//! use efference_sdk::Result;
//! use efference_sdk::tch::{self, Tensor};
//!
//! /// y = x · w, elementwise.
//! struct Scale;
//!
//! impl Op for Scale {
//!     const NAME: &'static str = "scale";
//!
//!     fn forward(&mut self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
//!         let (x, w) = (inputs[0].f_contiguous()?, inputs[1].f_contiguous()?);
//!         let mut y = OutputBuffer::shaped_like(&x)?;
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
//!             gradient(gradients.needs_input_grad(0), &saved[1])?,
//!             gradient(gradients.needs_input_grad(1), &saved[0])?,
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
//! [`parallel`] spreads a kernel over the threads that the host has for it.

mod apply;
mod data;
mod dots;
mod elementwise;
mod ffi;
mod graph;
pub mod math;
mod op;
mod parallel;
mod shared_vjp;
mod simd;
pub(crate) mod vjp;
mod workers;

pub use apply::apply;
#[doc(hidden)]
pub use data::elements_alike;
pub use data::{
    OutputBuffer, change, contiguous_slice, count, detach, is_contiguous_cpu_f32,
    is_non_overlapping_and_dense, item, keep_small_blocks, matrix, narrow, rows, same_shape, same_strides,
    scalar, shape2, slice, slice_in_memory_order,
};
pub(crate) use dots::matrix_vector;
#[doc(hidden)]
pub use elementwise::elementwise_paths_by;
pub use elementwise::{copy_elements, sum_of};
#[doc(hidden)]
pub use ffi::grad_enabled;
pub use graph::{HeldLeaf, backward, bump_version, clear_gradient, gradients, take_gradients};
pub use op::{Context, Gradients, Op};
pub use parallel::{parallel, threads};
pub use shared_vjp::{NamedVjp, SharedVjp};
#[doc(hidden)]
pub use simd::simd_by;
pub use simd::{has_simd, simd};
pub use vjp::{GradInput, GradOutput, Vjp, pack_saved, required, unpack_saved};
pub use workers::{Task, run_tasks, set_workers, workers};

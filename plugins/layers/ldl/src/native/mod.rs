//! The layer by kernels of its own, for f32 on the CPU.
//!
//! A sub-layer mixes along one dim of a tensor. By libtorch's operations that is a transposed copy, a batched
//! product of small matrices, and some passes over all numbers for bias, skip connection and nonlinearity; the
//! arithmetic is a small part of the time. Here the kernels walk the tensor as it lies, a tile at a time, do all of
//! that while the tile is in the innermost cache, and keep only what the backward pass needs.
//!
//! [`Plan`] says where everything lies and is made once for each layer; [`Native`] is the layer made of it, for
//! libtorch's autograd and for callers that spare it.
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod backward;
mod blocks;
mod dispatch;
mod fold;
mod forward;
mod geometry;
mod gradient;
mod kernels;
mod leaf;
mod op;
mod packing;
#[allow(
    clippy::too_many_arguments,
    reason = "a pass takes what it takes: inputs, parameters, what was saved, and where to write"
)]
mod plan;
mod prefetch;
#[allow(
    clippy::needless_range_loop,
    reason = "the loops over rows and columns of register tiles read best so"
)]
mod products;
mod scratch;
#[allow(clippy::excessive_precision, reason = "coefficients as they were published")]
mod simd;
#[cfg(test)]
mod tests;
mod walk;

pub use op::{Native, fits, lay_out};
pub use plan::{GradientsOut, Parameters, Plan};

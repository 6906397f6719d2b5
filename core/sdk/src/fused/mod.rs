//! Chains of elementwise operations in one pass, forward and backward, on the CPU; elsewhere libtorch's own.
mod nonlinearity;
mod prediction;
mod residual;

pub(crate) use nonlinearity::{nonlinearity, rejoin};
pub(crate) use prediction::prediction;
pub(crate) use residual::{Residual, residual};

//! Building blocks of networks: stacks of layers with residuals, nonlinearities, the loss of a prediction, sparse
//! first weights, what a cell sees from outside.
//!
//! On the CPU each is one operation for autograd, one pass over memory forward and one backward; on other devices it is
//! composed of libtorch's operations.

mod nonlinearity;
mod normalised;
mod observed;
mod prediction;
mod prediction_loss;
mod residual;
mod shape;
mod sparsify;
mod stack;

pub use nonlinearity::Nonlinearity;
pub use normalised::Normalised;
pub use observed::Observed;
pub use prediction::{ObservationLoss, Prediction};
pub use shape::{check_forward, columns};
pub use sparsify::sparsify;
pub use stack::{Stack, StackSpec};

//! Building blocks: stacks of layers with residuals, nonlinearities, the loss of a prediction, what a cell sees from
//! outside; and for control, networks with
//! sparse first weights, policies, running normalisers, eligibility traces.
//!
//! On the CPU each is one operation for autograd, one pass over memory forward and one backward; on other devices it is
//! composed of libtorch's operations.

mod activation;
mod features;
mod feed_forward;
mod matrix;
mod nonlinearity;
mod normalised;
mod observation_reader;
mod observed;
mod plain;
mod policy;
mod prediction;
mod prediction_loss;
mod product;
mod residual;
mod running;
mod shape;
mod sparsify;
mod stack;
mod traces;

pub use features::{FeatureReader, Features};
pub use feed_forward::{FeedForward, FeedForwardSpec, Pass};
pub use matrix::Matrix;
pub use nonlinearity::Nonlinearity;
pub use normalised::Normalised;
pub use observation_reader::ObservationReader;
pub use observed::Observed;
pub use policy::{Policy, largest};
pub use prediction::{ObservationLoss, Prediction};
pub use running::{Normaliser, RewardScale};
pub use shape::{check_forward, columns};
pub use sparsify::sparsify;
pub use stack::{Stack, StackSpec};
pub use traces::Traces;

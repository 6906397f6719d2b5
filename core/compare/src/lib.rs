//! Compares runs: which is better, by how much, and whether there are seeds enough to say so; and where two runs part.
//!
//! Why which interval and which test: [`statistics`].
pub mod statistics;

mod better;
mod compare;
mod comparison;
mod curves;
mod difference;
mod error;
mod figure;
mod grouping;
mod member;
mod notes;
mod paired;
mod pairs;
mod provenance;
pub mod report;
mod request;
mod select;
mod sequential;
mod settings;
mod simulate;
mod strata;
mod tensorboard;
mod verdict;

pub use better::Better;
pub use compare::compare;
pub use comparison::{Comparison, Group, Pair, Run, Verdict};
pub use curves::Band;
pub use difference::{Difference, MetricDifference, arrays_that_differ};
pub use error::CompareError;
pub use figure::{Axis, FigureKind};
pub use member::{Member, read_members};
pub use paired::{mean_and_deviation, pairs_needed};
pub use provenance::provenance_differences;
pub use request::Request;
pub use select::find_runs;
pub use sequential::{SequentialTest, Standing};
pub use simulate::{Noise, Outcome, Truth, simulate};
pub use tensorboard::write_tensorboard;

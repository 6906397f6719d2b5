//! Is A better than B? Statistics over the seeds of runs, verdicts, tables, plots; and where two runs part.
mod difference;
mod provenance;

pub use difference::{Difference, MetricDifference, arrays_that_differ};
pub use provenance::provenance_differences;

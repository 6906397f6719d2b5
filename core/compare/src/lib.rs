//! Is A better than B? Statistics over the seeds of runs, verdicts, tables, plots.

mod paired;
mod sequential;
mod simulate;

pub use paired::{mean_and_deviation, pairs_needed};
pub use sequential::{SequentialTest, Standing};
pub use simulate::{Noise, Outcome, Truth, simulate};

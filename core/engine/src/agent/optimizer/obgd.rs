//! Overshooting-bounded gradient descent (Elsayed et al., "Streaming deep reinforcement learning finally works", arXiv
//! 2410.14606).
use super::{Optimizer, Rows};
use crate::agent::elements::change;
use efference_sdk::autograd::{count, sum_of};
use efference_sdk::{Result, simd};
use tch::Tensor;

/// How much smaller than the step that would just not overshoot steps stay: for a value, and for what an error weighs.
const KAPPA: [f64; 2] = [2.0, 3.0];

impl Optimizer {
    /// With `z` the traces and `δ` the errors of the rows, over all parameters of the group
    ///
    /// ```text
    /// M = kappa · Σ_rows max(|δ|, 1) · ‖z‖₁
    /// p ← p + Σ_rows δ · z / max(1, M)
    /// ```
    pub(super) fn follow_bounded(&mut self, parameters: &[(String, Tensor)], rows: &Rows<'_>) -> Result<()> {
        let kappa = self.settings.kappa.unwrap_or(KAPPA[usize::from(rows.weighs)]);
        let mut bound = 0.0;
        for row in &rows.rows {
            let mut norm = 0.0;
            for trace in row.traces.of_all(parameters).flatten() {
                let trace = trace.elements()?;
                norm += simd!(sum_of(trace, trace, |z, _| z.abs()));
            }
            bound += kappa * row.error.abs().max(1.0) * norm;
        }
        let mut end = 0;
        for (i, (name, p)) in parameters.iter().enumerate() {
            let place = end..end + count(p);
            end = place.end;
            let traces =
                rows.rows.iter().filter_map(|row| Some((row.error, row.traces.of(i, place.clone())?)));
            for (error, trace) in traces {
                let step = (error / bound.max(1.0)) as f32;
                change([p], [Some(trace)], |[p], [z]| {
                    simd!(p.iter_mut().zip(z).for_each(|(p, z)| *p += step * z));
                })?;
            }
            self.count_update(i, name, p);
        }
        Ok(())
    }
}

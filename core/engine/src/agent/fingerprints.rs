//! Fingerprints of what a step computed: the loss, and each parameter group's gradient and parameters.
use super::elements::Own;
use efference_runs::Fingerprint;

/// Elements of a tensor that are looked at, spread over all of it. A difference in an update reaches nearly all elements
/// of a group, and one that reaches few others shows in the next observation or loss.
const SAMPLES: usize = 16;

/// The fingerprints of one parameter group in one step.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct GroupFingerprint {
    pub(super) gradient: Fingerprint,
    pub(super) parameters: Fingerprint,
    /// Whether anything was added.
    pub(super) updated: bool,
}

/// Adds elements of a tensor, in the order in which they lie in memory. On a GPU this would wait for it: nothing is added.
pub(super) fn add(to: &mut Fingerprint, own: Own<'_>) {
    let Ok(elements) = own.elements() else { return };
    let stride = elements.len().div_ceil(SAMPLES).max(1);
    elements.iter().step_by(stride).for_each(|x| to.add(x.to_bits()));
}

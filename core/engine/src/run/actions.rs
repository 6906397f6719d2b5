//! What is done of what a goal asks for, and what was done before.
use efference_sdk::ActionGroup;
use efference_sdk::autograd::matrix;
use efference_sdk::tch::Tensor;
use std::collections::HashMap;

/// Turns what a goal asks for into what is done, in place: a value is limited to −1…1; of a choice the largest element
/// becomes 1 and the others 0 (of equal ones, the first).
pub(super) fn perform(groups: &[ActionGroup], action: &mut [f32]) {
    let mut rest = action;
    for group in groups {
        let (own, left) = rest.split_at_mut(group.width());
        rest = left;
        if group.choices == 0 {
            own[0] = own[0].clamp(-1.0, 1.0);
            continue;
        }
        let mut chosen = 0;
        for (i, x) in own.iter().enumerate() {
            if *x > own[chosen] {
                chosen = i;
            }
        }
        own.fill(0.0);
        own[chosen] = 1.0;
    }
}

/// The last action of each stream: the efference copy.
#[derive(Debug, Default)]
pub(super) struct LastActions {
    of: HashMap<u64, Vec<f32>>,
    rows: Vec<f32>,
}

impl LastActions {
    /// Keeps what a stream did.
    pub(super) fn keep(&mut self, stream: u64, action: &[f32]) {
        let own = self.of.entry(stream).or_default();
        own.clear();
        own.extend_from_slice(action);
    }

    /// What a stream did last.
    pub(super) fn of(&self, stream: u64) -> Option<&[f32]> {
        self.of.get(&stream).map(Vec::as_slice)
    }

    /// What each stream did.
    pub(super) fn all(&self) -> impl Iterator<Item = (u64, &[f32])> {
        self.of.iter().map(|(stream, action)| (*stream, action.as_slice()))
    }

    /// Forgets a stream's action: it has ended, or what it did was ignored.
    pub(super) fn forget(&mut self, stream: u64) {
        self.of.remove(&stream);
    }

    /// One row a stream: what it did, or NaN; (rows, width of the longest).
    pub(super) fn tensor(&mut self, streams: &[u64]) -> efference_sdk::Result<Tensor> {
        let of = |stream| self.of.get(stream).map_or(&[][..], Vec::as_slice);
        let width = streams.iter().map(|s| of(s).len()).max().unwrap_or_default();
        self.rows.clear();
        for (i, stream) in streams.iter().enumerate() {
            self.rows.extend_from_slice(of(stream));
            self.rows.resize((i + 1) * width, f32::NAN);
        }
        matrix(streams.len(), &self.rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_choice_the_largest_element_is_done_and_a_value_is_limited() {
        let mut action = [-0.5, -0.1, -0.9, 3.0, 0.2, 0.2];
        let groups = [ActionGroup::choice(3), ActionGroup::VALUE, ActionGroup::choice(2)];
        perform(&groups, &mut action);
        assert_eq!(action, [0.0, 1.0, 0.0, 1.0, 1.0, 0.0]);
    }

    #[test]
    fn a_stream_without_a_past_has_done_nothing() {
        let mut last = LastActions::default();
        last.keep(7, &[1.0, 0.0]);
        last.keep(8, &[0.5]);
        let rows = last.tensor(&[8, 7, 9]).unwrap();
        let shown: Vec<_> = Vec::<f32>::try_from(rows.flatten(0, -1)).unwrap();
        assert_eq!(format!("{shown:?}"), "[0.5, NaN, 1.0, 0.0, NaN, NaN]");
        last.forget(7);
        last.forget(8);
        assert_eq!(last.tensor(&[7, 8]).unwrap().size(), [2, 0]);
    }
}

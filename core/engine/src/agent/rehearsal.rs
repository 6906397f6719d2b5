//! What is written down of an agent that only rehearses: it makes steps whose layers compute nothing, so that what a step
//! costs is known before anything is allocated for it.
use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a rehearsal has seen so far.
#[derive(Debug, Default)]
pub(super) struct Rehearsal(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    /// Bytes that layers have saved for a backward pass that has not come yet.
    saved: u64,
    most_saved: u64,
    /// Whether the last pass of a layer was a backward one.
    backward: bool,
    updates: u64,
    overflowed: bool,
    /// Bytes of the tensors that were added.
    added: u64,
    descents: BTreeSet<(String, String)>,
}

/// What a layer keeps for its backward pass, in multiples of its input and output: those themselves, and as much again for
/// what lies between them and what the cell keeps around them.
const SAVED: u64 = 2;

impl Rehearsal {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        // Numbers are whole whatever panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A forward pass of a layer, `elements` in and out in all, whose backward pass will come.
    pub(super) fn forward(&self, elements: u64) {
        let mut seen = self.seen();
        if std::mem::take(&mut seen.backward) {
            seen.saved = 0;
        }
        let bytes = elements.saturating_mul(SAVED * size_of::<f32>() as u64);
        seen.saved = seen.saved.saturating_add(bytes);
        seen.most_saved = seen.most_saved.max(seen.saved);
    }

    /// A backward pass of a layer.
    pub(super) fn backward(&self) {
        self.seen().backward = true;
    }

    /// An update, whose backward passes have freed what was saved.
    pub(super) fn update(&self) {
        let mut seen = self.seen();
        seen.updates += 1;
        seen.backward = true;
    }

    /// An update whose moments are kept under a name.
    pub(super) fn descend(&self, name: &str, group: &str) {
        self.seen().descents.insert((name.to_owned(), group.to_owned()));
        self.update();
    }

    /// How often the trainer has used gradients.
    pub(super) fn updates(&self) -> u64 {
        self.seen().updates
    }

    /// A tensor of so many bytes was added.
    pub(super) fn add(&self, bytes: u64) {
        let mut seen = self.seen();
        seen.added = seen.added.saturating_add(bytes);
    }

    /// Bytes of the tensors that were added.
    pub(super) fn added(&self) -> u64 {
        self.seen().added
    }

    /// A parameter was refused because there are too many.
    pub(super) fn overflow(&self) {
        self.seen().overflowed = true;
    }

    /// Whether parameters were refused because there are too many.
    pub(super) fn overflowed(&self) -> bool {
        self.seen().overflowed
    }

    /// The most bytes that layers had saved at once.
    pub(super) fn most_saved(&self) -> u64 {
        self.seen().most_saved
    }

    /// The names that moments are kept under, each with its parameter group.
    pub(super) fn descents(&self) -> Vec<(String, String)> {
        self.seen().descents.iter().cloned().collect()
    }
}

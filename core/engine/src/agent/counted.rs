//! What an agent that only rehearses would take.
use super::model::Model;
use super::store::bytes_of;
use efference_sdk::{Error, Trainer};

/// What came of building an agent that only rehearses.
pub(crate) enum Rehearsed {
    /// It can be built, and here it is.
    Built(Box<Model>, Box<dyn Trainer>),
    /// It has more parameters and buffers than these, and was given up.
    TooManyTensors(usize),
    /// It cannot be built; and how many bytes its parameters had taken until then.
    Failed(Error, u64),
}

/// What an agent takes by itself, whatever its environment. Bytes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counted {
    /// Elements that are trained.
    pub(crate) trained: u64,
    /// Of parameters and buffers.
    pub(crate) tensors: u64,
    /// Of the gradients of all parameters.
    pub(crate) gradients: u64,
    /// Of what the optimizers keep.
    pub(crate) moments: u64,
}

impl Model {
    /// What it takes, or would take if it does not only rehearse.
    pub(crate) fn counted(&self) -> Counted {
        let mut counted = Counted::default();
        let sums = self.store.for_each("", |entry| {
            let (elements, bytes) = (entry.tensor.numel() as u64, bytes_of(&entry.tensor));
            counted.tensors = counted.tensors.saturating_add(bytes);
            if entry.trainable {
                counted.trained = counted.trained.saturating_add(elements);
                counted.gradients = counted.gradients.saturating_add(bytes);
            }
            Ok(())
        });
        debug_assert!(sums.is_ok(), "nothing in it fails");
        let descents = self.rehearsal.as_ref().map(|r| r.descents()).unwrap_or_default();
        counted.moments = self.optimizers.borrow().moment_bytes(&self.store, &descents);
        counted
    }

    /// How often the trainer has used gradients in a rehearsal, and the most bytes that layers had saved at once.
    pub(crate) fn rehearsed(&self) -> (u64, u64) {
        self.rehearsal.as_ref().map_or((0, 0), |r| (r.updates(), r.most_saved()))
    }
}

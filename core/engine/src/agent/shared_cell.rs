//! The experiment's cell, shared with autograd's graph.
use efference_sdk::Cell;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The experiment's cell, which autograd's graph may hold longer than the agent.
#[derive(Clone)]
pub struct SharedCell(Arc<Mutex<Box<dyn Cell>>>);

impl SharedCell {
    /// Takes the cell.
    pub fn new(cell: Box<dyn Cell>) -> Self {
        SharedCell(Arc::new(Mutex::new(cell)))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Box<dyn Cell>> {
        // A panic within leaves behind only what belongs to the plugin that panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

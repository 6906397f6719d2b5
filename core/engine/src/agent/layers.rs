//! Layers of the experiment's kind: made here, and called after updates.
//!
//! Rules of the unsafe code here: a layer is shared between whoever it was made for and this list, and both call it from
//! one thread at a time, as the boundary asks: the list only from within an update, during which no layer computes.
#![allow(unsafe_code)]
use super::config::PluginConfig;
use super::rehearsal::Rehearsal;
use super::rehearsed_layer::RehearsedLayer;
use crate::plugins::CallMonitor;
use efference_sdk::{Layer, LayerFactory, LayerSetup, Params, Result, Saved, Size, Stage, Vjp, WeightLayout};
use std::cell::RefCell;
use std::ops::Range;
use std::sync::{Arc, Weak};
use tch::Tensor;

/// Makes layers, and remembers them as long as they live.
pub(super) struct Layers {
    config: PluginConfig,
    monitor: Arc<CallMonitor>,
    /// Of an agent that only rehearses: its layers compute nothing.
    rehearsal: Option<Arc<Rehearsal>>,
    made: RefCell<Vec<(Size, Weak<Shared>)>>,
}

impl Layers {
    pub(super) fn new(
        config: PluginConfig,
        monitor: Arc<CallMonitor>,
        rehearsal: Option<Arc<Rehearsal>>,
    ) -> Self {
        Layers { config, monitor, rehearsal, made: RefCell::default() }
    }

    /// Tells all layers that their parameters were updated in this step.
    pub(super) fn updated(&self, step: u64) -> Result<()> {
        tch::no_grad(|| self.try_for_each(|layer, _| layer.updated(step)))
    }

    /// Goes over all layers.
    pub(super) fn try_for_each(&self, f: impl Fn(&dyn Layer, Size) -> Result<()>) -> Result<()> {
        for (size, layer) in &*self.made.borrow() {
            if let Some(layer) = layer.upgrade() {
                f(&*layer.0, *size)?;
            }
        }
        Ok(())
    }
}

impl LayerFactory for Layers {
    fn make(&self, size: Size, params: &Params<'_>) -> Result<Box<dyn Layer>> {
        let setup = LayerSetup { size, params: params.clone() };
        let (layer, cost) =
            self.config.plugin.create_layer_with_cost(&self.config.options, &setup, &self.monitor)?;
        if let Some(rehearsal) = &self.rehearsal {
            let (monitor, rehearsal) = (self.monitor.clone(), rehearsal.clone());
            return Ok(Box::new(RehearsedLayer::new(layer, cost, monitor, rehearsal)?));
        }
        let layer = Arc::new(Shared(layer));
        let mut made = self.made.borrow_mut();
        made.retain(|(_, layer)| layer.strong_count() > 0);
        made.push((size, Arc::downgrade(&layer)));
        Ok(Box::new(Owned(layer)))
    }
}

struct Shared(Box<dyn Layer>);

// SAFETY: by the rules above.
unsafe impl Sync for Shared {}

/// The layer as whoever it was made for has it.
struct Owned(Arc<Shared>);

impl Layer for Owned {
    fn forward(&self, x: &Tensor, outs: Range<i64>) -> Result<Tensor> {
        self.0.0.forward(x, outs)
    }

    fn vjp(&self) -> Option<&dyn Vjp> {
        self.0.0.vjp()
    }

    fn multiply_accumulates(&self) -> Result<Option<u64>> {
        self.0.0.multiply_accumulates()
    }

    fn weights(&self) -> Result<Vec<WeightLayout>> {
        self.0.0.weights()
    }

    fn connections(&self) -> Result<Vec<Stage>> {
        self.0.0.connections()
    }

    fn units(&self) -> Result<Saved> {
        self.0.0.units()
    }

    fn matrix(&self) -> Result<Vec<Tensor>> {
        self.0.0.matrix()
    }
}

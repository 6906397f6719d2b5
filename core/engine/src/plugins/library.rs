//! Plugins that were loaded, and what they make.
//!
//! Rules of the unsafe code here: a library's table is that of a library that was accepted and is never unloaded, and its
//! functions are called by the SDK's bridge, which knows their types by the entry's kind.
#![allow(unsafe_code)]
use super::float_mode::FloatMode;
use super::load::{Loading, table};
use super::monitor::ObjectMonitor;
use super::op_count::CostModel;
use super::{CallMonitor, PluginInfo, Refusal, services};
use efference_abi::{Entry, Library};
use efference_sdk::bridge::{self, Caller};
use efference_sdk::{Layer, LayerSetup, Outline, PluginId, PluginKind, Result, ResultExt};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A plugin that was loaded. Its library stays loaded until the process ends: libtorch's autograd may call into
/// it as long as any tensor lives.
#[derive(Clone)]
pub struct Plugin {
    /// What its library says of it.
    pub info: PluginInfo,
    /// Its library.
    pub file: PathBuf,
    entry: &'static Entry,
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self} in {}", self.file.display())
    }
}

impl std::fmt::Display for Plugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} '{}'", self.info.kind.name(), self.info.name)
    }
}

impl Plugin {
    pub(super) fn load(file: &Path, info: &PluginInfo) -> Result<Plugin, Refusal> {
        super::working_directory::remember();
        let _call = Loading::begin(file);
        let float_mode = FloatMode::now();
        let library = table(file)?;
        // SAFETY: as in `table`; a second start of the same library is ignored by it.
        unsafe { bridge::init(library.init, services::HOST) }
            .map_err(|e| Refusal::Init { file: file.into(), reason: format!("{e:#}") })?;
        let entry = entries(library)
            // SAFETY: names are constants of the library.
            .find(|e| e.kind == info.kind as u32 && unsafe { bridge::read_str(e.name) } == info.name)
            .ok_or_else(|| Refusal::MissingEntry {
                file: file.into(),
                plugin: format!("{} '{}'", info.kind.name(), info.name),
            })?;
        if FloatMode::now() != float_mode {
            float_mode.restore();
            tracing::warn!(
                "{}: when it was loaded it changed the processor's floating-point mode, as libraries do that were linked \
                 with -ffast-math; it was set back",
                file.display()
            );
        }
        Ok(Plugin { info: info.clone(), file: file.into(), entry })
    }

    /// The JSON Schema of its options.
    pub fn schema(&self) -> Result<Value> {
        let _call = Loading::begin(&self.file);
        bridge::options_schema(self.entry).with_context(|| format!("{self}: options"))
    }

    /// Lets the plugin read its options and do nothing else. An error names the option that is wrong.
    pub fn check_options(&self, options: &Value) -> Result<()> {
        let _call = Loading::begin(&self.file);
        bridge::check_options(self.entry, options)
    }

    /// What these options say of it before it is made.
    pub(crate) fn outline(&self, options: &Value) -> Result<Outline> {
        bridge::outline(self.entry, options).map_err(|e| e.in_plugin(&self.id()))
    }

    /// Which plugin it is, in errors.
    pub fn id(&self) -> PluginId {
        PluginId { kind: self.info.kind, name: self.info.name.clone() }
    }

    /// Makes an object of the plugin, whose calls are checked by `monitor`: `plugin.create::<dyn Goal>(…)`.
    pub fn create<K: ?Sized + PluginKind>(
        &self,
        options: &Value,
        setup: &K::Setup<'_>,
        monitor: &Arc<CallMonitor>,
    ) -> Result<Box<K>> {
        bridge::create(
            self.entry,
            options,
            setup,
            Caller::new(self.id(), ObjectMonitor::new(self.id(), monitor)),
        )
    }

    /// Makes a layer, whose work is counted. Its parameters are the tensors that it adds to the setup's store.
    pub fn create_layer(
        &self,
        options: &Value,
        setup: &LayerSetup<'_>,
        monitor: &Arc<CallMonitor>,
    ) -> Result<Box<dyn Layer>> {
        Ok(self.create_layer_with_cost(options, setup, monitor)?.0)
    }

    /// The same, with the cost that its work is counted by.
    pub(crate) fn create_layer_with_cost(
        &self,
        options: &Value,
        setup: &LayerSetup<'_>,
        monitor: &Arc<CallMonitor>,
    ) -> Result<(Box<dyn Layer>, CostModel)> {
        let before = setup.params.tensors()?.len();
        let monitor = ObjectMonitor::new(self.id(), monitor);
        let layer: Box<dyn Layer> =
            bridge::create(self.entry, options, setup, Caller::new(self.id(), monitor.clone()))?;
        let tensors: Vec<_> = setup.params.tensors()?.into_iter().skip(before).collect();
        let cost = CostModel {
            ins: setup.size.ins as u64,
            outs: setup.size.outs as u64,
            parameters: tensors.iter().map(|(_, t)| t.numel() as u64).sum(),
            trained: tensors.iter().filter(|(_, t)| t.requires_grad()).count(),
            multiply_accumulates: layer.multiply_accumulates()?,
        };
        let _ = monitor.cost.set(cost);
        Ok((layer, cost))
    }
}

/// The entries of a library's own table, which lie as far apart as its maker's are long.
fn entries(library: &'static Library) -> impl Iterator<Item = &'static Entry> {
    let Library { entries: mut next, entry_count, .. } = *library;
    (0..entry_count).map(move |_| {
        // SAFETY: `entry_count` entries lie there, each of which begins with its size.
        unsafe {
            let entry = &*next;
            next = next.byte_add(entry.size);
            entry
        }
    })
}

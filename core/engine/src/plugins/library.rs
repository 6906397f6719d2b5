//! Loads libraries and makes what their plugins make.
//!
//! Rules of the unsafe code here: a library is opened after [`FileManifest`](super::FileManifest) accepted its file
//! and the libraries that it needs are those of this process; its table is read after that, and its functions
//! are called by the SDK's bridge, which knows their types by the entry's kind.
#![allow(unsafe_code)]
use super::float_mode::FloatMode;
use super::monitor::ObjectMonitor;
use super::op_count::CostModel;
use super::{CallMonitor, PluginInfo, Refusal, services};
use efference_abi::{ENTRY_SYMBOL, Entry, Library};
use efference_sdk::bridge::{self, Caller};
use efference_sdk::{Error, Layer, LayerSetup, Outline, PluginId, PluginKind, Result, ResultExt};
use efference_supervision::{Call, of_this_process};
use libloading::os::unix::{Library as Handle, RTLD_LOCAL, RTLD_NOW};
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
    pub(super) fn load(file: &Path, needed: &[String], info: &PluginInfo) -> Result<Plugin, Refusal> {
        check_needed(file, needed)?;
        super::working_directory::remember();
        let _call = Loading::begin(file);
        let unloadable = |e: libloading::Error| {
            // The innermost message is the system's own; those before it say that there is one.
            let reason = Error::from(e).chain().last().unwrap_or_default().to_owned();
            Refusal::Unloadable { file: file.into(), reason }
        };
        let float_mode = FloatMode::now();
        // SAFETY: the file's manifest was accepted, so its initialisers are those of a plugin for this host.
        let handle = unsafe { Handle::open(Some(file), RTLD_NOW | RTLD_LOCAL | libc::RTLD_NODELETE) };
        let handle = handle.map_err(unloadable)?;
        // SAFETY: the manifest says that the symbol is a static `Library` of this boundary, and it is never unloaded.
        let library: &'static Library = unsafe {
            let symbol = handle.get::<*const Library>(ENTRY_SYMBOL.as_bytes()).map_err(unloadable)?;
            &**symbol
        };
        std::mem::forget(handle);
        // SAFETY: as above; a second start of the same library is ignored by it.
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
            trained: tensors.iter().any(|(_, t)| t.requires_grad()),
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

/// That code of a library runs which is not called by the name of a plugin yet: its constructors, its start.
struct Loading {
    around: Call,
}

impl Loading {
    fn begin(file: &Path) -> Loading {
        let activity = of_this_process();
        let name = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy();
        let library = activity.plugin(&format!("library '{name}'"));
        Loading { around: activity.enter(Call::new(library, activity.method("being loaded"))) }
    }
}

impl Drop for Loading {
    fn drop(&mut self) {
        of_this_process().leave(self.around);
    }
}

/// A second libtorch in the process ends it inside `dlopen`, where nothing can be caught: so a library that
/// needs one that is not loaded yet is refused.
fn check_needed(file: &Path, needed: &[String]) -> Result<(), Refusal> {
    for library in needed.iter().filter(|n| n.starts_with("libtorch") || n.starts_with("libc10")) {
        // SAFETY: with RTLD_NOLOAD nothing is loaded, so nothing runs.
        let there = unsafe { Handle::open(Some(library), RTLD_NOW | libc::RTLD_NOLOAD) };
        if there.is_err() {
            return Err(Refusal::NeedsOtherLibrary { file: file.into(), library: library.clone() });
        }
    }
    Ok(())
}

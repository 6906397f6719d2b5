//! Loads libraries and makes what their plugins make.
//!
//! Rules of the unsafe code here: a library is opened after [`FileStamp`](super::FileStamp) accepted its file
//! and the libraries that it needs are those of this process; its table is read after that, and its functions
//! are called by the SDK's boundary, which knows their types by the entry's kind.
#![allow(unsafe_code)]
use super::guard::Guarded;
use super::{Health, Listed, Refusal, kind_name, services};
use efference_abi::{ENTRY_SYMBOL, Entry, Kind, Library};
use efference_sdk::{
    AnyCell, AnyEnvironment, AnyGoal, AnyLayer, AnyTrainer, EnvironmentSetup, Error, LayerFactory, Params,
    Result, ResultExt, Size, TrainerSetup, boundary,
};
use libloading::os::unix::{Library as Handle, RTLD_LOCAL, RTLD_NOW};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A plugin that was loaded. Its library stays loaded until the process ends: libtorch's autograd may call into
/// it as long as any tensor lives.
#[derive(Clone)]
pub struct Plugin {
    /// What its library says of it.
    pub listed: Listed,
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
        write!(f, "{} '{}'", kind_name(self.listed.kind), self.listed.name)
    }
}

impl Plugin {
    pub(super) fn load(file: &Path, needed: &[String], listed: &Listed) -> Result<Plugin, Refusal> {
        check_needed(file, needed)?;
        let unloadable = |e: libloading::Error| {
            // The innermost message is the system's own; those before it say that there is one.
            let reason = Error::from(e).chain().last().unwrap_or_default().to_owned();
            Refusal::Unloadable { file: file.into(), reason }
        };
        // SAFETY: the file's stamp was accepted, so its initialisers are those of a plugin for this host.
        let handle = unsafe { Handle::open(Some(file), RTLD_NOW | RTLD_LOCAL | libc::RTLD_NODELETE) };
        let handle = handle.map_err(unloadable)?;
        // SAFETY: the stamp says that the symbol is a static `Library` of this boundary, and it is never unloaded.
        let library: &'static Library = unsafe {
            let symbol = handle.get::<*const Library>(ENTRY_SYMBOL.as_bytes()).map_err(unloadable)?;
            &**symbol
        };
        std::mem::forget(handle);
        // SAFETY: as above; a second start of the same library is ignored by it.
        unsafe { boundary::init(library.init, services::HOST) }
            .map_err(|e| Refusal::Init { file: file.into(), reason: format!("{e:#}") })?;
        // SAFETY: the library's own table.
        let entries = unsafe { std::slice::from_raw_parts(library.entries, library.entry_count) };
        let entry = entries
            .iter()
            // SAFETY: names are constants of the library.
            .find(|e| e.kind == listed.kind as u32 && unsafe { boundary::see_str(e.name) } == listed.name)
            .ok_or_else(|| Refusal::MissingEntry {
                file: file.into(),
                plugin: format!("{} '{}'", kind_name(listed.kind), listed.name),
            })?;
        Ok(Plugin { listed: listed.clone(), file: file.into(), entry })
    }

    /// The JSON Schema of its options.
    pub fn schema(&self) -> Result<Value> {
        boundary::options_schema(self.entry).with_context(|| format!("{self}: options"))
    }

    /// Lets the plugin read its options and do nothing else. The error's first message is the path of the option
    /// at fault.
    pub fn check_options(&self, options: &Value) -> Result<()> {
        boundary::check_options(self.entry, options)
    }

    fn of_kind(&self, kind: Kind) -> Result<*const std::ffi::c_void> {
        efference_sdk::ensure!(self.listed.kind == kind, "{self} is used as a {}", kind_name(kind));
        Ok(self.entry.vtable)
    }

    /// Makes a layer.
    pub fn layer(
        &self,
        options: &Value,
        size: Size,
        params: &Params<'_>,
        health: &Arc<Health>,
    ) -> Result<Box<dyn AnyLayer>> {
        let vtable = self.of_kind(Kind::Layer)?;
        // SAFETY: the table of a layer plugin of a library that was checked and started.
        let make = || unsafe { boundary::create_layer(vtable, options, size, params) };
        Ok(Box::new(Guarded::make_layer(self.to_string(), health, size, params, make)?))
    }

    /// Makes a cell.
    pub fn cell(
        &self,
        options: &Value,
        size: Size,
        layers: &dyn LayerFactory,
        params: &Params<'_>,
        health: &Arc<Health>,
    ) -> Result<Box<dyn AnyCell>> {
        let vtable = self.of_kind(Kind::Cell)?;
        // SAFETY: the table of a cell plugin of a library that was checked and started.
        let make = || unsafe { boundary::create_cell(vtable, options, size, layers, params) };
        Ok(Box::new(Guarded::make(self.to_string(), health, make)?))
    }

    /// Makes a goal.
    pub fn goal(
        &self,
        options: &Value,
        state_size: i64,
        layers: &dyn LayerFactory,
        params: &Params<'_>,
        health: &Arc<Health>,
    ) -> Result<Box<dyn AnyGoal>> {
        let vtable = self.of_kind(Kind::Goal)?;
        // SAFETY: the table of a goal plugin of a library that was checked and started.
        let make = || unsafe { boundary::create_goal(vtable, options, state_size, layers, params) };
        Ok(Box::new(Guarded::make(self.to_string(), health, make)?))
    }

    /// Makes a trainer.
    pub fn trainer(
        &self,
        options: &Value,
        setup: &dyn TrainerSetup,
        health: &Arc<Health>,
    ) -> Result<Box<dyn AnyTrainer>> {
        let vtable = self.of_kind(Kind::Trainer)?;
        // SAFETY: the table of a trainer plugin of a library that was checked and started.
        let make = || unsafe { boundary::create_trainer(vtable, options, setup) };
        Ok(Box::new(Guarded::make(self.to_string(), health, make)?))
    }

    /// Opens an environment.
    pub fn environment(
        &self,
        options: &Value,
        setup: &EnvironmentSetup,
        health: &Arc<Health>,
    ) -> Result<Box<dyn AnyEnvironment>> {
        let vtable = self.of_kind(Kind::Environment)?;
        // SAFETY: the table of an environment plugin of a library that was checked and started.
        let make = || unsafe { boundary::create_environment(vtable, options, setup) };
        Ok(Box::new(Guarded::make(self.to_string(), health, make)?))
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

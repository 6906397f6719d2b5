//! The plugins that were found, with their options: from the cache, or else from the engine.
use crate::cache::{Entry, OptionsCache};
use crate::hash::{hash_of, sha256};
use crate::seal::checked_bytes;
use crate::{Describe, PluginFiles, PluginLocation, Refusal, Reply, Request};
use efference_abi::Kind;
use efference_spec::{OptionError, PluginRegistry};
use serde_json::Value;
use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// The plugins that were found. The engine is asked for what the cache does not know, and then it is remembered.
pub struct KnownPlugins<'a> {
    files: &'a PluginFiles,
    cache: OptionsCache,
    engine: &'a dyn Describe,
    /// What is known of the libraries that were asked about.
    libraries: RefCell<HashMap<PathBuf, Result<Entry, String>>>,
}

impl<'a> KnownPlugins<'a> {
    /// The plugins of these files.
    pub fn new(files: &'a PluginFiles, cache: OptionsCache, engine: &'a dyn Describe) -> Self {
        KnownPlugins { files, cache, engine, libraries: RefCell::default() }
    }

    /// Makes sure that the library is known, and gives what is known of it to `f`.
    fn with<R>(&self, found: &PluginLocation, f: impl FnOnce(&mut Entry) -> R) -> Result<R, String> {
        let mut libraries = self.libraries.borrow_mut();
        let entry = libraries.entry(found.file.clone()).or_insert_with(|| self.look_up(found));
        entry.as_mut().map(f).map_err(|why| why.clone())
    }

    /// The library's hash, and what is known without loading anything.
    fn remembered(&self, file: &Path) -> Result<(String, Option<Entry>), Refusal> {
        // One that is damaged is not to be loaded at all, not even by the engine.
        let hash = hash_of(&checked_bytes(file)?);
        let entry = self.cache.read(&hash);
        Ok((hash, entry))
    }

    fn is_remembered(&self, file: &Path) -> bool {
        self.remembered(file).is_ok_and(|(_, entry)| entry.is_some())
    }

    fn look_up(&self, found: &PluginLocation) -> Result<Entry, String> {
        let file = &found.file;
        let (hash, entry) = self.remembered(file).map_err(|refusal| refusal.to_string())?;
        if let Some(entry) = entry {
            return Ok(entry);
        }
        self.engine.announce(found);
        let plugins = match self.engine.ask(&Request::Describe { file: file.to_owned() })? {
            Reply::Described(plugins) => plugins,
            Reply::Failed(why) => return Err(why),
            reply => return Err(format!("the engine's reply makes no sense: {reply:?}")),
        };
        // The file may have been replaced while the engine read it.
        let is_same = sha256(file).is_ok_and(|now| now == hash);
        let entry = Entry::new(if is_same { &hash } else { "" }, plugins);
        self.cache.write(&entry);
        Ok(entry)
    }
}

impl PluginRegistry for KnownPlugins<'_> {
    fn names(&self, kind: Kind) -> Vec<String> {
        self.files.names(kind)
    }

    fn refused(&self) -> Vec<String> {
        self.files.refused().iter().map(ToString::to_string).collect()
    }

    fn schema(&self, kind: Kind, name: &str) -> Result<Value, String> {
        let found = self.files.find(kind, name).map_err(|e| e.to_string())?;
        let schema = self.with(found, |entry| {
            let plugin = entry.plugins.iter().find(|p| p.kind == kind.name() && p.name == name);
            plugin.map(|plugin| plugin.schema.clone())
        })?;
        schema.unwrap_or_else(|| Err(format!("{} has no such plugin any more", found.file.display())))
    }

    /// A library that only a spec's file names is not loaded for a plugin that the spec does not choose.
    fn schema_of_other(&self, kind: Kind, name: &str) -> Option<Value> {
        let found = self.files.find(kind, name).ok()?;
        let asked = self.libraries.borrow().contains_key(&found.file);
        if found.said_in.is_none() || asked || self.is_remembered(&found.file) {
            return self.schema(kind, name).ok();
        }
        None
    }

    fn notes(&self, kind: Kind, name: &str) -> Vec<String> {
        self.files.notes(kind, name)
    }

    fn not_built(&self, kind: Kind, name: &str) -> Option<String> {
        self.files.not_built_beside(kind, name)
    }

    fn check(&self, kind: Kind, name: &str, options: &Value) -> Result<(), OptionError> {
        let failed = |message: String| OptionError { path: String::new(), message };
        let found = self.files.find(kind, name).map_err(|e| failed(e.to_string()))?;
        if self.with(found, |entry| entry.has_accepted(kind, name, options)).map_err(failed)? {
            return Ok(());
        }
        let request = Request::Check {
            file: found.file.clone(),
            kind: kind.name().to_owned(),
            name: name.to_owned(),
            options: options.clone(),
        };
        match self.engine.ask(&request).map_err(failed)? {
            // Only what is accepted is remembered: a refusal may be about this machine, and be mended.
            Reply::Accepted => self
                .with(found, |entry| {
                    entry.accept(kind, name, options);
                    self.cache.write(entry);
                })
                .map_err(failed),
            Reply::Refused { path, message } => Err(OptionError { path, message }),
            Reply::Failed(why) => Err(failed(why)),
            reply => Err(failed(format!("the engine's reply makes no sense: {reply:?}"))),
        }
    }
}

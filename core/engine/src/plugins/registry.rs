//! The plugins that can be found, and those that were loaded.
use super::Plugin;
use efference_abi::Kind;
use efference_registry::{FileManifest, Identity, MissingPlugin, PluginFiles, PluginLocation, Refusal};
use efference_sdk as sdk;
use efference_spec::{OptionError, PluginRegistry};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// What the plugin directories hold. Made by reading files; libraries are loaded when they are asked for, once.
#[derive(Debug, Default)]
pub struct Registry {
    files: PluginFiles,
    loaded: Mutex<HashMap<(Kind, String), Plugin>>,
}

impl Registry {
    /// Reads the libraries (`….so`) in `extra`, then in the directories of the variable
    /// `EFFERENCE_PLUGIN_PATH`, then beside this program. Of two plugins of one kind and name the first counts.
    pub fn scan(extra: &[PathBuf]) -> Registry {
        Registry { files: PluginFiles::scan(extra, &this_host()), loaded: Mutex::default() }
    }

    /// What can be loaded, by kind.
    pub fn found(&self) -> &[PluginLocation] {
        self.files.found()
    }

    /// What cannot be loaded, and why.
    pub fn refused(&self) -> &[Refusal] {
        self.files.refused()
    }

    /// Loads a plugin, or returns the one loaded before.
    pub fn load(&self, kind: Kind, name: &str) -> Result<Plugin, MissingPlugin> {
        let found = self.files.find(kind, name)?;
        let mut loaded = self.loaded.lock();
        let key = (kind, name.to_owned());
        if let Some(plugin) = loaded.get(&key) {
            return Ok(plugin.clone());
        }
        let plugin = Plugin::load(&found.file, &found.needed, &found.info)?;
        loaded.insert(key, plugin.clone());
        Ok(plugin)
    }
}

/// What this host is, to the plugins that it may load.
pub fn this_host() -> Identity {
    Identity::of(&sdk::export::manifest(&[], &[]))
}

/// Loads all plugins of one library.
///
/// # Errors
/// Why it, or one of its plugins, can't be loaded.
pub fn load_library(file: &Path) -> Result<Vec<Plugin>, Refusal> {
    let manifest = FileManifest::read(file, &this_host())?;
    manifest.plugins.iter().map(|listed| Plugin::load(file, &manifest.needed, listed)).collect()
}

impl Plugin {
    /// What is wrong with options that follow its schema, in the plugin's own words.
    pub fn option_error(&self, options: &serde_json::Value) -> Option<OptionError> {
        let error: sdk::Error = self.check_options(options).err()?;
        let path = error.option().unwrap_or_default().to_owned();
        Some(OptionError { path, message: format!("{error:#}") })
    }
}

impl PluginRegistry for Registry {
    fn names(&self, kind: Kind) -> Vec<String> {
        self.files.names(kind)
    }

    fn refused(&self) -> Vec<String> {
        self.files.refused().iter().map(ToString::to_string).collect()
    }

    fn schema(&self, kind: Kind, name: &str) -> Result<serde_json::Value, String> {
        let plugin = self.load(kind, name).map_err(|e| e.to_string())?;
        plugin.schema().map_err(|e| format!("{e:#}"))
    }

    fn check(&self, kind: Kind, name: &str, options: &serde_json::Value) -> Result<(), OptionError> {
        let missing = |e: MissingPlugin| OptionError { path: String::new(), message: e.to_string() };
        self.load(kind, name).map_err(missing)?.option_error(options).map_or(Ok(()), Err)
    }
}

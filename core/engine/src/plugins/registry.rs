//! The plugins that can be found, and those that were loaded.
use super::Plugin;
use efference_abi::Kind;
use efference_registry::{Found, Identity, MissingPlugin, PluginFiles, Refusal};
use efference_sdk as sdk;
use efference_spec::{OptionMistake, PluginCatalogue};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Mutex;

/// What the plugin directories hold. Made by reading files; libraries are loaded when they are asked for, once.
#[derive(Debug, Default)]
pub struct Catalogue {
    files: PluginFiles,
    loaded: Mutex<HashMap<(u32, String), Plugin>>,
}

impl Catalogue {
    /// Reads the libraries (`….so`) in `extra`, then in the directories of the variable
    /// `EFFERENCE_PLUGIN_PATH`, then beside this program. Of two plugins of one kind and name the first counts.
    pub fn scan(extra: &[PathBuf]) -> Catalogue {
        Catalogue { files: PluginFiles::scan(extra, &this_host()), loaded: Mutex::default() }
    }

    /// What can be loaded, by kind.
    pub fn found(&self) -> &[Found] {
        self.files.found()
    }

    /// What cannot be loaded, and why.
    pub fn refused(&self) -> &[Refusal] {
        self.files.refused()
    }

    /// The directories that were searched.
    pub fn directories(&self) -> &[PathBuf] {
        self.files.directories()
    }

    /// Loads a plugin, or answers with the one loaded before.
    pub fn load(&self, kind: Kind, name: &str) -> Result<Plugin, MissingPlugin> {
        let found = self.files.find(kind, name)?;
        let mut loaded = self.loaded.lock().unwrap_or_else(|e| e.into_inner());
        let key = (kind as u32, name.to_owned());
        if let Some(plugin) = loaded.get(&key) {
            return Ok(plugin.clone());
        }
        let plugin = Plugin::load(&found.file, &found.needed, &found.listed)?;
        loaded.insert(key, plugin.clone());
        Ok(plugin)
    }
}

/// What this host is, to the plugins that it may load.
pub fn this_host() -> Identity {
    Identity::of(&sdk::export::stamp(&[]))
}

impl PluginCatalogue for Catalogue {
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

    fn check(&self, kind: Kind, name: &str, options: &serde_json::Value) -> Result<(), OptionMistake> {
        let mistake = |path: &str, message: String| OptionMistake { path: path.into(), message };
        let plugin = self.load(kind, name).map_err(|e| mistake("", e.to_string()))?;
        plugin.check_options(options).map_err(|e: sdk::Error| {
            let chain: Vec<_> = e.chain().collect();
            mistake(chain[0].trim_matches('.'), chain[1..].join(": "))
        })
    }
}

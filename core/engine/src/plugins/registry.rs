//! The plugins that can be found, and those that were loaded.
use super::Plugin;
use super::this_host::this_host;
use efference_abi::Kind;
use efference_cli::output::say_note;
use efference_registry::{FileManifest, MissingPlugin, PluginFiles, PluginLocation, Refusal};
use efference_sdk as sdk;
use efference_spec::{OptionError, PluginPath, PluginRegistry};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::path::Path;

/// What the plugin directories hold. Made by reading files; libraries are loaded when they are asked for, once.
#[derive(Debug, Default)]
pub struct Registry {
    files: PluginFiles,
    loaded: Mutex<HashMap<(Kind, String), Plugin>>,
}

impl Registry {
    /// Reads the libraries (`….so`) in `extra`, then in the directories of the variable
    /// `EFFERENCE_PLUGIN_PATH`, then beside this program. Of two plugins of one kind and name the first counts.
    pub fn scan(extra: &[PluginPath]) -> Registry {
        Registry { files: PluginFiles::scan(extra, &this_host()), loaded: Mutex::default() }
    }

    /// Reads one library.
    pub fn of_file(file: &Path) -> Registry {
        Registry { files: PluginFiles::of_file(file, &this_host()), loaded: Mutex::default() }
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
        // Said before anything of it runs.
        found.announcement().iter().filter(|_| !is_loaded(&loaded, &found.file)).for_each(say_note);
        let plugin = Plugin::load(&found.file, &found.info)?;
        loaded.insert(key, plugin.clone());
        Ok(plugin)
    }
}

/// Whether some plugin of this library was loaded.
fn is_loaded(loaded: &HashMap<(Kind, String), Plugin>, file: &Path) -> bool {
    loaded.values().any(|plugin| plugin.file == file)
}

/// Loads all plugins of one library.
///
/// # Errors
/// Why it, or one of its plugins, can't be loaded.
pub fn load_library(file: &Path) -> Result<Vec<Plugin>, Refusal> {
    let manifest = FileManifest::read(file, &this_host())?;
    manifest.plugins.iter().map(|listed| Plugin::load(file, listed)).collect()
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

    /// A library that only a spec's file names is not loaded for a plugin that the spec does not choose.
    fn schema_of_other(&self, kind: Kind, name: &str) -> Option<serde_json::Value> {
        let found = self.files.find(kind, name).ok()?;
        let is_own = found.said_in.is_none();
        if is_own || is_loaded(&self.loaded.lock(), &found.file) {
            self.schema(kind, name).ok()
        } else {
            None
        }
    }

    fn notes(&self, kind: Kind, name: &str) -> Vec<String> {
        self.files.notes(kind, name)
    }

    fn not_built(&self, kind: Kind, name: &str) -> Option<String> {
        self.files.not_built_beside(kind, name)
    }

    fn check(&self, kind: Kind, name: &str, options: &serde_json::Value) -> Result<(), OptionError> {
        let missing = |e: MissingPlugin| OptionError { path: String::new(), message: e.to_string() };
        self.load(kind, name).map_err(missing)?.option_error(options).map_or(Ok(()), Err)
    }
}

//! The plugins that can be found, by kind and name.
use crate::{FileManifest, Identity, PluginInfo, Refusal};
use efference_abi::Kind;
use efference_spec::nearest;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::{env, fs};
use thiserror::Error;

/// A plugin in a library that this host may load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginLocation {
    /// What its library says of it.
    pub info: PluginInfo,
    /// Its library.
    pub file: PathBuf,
    /// Names of the libraries that its library needs.
    pub needed: Vec<String>,
}

/// No plugin of this kind and name, or one that cannot be loaded.
#[derive(Debug, Error)]
#[allow(missing_docs)] // the messages say it
pub enum MissingPlugin {
    #[error("there is no {kind} plugin '{name}'{near} There are: {there}. Searched: {searched}")]
    NotFound { kind: &'static str, name: String, near: String, there: String, searched: String },
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// What the plugin directories hold, as the files say it.
#[derive(Debug, Clone, Default)]
pub struct PluginFiles {
    directories: Vec<PathBuf>,
    found: Vec<PluginLocation>,
    refused: Vec<Refusal>,
}

impl PluginFiles {
    /// Reads the libraries (`….so`) in `extra`, then in the directories of the variable
    /// `EFFERENCE_PLUGIN_PATH`, then beside this program. Of two plugins of one kind and name the first counts.
    pub fn scan(extra: &[PathBuf], host: &Identity) -> PluginFiles {
        let mut directories = extra.to_vec();
        let said = env::var_os("EFFERENCE_PLUGIN_PATH");
        // Nothing between two colons, or in the whole variable, is no directory.
        let said = said.iter().flat_map(env::split_paths).filter(|path| !path.as_os_str().is_empty());
        directories.extend(said);
        directories.extend(beside_this_program());
        PluginFiles::in_directories(directories, host)
    }

    /// Reads the libraries in these directories, and in no others.
    pub fn in_directories(directories: Vec<PathBuf>, host: &Identity) -> PluginFiles {
        let mut files = PluginFiles { directories, ..PluginFiles::default() };
        for file in files.directories.clone().iter().flat_map(|d| libraries_in(d)) {
            files.add(&file, host);
        }
        files.found.sort_by_key(|f| f.info.kind);
        files
    }

    fn add(&mut self, file: &Path, host: &Identity) {
        match FileManifest::read(file, host) {
            Ok(manifest) => {
                for listed in manifest.plugins {
                    if self.get(listed.kind, &listed.name).is_none() {
                        self.found.push(PluginLocation {
                            info: listed,
                            file: file.into(),
                            needed: manifest.needed.clone(),
                        });
                    }
                }
            }
            // Beside the program lie libraries that are no plugins, and never claimed to be.
            Err(Refusal::NotAPlugin { .. }) if !names_a_plugin(file) => {}
            Err(refusal) => self.refused.push(refusal),
        }
    }

    /// What can be loaded, by kind.
    pub fn found(&self) -> &[PluginLocation] {
        &self.found
    }

    /// What cannot be loaded, and why.
    pub fn refused(&self) -> &[Refusal] {
        &self.refused
    }

    /// The names of the plugins of this kind.
    pub fn names(&self, kind: Kind) -> Vec<String> {
        self.found.iter().filter(|f| f.info.kind == kind).map(|f| f.info.name.clone()).collect()
    }

    /// The plugin of this kind and name.
    ///
    /// # Errors
    /// [`MissingPlugin::NotFound`], with the nearest name.
    pub fn find(&self, kind: Kind, name: &str) -> Result<&PluginLocation, MissingPlugin> {
        self.get(kind, name).ok_or_else(|| self.not_found(kind, name))
    }

    fn get(&self, kind: Kind, name: &str) -> Option<&PluginLocation> {
        self.found.iter().find(|f| f.info.kind == kind && f.info.name == name)
    }

    fn not_found(&self, kind: Kind, name: &str) -> MissingPlugin {
        let there = self.names(kind);
        MissingPlugin::NotFound {
            kind: kind.name(),
            name: name.to_owned(),
            near: nearest(name, there.iter().map(String::as_str))
                .map_or(".".into(), |n| format!("; did you mean '{n}'?")),
            there: if there.is_empty() { "none".into() } else { there.join(", ") },
            searched: self.searched(),
        }
    }

    /// The directories that were searched, for a message.
    pub fn searched(&self) -> String {
        let searched: Vec<_> = self.directories.iter().map(|d| d.display().to_string()).collect();
        searched.join(", ")
    }
}

/// Where plugins lie beside the program: in its own directory, in the one above for a test program, and where
/// an installation puts them.
fn beside_this_program() -> Vec<PathBuf> {
    let Some(own) = env::current_exe().ok().and_then(|p| p.parent().map(Path::to_owned)) else {
        return Vec::new();
    };
    let above = own.parent().filter(|_| own.file_name() == Some(OsStr::new("deps")));
    let installed = own.parent().map(|p| p.join("lib/efference")).filter(|d| d.is_dir());
    [above.map(Path::to_owned), Some(own.clone()), installed].into_iter().flatten().collect()
}

fn libraries_in(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut files: Vec<_> =
        entries.map(|e| e.path()).filter(|p| p.extension() == Some(OsStr::new("so"))).collect();
    files.sort();
    files
}

fn names_a_plugin(file: &Path) -> bool {
    file.file_name().is_some_and(|n| n.to_string_lossy().starts_with("libefference_"))
}

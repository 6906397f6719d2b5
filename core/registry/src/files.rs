//! The plugins that can be found, by kind and name.
use crate::folder::Folder;
use crate::hash::sha256;
use crate::{FileManifest, Identity, PluginInfo, Refusal};
use efference_abi::Kind;
use efference_spec::{PluginPath, expand_home, nearest};
use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt;
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
    /// Of one in a directory that a spec's file names: where it does so.
    pub said_in: Option<String>,
}

impl PluginLocation {
    /// Of one that a spec's file brings with it: what is said before anything of it is run.
    pub fn announcement(&self) -> Option<String> {
        let (kind, name, file) = (self.info.kind.name(), &self.info.name, self.file.display());
        let said_in = self.said_in.as_ref()?;
        Some(format!("the {kind} plugin '{name}' is loaded from {file}, which {said_in} names"))
    }
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
    folders: Vec<Folder>,
    found: Vec<PluginLocation>,
    /// Those of the same kind and name as one that was found before.
    shadowed: Vec<PluginLocation>,
    refused: Vec<Refusal>,
    missing: Vec<PathBuf>,
}

impl PluginFiles {
    /// Reads the libraries (`….so`) in `extra`, then in the directories of the variable
    /// `EFFERENCE_PLUGIN_PATH`, then beside this program. Of two plugins of one kind and name the first counts.
    ///
    /// Of a crate's folder (it has a `Cargo.toml`), what cargo built of it is read as well.
    pub fn scan(extra: &[PluginPath], host: &Identity) -> PluginFiles {
        let mut directories = extra.to_vec();
        let variable = env::var_os("EFFERENCE_PLUGIN_PATH");
        // Nothing between two colons, or in the whole variable, is no directory.
        let said = variable.iter().flat_map(env::split_paths).filter(|path| !path.as_os_str().is_empty());
        let said: Vec<PathBuf> = said.map(|path| expand_home(&path)).collect();
        let missing = said.iter().filter(|path| !path.is_dir()).cloned().collect();
        directories.extend(said.into_iter().map(PluginPath::from));
        directories.extend(beside_this_program().into_iter().map(PluginPath::from));
        PluginFiles { missing, ..PluginFiles::in_paths(directories, host) }
    }

    /// Reads the libraries in these directories, and in no others.
    pub fn in_paths(paths: Vec<PluginPath>, host: &Identity) -> PluginFiles {
        let mut files = PluginFiles::default();
        for PluginPath { directory, said_in } in paths {
            let folder = Folder::read(directory);
            for file in &folder.libraries {
                files.add(file, said_in.as_deref(), host);
            }
            files.folders.push(folder);
        }
        files.found.sort_by_key(|f| f.info.kind);
        files
    }

    /// Reads one library.
    pub fn of_file(file: &Path, host: &Identity) -> PluginFiles {
        let mut files = PluginFiles::default();
        files.add(file, None, host);
        files
    }

    /// All libraries of the directories that were searched, plugins or not.
    pub fn libraries(&self) -> Vec<PathBuf> {
        self.folders.iter().flat_map(|folder| folder.libraries.clone()).collect()
    }

    fn add(&mut self, file: &Path, said_in: Option<&str>, host: &Identity) {
        match FileManifest::read(file, host) {
            Ok(manifest) => {
                for info in manifest.plugins {
                    let is_first = self.get(info.kind, &info.name).is_none();
                    let found = if is_first { &mut self.found } else { &mut self.shadowed };
                    found.push(PluginLocation {
                        info,
                        file: file.into(),
                        said_in: said_in.map(str::to_owned),
                    });
                }
            }
            // Beside the program lie libraries that are no plugins, and never claimed to be.
            Err(Refusal::NotAPlugin { .. }) if !names_a_plugin(file) => {}
            Err(refusal) => self.refused.push(refusal),
        }
    }

    /// What there is to know of where a plugin comes from: that another library has one of the same kind and name, which
    /// is not used. The same library in two places is none.
    pub fn notes(&self, kind: Kind, name: &str) -> Vec<String> {
        let Some(found) = self.get(kind, name) else { return Vec::new() };
        let same_name = self.shadowed.iter().filter(|f| f.info.kind == kind && f.info.name == name);
        let mut others: Vec<&Path> = same_name.map(|f| f.file.as_path()).collect();
        others.dedup();
        others.retain(|other| !is_same(&found.file, other));
        let note = |other: &&Path| {
            format!(
                "the {} plugin `{name}` is that of {}; {} has one of this name too, which is not used: of two, the directory \
                 that is searched first counts",
                kind.name(),
                found.file.display(),
                other.display()
            )
        };
        others.iter().map(note).collect()
    }

    /// What is to be said of folders from which no plugin is taken: those of crates that were not built yet.
    pub fn not_built(&self) -> Vec<String> {
        self.folders.iter().filter_map(Folder::not_built).collect()
    }

    /// What to do about a plugin that was not found but whose crate lies in the clone that this program was built in:
    /// `cargo xtask run` builds the plugins of one experiment.
    pub fn not_built_beside(&self, kind: Kind, name: &str) -> Option<String> {
        if self.get(kind, name).is_some() {
            return None;
        }
        not_built_in_clone(&env::current_exe().ok()?, kind, name)
    }

    /// Directories of the variable `EFFERENCE_PLUGIN_PATH` that are not there.
    pub fn missing_directories(&self) -> &[PathBuf] {
        &self.missing
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
        let searched: Vec<_> = self.folders.iter().map(Folder::to_string).collect();
        searched.join(", ")
    }
}

/// The same, of a program at `program`.
fn not_built_in_clone(program: &Path, kind: Kind, name: &str) -> Option<String> {
    let is_folder_name = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    let folder = format!("plugins/{}s/{name}", kind.name());
    let mut clones = program
        .ancestors()
        .filter(|above| is_folder_name && above.join(&folder).join("Cargo.toml").is_file());
    let clone = clones.next()?.display();
    Some(format!(
        "its source is in {clone}/{folder}, but it was not built: run `cargo build --release` in {clone}"
    ))
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

/// Whether two files are one, or hold the same.
fn is_same(a: &Path, b: &Path) -> bool {
    let (Ok(of_a), Ok(of_b)) = (fs::metadata(a), fs::metadata(b)) else { return false };
    let hash = |file| sha256(file).ok();
    (of_a.dev(), of_a.ino()) == (of_b.dev(), of_b.ino())
        || of_a.len() == of_b.len() && hash(a).is_some_and(|hash_of_a| Some(hash_of_a) == hash(b))
}

fn names_a_plugin(file: &Path) -> bool {
    file.file_name().is_some_and(|n| n.to_string_lossy().starts_with("libefference_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugin_of_the_clone_that_was_not_built_differs_from_one_that_is_nowhere() {
        let clone = tempfile::tempdir().unwrap();
        let dense = clone.path().join("plugins/layers/dense");
        fs::create_dir_all(&dense).unwrap();
        fs::write(dense.join("Cargo.toml"), "[package]").unwrap();
        let of = |kind, name| not_built_in_clone(&clone.path().join("target/release/efference"), kind, name);
        let said = of(Kind::Layer, "dense").unwrap();
        let clone = clone.path().display();
        assert!(said.ends_with(&format!("run `cargo build --release` in {clone}")), "{said}");
        for (kind, name) in [(Kind::Cell, "dense"), (Kind::Layer, "sparse"), (Kind::Layer, "../layers/dense")]
        {
            assert_eq!(of(kind, name), None, "{name}");
        }
    }
}

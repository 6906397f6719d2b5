//! `--plugins DIR`, which every command takes: more folders with plugins, before all others.
//!
//! They are put into the spec as it is read, so that a run remembers them: what goes on with it needs no flag.
use crate::output::say_note;
use crate::paths::path;
use clap::Args;
use efference_registry::PluginFiles;
use efference_spec::{ParsedSpec, PluginPath};
use std::ffi::OsStr;
use std::path::PathBuf;
use std::sync::OnceLock;

/// What the command line names, once for the process.
static NAMED: OnceLock<Vec<PathBuf>> = OnceLock::new();

/// The flag.
#[derive(Debug, Clone, Default, Args)]
pub struct PluginFolderArgs {
    /// Looks for plugins here first: a folder with libraries, or that of a crate; may be given again.
    #[arg(long = "plugins", value_name = "DIR", global = true, value_parser = path())]
    folders: Vec<PathBuf>,
}

impl PluginFolderArgs {
    /// Has this process look there. To be called once, before anything is looked for.
    pub fn use_here(self) {
        // Both programs call it in `main`, and nobody else does.
        let _ = NAMED.set(self.folders);
    }
}

/// The folders that the command line names.
pub(crate) fn named() -> &'static [PathBuf] {
    NAMED.get().map_or(&[], Vec::as_slice)
}

/// The flags that pass them on to another process.
pub(crate) fn arguments() -> impl Iterator<Item = &'static OsStr> {
    named().iter().flat_map(|folder| [OsStr::new("--plugins"), folder.as_os_str()])
}

/// These folders, which a command names in a way of its own, behind those that the command line names.
pub fn with_named(more: &[PathBuf]) -> Vec<PluginPath> {
    named().iter().chain(more).cloned().map(PluginPath::from).collect()
}

/// Has a spec look there first.
pub(crate) fn put_into(parsed: &mut ParsedSpec) {
    parsed.put_plugin_paths(named());
}

/// Says which folders of plugins are named in vain: those of the variable that are not there, and those of crates that were
/// not built. What a spec names is reported with its place.
pub(crate) fn say_missing(files: &PluginFiles) {
    for directory in files.missing_directories() {
        say_note(format!("EFFERENCE_PLUGIN_PATH names {}, which is no directory", directory.display()));
    }
    files.not_built().iter().for_each(say_note);
}

/// Says which of these folders are not there.
pub(crate) fn say_not_there(more: &[PathBuf]) {
    for directory in named().iter().chain(more).filter(|directory| !directory.is_dir()) {
        say_note(format!("there is no directory {}, and no plugin is taken from it", directory.display()));
    }
}

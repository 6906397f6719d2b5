//! `efference plugins` and `efference plugins show`.
use crate::engine::Engine;
use crate::paths::path;
use crate::plugin_check::{self, CheckPluginsArgs};
use crate::plugin_folders::{say_missing, say_not_there, with_named};
use crate::scaffold::{NewArgs, make};
use crate::{engine_identity, fail, print};
use clap::{Args, Subcommand};
use efference_registry::{KnownPlugins, OptionsCache, PluginFiles, Sealed, checked_bytes, seal};
use efference_spec::{PluginRegistry, nearest, options_table};
use std::collections::HashSet;
use std::path::PathBuf;

/// Lists the plugins that are found, and the files that can't be loaded.
#[derive(Debug, Args)]
pub struct PluginsArgs {
    /// What about them; without it they are listed.
    #[command(subcommand)]
    pub what: Option<PluginsCommand>,
    /// The same as `--plugins`.
    #[arg(long, value_name = "DIR", global = true, hide = true, value_parser = path())]
    pub path: Vec<PathBuf>,
}

/// What can be asked about plugins.
#[derive(Debug, Subcommand)]
pub enum PluginsCommand {
    /// Shows what a plugin is and which options it has.
    Show {
        /// The plugin's name.
        name: String,
    },
    /// Makes a folder with a plugin of your own, its test and an experiment with it, that builds at once.
    New(NewArgs),
    /// Checks whether plugins keep their contract: shapes, gradients, ranges, determinism, saving and restoring, what they
    /// leave behind, memory, speed. Exit status: 0 no check failed, 1 one did.
    Check(CheckPluginsArgs),
    /// Seals libraries: puts a checksum behind each, and from then on one that is damaged is refused. To be done once a
    /// library is built.
    Seal {
        /// The libraries, lib….so.
        #[arg(value_name = "FILE", required = true, value_parser = path())]
        files: Vec<PathBuf>,
    },
}

/// Does it; returns the exit status.
pub fn run(arguments: &PluginsArgs) -> u8 {
    say_not_there(&arguments.path);
    let paths = with_named(&arguments.path);
    let files = || {
        let files = PluginFiles::scan(&paths, &engine_identity());
        say_missing(&files);
        files
    };
    match &arguments.what {
        None => list(&files()),
        Some(PluginsCommand::Show { name }) => show(&files(), name),
        Some(PluginsCommand::New(arguments)) => make(arguments).map_or_else(fail, |()| 0),
        Some(PluginsCommand::Check(arguments)) => plugin_check::run(arguments),
        Some(PluginsCommand::Seal { files }) => seal_all(files),
    }
}

/// Seals each of the files that can be.
fn seal_all(files: &[PathBuf]) -> u8 {
    let mut status = 0;
    for file in files {
        match seal(file) {
            Ok(Sealed::Now) => print(&format!("{}: sealed\n", file.display())),
            Ok(Sealed::Before) => print(&format!("{}: is sealed already\n", file.display())),
            Err(why) => status = fail(why),
        }
    }
    status
}

/// Prints the plugins that were found, then the files that can't be loaded, each with the reason.
fn list(files: &PluginFiles) -> u8 {
    let mut text = String::new();
    for found in files.found() {
        let l = &found.info;
        let (kind, file) = (l.kind.name(), found.file.display());
        text +=
            &format!("{kind:<11}  {:<10}  {:<7}  {}\n{:>13}{file}\n", l.name, l.version, l.description, "");
    }
    for refusal in files.refused() {
        text += &format!("not loaded:  {refusal}\n");
    }
    let mut read = HashSet::new();
    for found in files.found().iter().filter(|found| read.insert(&found.file)) {
        if let Err(refusal) = checked_bytes(&found.file) {
            text += &format!("not loaded:  {refusal}\n");
        }
    }
    for found in files.found() {
        for note in files.notes(found.info.kind, &found.info.name) {
            text += &format!("note:        {note}\n");
        }
    }
    print(&text);
    if files.found().is_empty() {
        return fail(format!("no plugins were found in {}", files.searched()));
    }
    0
}

fn show(files: &PluginFiles, name: &str) -> u8 {
    let engine = Engine::default();
    let plugins = KnownPlugins::new(files, OptionsCache::of_user(), &engine);
    let mut text = String::new();
    for found in files.found().iter().filter(|found| found.info.name == name) {
        let l = &found.info;
        text += &format!(
            "{} {} {}\n{}\n{}\n\n",
            l.kind.name(),
            l.name,
            l.version,
            l.description,
            found.file.display()
        );
        match plugins.schema(l.kind, &l.name) {
            Ok(schema) => text += &options_table(&schema),
            Err(why) => return fail(why),
        }
    }
    if text.is_empty() {
        let names: Vec<&str> = files.found().iter().map(|found| found.info.name.as_str()).collect();
        let near = nearest(name, names.iter().copied());
        let near = near.map_or(".".to_owned(), |near| format!("; did you mean '{near}'?"));
        return fail(format!(
            "there is no plugin '{name}'{near} Plugins that were found: {}. Of one in another directory, say where: \
             `--plugins DIR`",
            names.join(", ")
        ));
    }
    print(&text);
    0
}

//! Reads the spec that a command names, and reports what is wrong with it.
use crate::engine::Engine;
use crate::output::say_report;
use crate::paths::path;
use crate::plugin_folders::{self, say_missing};
use crate::{engine_identity, fail};
use clap::Args;
use efference_registry::{Describe, KnownPlugins, OptionsCache, PluginFiles, Reply, Request};
use efference_spec::{self as spec, Diagnostics, ParsedSpec, ReportStyle, Spec, SweepMembers};
use std::cell::Cell;
use std::io;
use std::path::PathBuf;

/// A spec and its changes.
#[derive(Debug, Clone, Args)]
pub struct SpecArgs {
    /// The spec: a TOML file.
    #[arg(value_name = "SPEC", value_parser = path())]
    pub file: PathBuf,
    /// Sets a key, as in `trainer.unroll_length=1`; may be given again.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

impl SpecArgs {
    /// Reads the files and merges the values. Problems are printed on standard error.
    ///
    /// # Errors
    /// The exit status, if so little could be read that there is no more to check.
    pub fn parse(&self) -> Result<ParsedSpec, u8> {
        let read = spec::read(&self.file, &self.set, spec::variables());
        let mut parsed = read.map_err(|diagnostics| report(&diagnostics))?;
        plugin_folders::put_into(&mut parsed);
        Ok(parsed)
    }
}

/// Prints what is wrong with a spec on standard error; returns the exit status of a spec with problems.
pub fn report(diagnostics: &Diagnostics) -> u8 {
    say_report(&diagnostics.report(&ReportStyle::of(&io::stderr())));
    2
}

/// Reads a spec and checks all of it; problems and notes are printed on standard error.
///
/// # Errors
/// The exit status.
pub(crate) fn load(arguments: &SpecArgs) -> Result<Spec, u8> {
    let spec = with_plugins(arguments, |parsed, plugins| parsed.resolve(plugins))?;
    if !spec.notes.is_empty() {
        report(&spec.notes);
    }
    Ok(spec)
}

/// Reads a spec with its sweep, and checks every member; problems and notes are printed on standard error.
///
/// # Errors
/// The exit status.
pub(crate) fn load_members(arguments: &SpecArgs) -> Result<SweepMembers, u8> {
    let all = with_plugins(arguments, |parsed, plugins| parsed.members(plugins))?;
    if !all.spec.notes.is_empty() {
        report(&all.spec.notes);
    }
    Ok(all)
}

/// Reads a spec, and lets `resolve` check it against the plugins that are there.
fn with_plugins<T>(
    arguments: &SpecArgs,
    resolve: impl FnOnce(ParsedSpec, &KnownPlugins<'_>) -> Result<T, Diagnostics>,
) -> Result<T, u8> {
    let parsed = arguments.parse()?;
    let files = PluginFiles::scan(&parsed.plugin_paths(), &engine_identity());
    say_missing(&files);
    let engine = Engine::default();
    let resolved = resolve(parsed, &KnownPlugins::new(&files, OptionsCache::of_user(), &engine));
    // Without the engine, what is wrong with the spec is anybody's guess.
    if let Some(why) = engine.failure() {
        return Err(fail(why));
    }
    resolved.map_err(|diagnostics| report(&diagnostics))
}

/// Checks a spec as far as it can be done without the engine, which is about to check all of it: so most problems are
/// reported at once.
///
/// # Errors
/// The exit status, if the spec has problems.
pub(crate) fn check_what_is_known(arguments: &SpecArgs) -> Result<(), u8> {
    let parsed = arguments.parse()?;
    let files = PluginFiles::scan(&parsed.plugin_paths(), &engine_identity());
    say_missing(&files);
    let unknown = NotAsked::default();
    let checked = parsed.resolve(&KnownPlugins::new(&files, OptionsCache::of_user(), &unknown));
    match checked {
        Err(diagnostics) if !unknown.0.get() => Err(report(&diagnostics)),
        _ => Ok(()),
    }
}

/// Stands in for the engine, and remembers whether it would have been asked.
#[derive(Default)]
struct NotAsked(Cell<bool>);

impl Describe for NotAsked {
    fn ask(&self, _: &Request) -> Result<Reply, String> {
        self.0.set(true);
        Err("not known yet".to_owned())
    }
}

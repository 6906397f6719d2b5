//! The spec of a run that is there already.
use crate::engine::Engine;
use crate::output::say;
use crate::{engine_identity, fail, plugin_folders, report};
use efference_registry::{KnownPlugins, OptionsCache, PluginFiles};
use efference_runs::directory::RunDirectory;
use efference_runs::find_run;
use efference_spec::{self as spec, Change, ParsedSpec, PluginRegistry, Spec};
use std::path::{Path, PathBuf};

/// A run and its spec.
pub struct RunSpec {
    /// The run.
    pub directory: RunDirectory,
}

/// The spec of a run, and what it is to be.
pub struct Changed {
    /// As it is in the run.
    pub old: Spec,
    /// As it is to be.
    pub new: Spec,
    /// What differs.
    pub changes: Vec<Change>,
}

impl RunSpec {
    /// Opens a run: its directory, or what names it in the directory `runs`. Problems are printed on standard error.
    ///
    /// # Errors
    /// The exit status.
    pub fn open(run: &Path) -> Result<Self, u8> {
        let directory = match run.exists() {
            true => RunDirectory::open(run).map_err(fail)?,
            false => find_run(Path::new("runs"), run).map_err(fail)?,
        };
        Ok(RunSpec { directory })
    }

    /// The spec with some changes, before plugins are known. Variables change nothing: a run goes on as it was begun.
    ///
    /// # Errors
    /// The exit status; problems were printed on standard error.
    pub fn parse(&self, settings: &[String]) -> Result<ParsedSpec, u8> {
        let read = spec::read(&self.directory.spec(), settings, std::iter::empty());
        let mut parsed = read.map_err(|diagnostics| report(&diagnostics))?;
        plugin_folders::put_into(&mut parsed);
        Ok(parsed)
    }

    /// The spec without and with some changes, by these plugins.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn changed_by(&self, settings: &[String], plugins: &dyn PluginRegistry) -> Result<Changed, u8> {
        let resolve = |settings: &[String]| {
            self.parse(settings)?.resolve(plugins).map_err(|diagnostics| report(&diagnostics))
        };
        let (old, new) = (resolve(&[])?, resolve(settings)?);
        let changes = old.changes(&new);
        Ok(Changed { old, new, changes })
    }

    /// The same by the plugins that are found.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn changed(&self, settings: &[String], engine: &Engine) -> Result<Changed, u8> {
        let paths = self.parse(settings)?.plugin_paths();
        let files = PluginFiles::scan(&paths, &engine_identity());
        let changed = self.changed_by(settings, &KnownPlugins::new(&files, OptionsCache::of_user(), engine));
        match engine.failure() {
            Some(why) => Err(fail(why)),
            None => changed,
        }
    }
}

/// `--set` of a run that goes on, `--steps` included.
pub(crate) fn settings(set: &[String], steps: Option<u64>) -> Vec<String> {
    set.iter().cloned().chain(steps.map(|steps| format!("steps={steps}"))).collect()
}

/// The directory that holds the runs: the one that is said, or else the one that holds this run.
pub(crate) fn runs_of(said: Option<&Path>, run: &RunDirectory) -> PathBuf {
    let beside = run.path().parent().and_then(Path::parent).unwrap_or(Path::new("runs"));
    said.unwrap_or(beside).to_owned()
}

/// Prints what changes on standard error.
pub fn report_changes(changes: &[Change]) {
    for change in changes {
        say(format!("changed: {change}"));
    }
}

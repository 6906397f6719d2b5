//! What is different today from when a run was made.
use crate::engine_identity;
use crate::output::say;
use crate::run_spec::RunSpec;
use efference_compare::provenance_differences;
use efference_registry::{PluginFiles, PluginLocation};
use efference_runs::limits::Limits;
use efference_runs::provenance::{Git, Machine, OptionFile, PluginFile, Provenance, sha256_of};
use efference_spec::Section;
use std::path::Path;

/// What is different today, a sentence each; `None`: it is not known what made the run.
///
/// # Errors
/// The exit status, if its spec cannot be read; problems were printed on standard error.
pub(crate) fn differences_today(run: &RunSpec) -> Result<Option<Vec<String>>, u8> {
    let Some(then) = run.directory.provenance() else { return Ok(None) };
    let plugins = PluginFiles::scan(&run.parse(&[])?.plugin_paths(), &engine_identity());
    let last = then.latest();
    Ok(Some(provenance_differences(last, &today(last, &plugins, run.directory.path().ancestors().nth(2)))))
}

/// Prints them on standard error.
pub(crate) fn report_differences(differences: &[String]) {
    for difference in differences {
        say(format!("different today: {difference}"));
    }
}

/// The plugin of the same kind and name.
pub(crate) fn found_today<'p>(was: &PluginFile, plugins: &'p PluginFiles) -> Option<&'p PluginLocation> {
    plugins.find(Section::of_name(&was.kind)?.kind(), &was.name).ok()
}

/// What would make the run today, as far as that is known without libtorch.
fn today(then: &Provenance, plugins: &PluginFiles, runs: Option<&Path>) -> Provenance {
    let plugin = |was: &PluginFile| {
        let (version, file) = match found_today(was, plugins) {
            Some(found) => (found.info.version.clone(), found.file.clone()),
            None => ("(not found)".to_owned(), was.file.clone()),
        };
        PluginFile { version, sha256: sha256_of(&file), file, ..was.clone() }
    };
    let code = then.spec.as_deref().and_then(Path::parent).unwrap_or(Path::new("."));
    Provenance {
        efference: env!("CARGO_PKG_VERSION").to_owned(),
        git: Git::of(code, runs),
        plugins: then.plugins.iter().map(plugin).collect(),
        files: then.files.iter().map(OptionFile::as_it_is).collect(),
        libtorch: engine_identity().libtorch_version,
        machine: Machine::this(),
        // The spec decides these, but for what the machine has.
        threads: then.threads.min(Limits::of_this_process().processors().threads()),
        ..then.clone()
    }
}

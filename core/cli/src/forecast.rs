//! What experiments take and what stands in their way: asked of the engine, and remembered.
//!
//! What is remembered belongs to the resolved spec, to what is in the plugins' files, and to the engine. It is a count, which
//! no machine changes; the limits of this machine are looked at each time.
use crate::temporary::TemporaryPlace;
use crate::{engine, engine_identity};
use clap::Args;
use efference_registry::{PluginFiles, Remembered};
use efference_runs::budget::Forecast;
use efference_runs::limits::Limits;
use efference_spec::{PluginPath, Spec, sets_a_key};
use serde_json::Value;
use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// Resolved specs, one a file.
#[derive(Debug, Args)]
pub struct ForecastArgs {
    /// The files.
    #[arg(value_name = "SPEC", required = true)]
    pub files: Vec<PathBuf>,
}

/// What each of these experiments takes, and what stands in its way.
///
/// # Errors
/// A sentence, if the engine can't say it.
pub(crate) fn forecasts(specs: &[&Spec]) -> Result<Vec<Forecast>, String> {
    let cache = Remembered::of_user("forecasts");
    let mut seen: HashMap<String, Option<String>> = HashMap::new();
    // Specs that differ in what does not matter have one digest, and files are read once for it.
    let digest_of = |spec: &&Spec| {
        let what = what_matters(spec);
        seen.entry(what.to_string()).or_insert_with(|| digest(spec, &what)).clone()
    };
    let digests: Vec<Option<String>> = specs.iter().map(digest_of).collect();
    let known = |digest: &Option<String>| {
        let text = cache.read(digest.as_deref()?)?;
        serde_json::from_str::<Forecast>(&text).ok().filter(fits)
    };
    let mut found: Vec<Option<Forecast>> = digests.iter().map(known).collect();
    // Specs that differ in their seeds alone are one question.
    let mut questions: Vec<usize> = Vec::new();
    for i in (0..specs.len()).filter(|i| found[*i].is_none()) {
        if digests[i].is_none() || !questions.iter().any(|q| digests[*q] == digests[i]) {
            questions.push(i);
        }
    }
    if !questions.is_empty() {
        let asked: Vec<&Spec> = questions.iter().map(|i| specs[*i]).collect();
        for (i, forecast) in questions.iter().zip(ask(&asked)?) {
            let remembered =
                forecast.obstacle.is_none() && forecast.budget.as_ref().is_some_and(|b| b.device == "cpu");
            if let (Some(digest), true) = (&digests[*i], remembered) {
                cache.write(digest, &serde_json::to_string(&forecast).unwrap_or_default());
            }
            for (j, other) in found.iter_mut().enumerate() {
                // What has no digest is the same question as nothing else.
                if j == *i || digests[j].is_some() && digests[j] == digests[*i] {
                    other.get_or_insert(forecast.clone());
                }
            }
        }
    }
    found
        .into_iter()
        .map(|forecast| forecast.ok_or_else(|| "there is no answer for a spec".to_owned()))
        .collect()
}

/// Whether the memory of this machine is enough today.
fn fits(forecast: &Forecast) -> bool {
    let limit = Limits::of_this_process().memory().map_or(u64::MAX, |limit| limit.free);
    forecast.budget.as_ref().is_some_and(|budget| budget.memory.total() <= limit)
}

/// The keys that change a forecast.
fn what_matters(spec: &Spec) -> Value {
    let mut tree = spec.tree().clone();
    for key in ["name", "seed", "steps", "record", "checkpoint", "evaluation"] {
        tree.as_object_mut().and_then(|tree| tree.shift_remove(key));
    }
    tree
}

/// Of all that a forecast follows from; `None` if that can't be found out.
fn digest(spec: &Spec, what: &Value) -> Option<String> {
    let plugins = PluginFiles::scan(&paths(spec), &engine_identity());
    let chosen = spec.plugins.iter();
    let files = chosen.map(|(section, said)| Some(&*plugins.find(section.kind(), &said.plugin).ok()?.file));
    let files = files.collect::<Option<Vec<&Path>>>()?;
    let program = engine::command().ok()?;
    let engine = fs::metadata(program.get_program()).ok()?;
    let engine = format!("{} {} {}", engine.len(), engine.mtime(), engine.mtime_nsec());
    // Where a GPU came or went, `device = "auto"` means another one.
    let gpu = Path::new("/proc/driver/nvidia/version").exists().to_string();
    Remembered::digest([env!("CARGO_PKG_VERSION"), &engine, &gpu, &what.to_string()], files)
}

fn paths(spec: &Spec) -> Vec<PluginPath> {
    spec.plugin_settings.path.iter().map(|path| PathBuf::from(path).into()).collect()
}

/// Asks the engine.
fn ask(specs: &[&Spec]) -> Result<Vec<Forecast>, String> {
    let place = TemporaryPlace::new("forecast")
        .map_err(|e| format!("no temporary directory could be made; see the variable TMPDIR: {e}"))?;
    let mut command = engine::command()?;
    command.arg("forecast").stdin(Stdio::null()).stderr(Stdio::inherit());
    for (i, spec) in specs.iter().enumerate() {
        let file = place.path().join(format!("{i}.toml"));
        fs::write(&file, spec.to_toml()).map_err(|e| format!("{} cannot be written: {e}", file.display()))?;
        command.arg(file);
    }
    // The specs are whole; variables had their say when they were read.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(sets_a_key)) {
        command.env_remove(name);
    }
    let output = command.output().map_err(|e| format!("the engine cannot be started: {e}"))?;
    if !output.status.success() {
        return Err(format!("the engine, which rehearses it, ended with {}", output.status));
    }
    let lines = output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let read =
        |line| serde_json::from_slice(line).map_err(|e| format!("the engine's reply makes no sense: {e}"));
    lines.map(read).collect()
}

//! `efference plugins check`: whether a plugin keeps its contract, check by check.
//!
//! The engine makes the checks ([`lines`]), in a process of its own for each plugin, which a bad one may end or hold up: then the
//! check that went on has failed, and a new process makes those that are left.
mod child;
pub mod lines;

use crate::output::print;
use crate::paths::path;
use crate::{engine_identity, fail};
use child::check_from;
use clap::Args;
use efference_abi::Kind;
use efference_registry::{FileManifest, PluginFiles, PluginInfo};
use lines::Outcome;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What is to be checked.
#[derive(Debug, Clone, Args)]
pub struct CheckPluginsArgs {
    /// The libraries, lib….so; folders of crates, of which what was built last is checked; or worlds in Python, ….py, which the
    /// environment `process` talks to.
    #[arg(value_name = "FILE", required = true, value_parser = path())]
    pub files: Vec<PathBuf>,
    /// Checks this plugin of a library alone, by its name, or by its kind and name as in `layer/ldl`.
    #[arg(long, value_name = "NAME")]
    pub only: Option<String>,
    /// Sets an option of the plugin, as in `radix=2`; may be given again.
    #[arg(long, value_name = "OPTION=VALUE")]
    pub set: Vec<String>,
    /// Ends with the first check that fails.
    #[arg(long)]
    pub fail_fast: bool,
    /// Seconds that a check may take; what takes longer is ended and has failed.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub patience: u64,
}

/// What came of all of it.
#[derive(Debug, Default)]
struct Tally {
    passed: usize,
    failed: usize,
}

/// Does it; returns the exit status: 0 if no check failed.
pub fn run(arguments: &CheckPluginsArgs) -> u8 {
    let mut tally = Tally::default();
    let mut found_any = false;
    for file in &arguments.files {
        if file.extension().is_some_and(|extension| extension == "py") {
            let (library, arguments) = match python_world(file, arguments) {
                Ok(checked) => checked,
                Err(why) => return fail(why),
            };
            found_any |= check_library(&library, &arguments, &mut tally);
            continue;
        }
        let libraries = match libraries(file) {
            Ok(libraries) => libraries,
            Err(why) => return fail(why),
        };
        for library in libraries {
            found_any |= check_library(&library, arguments, &mut tally);
        }
    }
    if let Some(name) = arguments.only.as_ref().filter(|_| !found_any && tally.failed == 0) {
        return fail(format!("there is no plugin '{name}' in what was named"));
    }
    print(&format!("{} checks passed, {} failed.\n", tally.passed, tally.failed));
    u8::from(tally.failed > 0)
}

/// The plugin that talks to a world in Python, and the options with which it talks to this one.
fn python_world(file: &Path, arguments: &CheckPluginsArgs) -> Result<(PathBuf, CheckPluginsArgs), String> {
    if !file.is_file() {
        return Err(format!("there is no file {}", file.display()));
    }
    let plugins = PluginFiles::scan(&[], &engine_identity());
    let process = plugins.find(Kind::Environment, "process").map_err(|e| e.to_string())?;
    let mut arguments = arguments.clone();
    let command = serde_json::json!(["python3", file.to_string_lossy()]);
    arguments.set.insert(0, format!("command={command}"));
    Ok((process.file.clone(), arguments))
}

/// The libraries that a path names.
fn libraries(path: &Path) -> Result<Vec<PathBuf>, String> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let files = PluginFiles::in_paths(vec![path.to_owned().into()], &engine_identity());
    let libraries = files.libraries();
    if let (true, Some(why)) = (libraries.is_empty(), files.not_built().pop()) {
        return Err(why);
    }
    match libraries.is_empty() {
        true => Err(format!(
            "there is no library (….so) in {}; of a world in Python, name its file",
            path.display()
        )),
        false => Ok(libraries),
    }
}

/// Checks the plugins of a library; whether there were some that were asked for.
fn check_library(file: &Path, arguments: &CheckPluginsArgs, tally: &mut Tally) -> bool {
    const NAME: &str = "it is a library with a manifest that this efference accepts";
    let manifest = match FileManifest::read(file, &engine_identity()) {
        Ok(manifest) => manifest,
        Err(refusal) => {
            print(&format!("{}\n", file.display()));
            say(NAME, &Outcome::Failed { why: refusal.to_string(), help: None }, tally);
            return false;
        }
    };
    let is_it = |only: &String, plugin: &PluginInfo| {
        *only == plugin.name || *only == format!("{}/{}", plugin.kind.name(), plugin.name)
    };
    let asked_for = |plugin: &&PluginInfo| arguments.only.as_ref().is_none_or(|only| is_it(only, plugin));
    let mut found_any = false;
    for plugin in manifest.plugins.iter().filter(asked_for) {
        found_any = true;
        print(&format!("{} {} {}, of {}\n", plugin.kind.name(), plugin.name, plugin.version, file.display()));
        say(
            NAME,
            &Outcome::With(format!(
                "SDK {}, libtorch {}",
                manifest.sdk_version,
                engine_identity().libtorch_version
            )),
            tally,
        );
        check_plugin(file, plugin, arguments, tally);
    }
    found_any
}

/// How often a plugin may end the process before the rest is let be.
const MOST_DEATHS: u32 = 3;

fn check_plugin(file: &Path, plugin: &PluginInfo, arguments: &CheckPluginsArgs, tally: &mut Tally) {
    let patience = Duration::from_secs(arguments.patience);
    let (mut from, mut deaths) = (0, 0);
    loop {
        let mut stop = false;
        let ended = check_from(file, plugin, &arguments.set, from, patience, |name, outcome| {
            from += 1;
            say(name, outcome, tally);
            stop = arguments.fail_fast && matches!(outcome, Outcome::Failed { .. });
            !stop
        });
        match ended {
            Ok(None) => return,
            Ok(Some(_)) if stop => return,
            Ok(Some(end)) => {
                let name = end.check.as_deref().unwrap_or("its library can be loaded, and the checks made");
                say(name, &end.outcome(), tally);
                from += 1;
                deaths += 1;
                if end.is_over || arguments.fail_fast || deaths == MOST_DEATHS {
                    return print("  The rest is not checked.\n");
                }
            }
            Err(why) => return say("the engine can be started", &Outcome::Failed { why, help: None }, tally),
        }
    }
}

/// Prints what came of a check, and counts it.
fn say(name: &str, outcome: &Outcome, tally: &mut Tally) {
    match outcome {
        Outcome::Holds => print(&format!("  ok    {name}\n")),
        Outcome::With(figure) => print(&format!("  ok    {name}: {figure}\n")),
        Outcome::NotAsked(why) => print(&format!("  -     {name}: not asked, {why}\n")),
        Outcome::Failed { why, help } => {
            let lines = |text: &str| text.lines().collect::<Vec<_>>().join("\n          ");
            let help =
                help.as_ref().map_or(String::new(), |help| format!("          help: {}\n", lines(help)));
            print(&format!("  FAIL  {name}\n          {}\n{help}", lines(why)));
        }
    }
    match outcome {
        Outcome::Holds | Outcome::With(_) => tally.passed += 1,
        Outcome::NotAsked(_) => {}
        Outcome::Failed { .. } => tally.failed += 1,
    }
}

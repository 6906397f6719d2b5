//! `efference rerun`: says what differs today, and becomes the engine that runs it again.
use crate::run_spec::RunSpec;
use crate::{engine, engine_identity, fail};
use clap::Args;
use efference_abi::Kind;
use efference_compare::provenance_differences;
use efference_registry::PluginFiles;
use efference_runs::directory::RunDirectory;
use efference_runs::provenance::{Git, Machine, PluginFile, Provenance, sha256_of};
use std::path::{Path, PathBuf};
use std::thread;

/// Does a run again, by its own spec, as a new run; and first says what is different today.
///
/// Variables of the environment change nothing. `efference diff` then tells whether the two are equal.
#[derive(Debug, Args)]
pub struct RerunArgs {
    /// The run: the path of its directory, or in `runs` NAME (its run that was started last), NAME/ID, ID, or `latest`.
    #[arg(value_name = "RUN")]
    pub run: PathBuf,
    /// The directory that holds the runs; without, the one that holds the run.
    #[arg(long, value_name = "DIR")]
    pub runs: Option<PathBuf>,
    /// The last part of the new run's directory, in place of one made of the time and two words.
    #[arg(long, value_name = "ID")]
    pub id: Option<String>,
}

/// Does it; returns the exit status, unless this process becomes the engine.
pub fn run(arguments: &RerunArgs) -> u8 {
    let run = match RunSpec::open(&arguments.run) {
        Ok(run) => run,
        Err(status) => return status,
    };
    let plugins = match run.parse(&[]) {
        Ok(parsed) => PluginFiles::scan(&parsed.plugin_paths(), &engine_identity()),
        Err(status) => return status,
    };
    match run.directory.provenance() {
        None => eprintln!("note: the run has no provenance.json: what is different today is not known"),
        Some(then) => {
            let differences = provenance_differences(&then, &today(&then, &plugins));
            for difference in &differences {
                eprintln!("different today: {difference}");
            }
            if differences.is_empty() {
                eprintln!("nothing that is recorded of the run is different today");
            }
        }
    }
    let directory = run.directory;
    let mut command = match engine::command() {
        Ok(command) => command,
        Err(why) => return fail(why),
    };
    command.arg("run").arg(directory.spec()).arg("--runs").arg(runs(arguments, &directory));
    command.args(arguments.id.iter().flat_map(|id| ["--id", id]));
    for (name, _) in efference_spec::variables() {
        command.env_remove(name);
    }
    fail(engine::become_it(command))
}

fn runs(arguments: &RerunArgs, run: &RunDirectory) -> PathBuf {
    let beside = run.path().parent().and_then(Path::parent).unwrap_or(Path::new("runs"));
    arguments.runs.clone().unwrap_or_else(|| beside.to_owned())
}

/// What would make the run today, as far as that is known without libtorch.
fn today(then: &Provenance, plugins: &PluginFiles) -> Provenance {
    let plugin = |was: &PluginFile| {
        let kind = Kind::ALL.into_iter().find(|kind| kind.name() == was.kind);
        let found = kind.and_then(|kind| plugins.find(kind, &was.name).ok());
        let (version, file) = match found {
            Some(found) => (found.info.version.clone(), found.file.clone()),
            None => ("(not found)".to_owned(), was.file.clone()),
        };
        PluginFile { version, sha256: sha256_of(&file), file, ..was.clone() }
    };
    let code = then.spec.as_deref().and_then(Path::parent).unwrap_or(Path::new("."));
    Provenance {
        efference: env!("CARGO_PKG_VERSION").to_owned(),
        git: Git::of(code),
        plugins: then.plugins.iter().map(plugin).collect(),
        libtorch: engine_identity().libtorch_version,
        machine: Machine::this(),
        // The spec decides these, but for what the machine has.
        threads: then.threads.min(thread::available_parallelism().map_or(1, usize::from)),
        ..then.clone()
    }
}

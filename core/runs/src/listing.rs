//! The runs of a directory, each with what is to be said of it in one line.
use crate::directory::{RunDirectory, RunState};
use crate::find::directories;
use crate::tail::last_line;
use crate::time::from_dashed;
use crate::{FileError, Line};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// A run in a list.
#[derive(Debug, Clone)]
pub struct ListedRun {
    /// The experiment's name.
    pub name: String,
    /// The run's id.
    pub id: String,
    /// Its directory.
    pub path: PathBuf,
    /// Where it stands; `None` if that can't be read.
    pub state: Option<RunState>,
    /// Steps done, as far as is recorded.
    pub step: u64,
    /// Steps that it is to make; `None`: until it is stopped.
    pub steps: Option<u64>,
    /// What it recorded last.
    pub last: Option<Line>,
    /// When it was started.
    pub started: SystemTime,
    /// Keys of the spec in which it differs from the other listed runs of the experiment, and their values.
    pub differs: Vec<(String, String)>,
    spec: BTreeMap<String, String>,
}

/// The runs of a directory.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// The runs, the one that was started last at the end.
    pub runs: Vec<ListedRun>,
    /// What is there and is no run, or a damaged one: a sentence each.
    pub notes: Vec<String>,
}

/// Lists the runs in the directory `runs`, of one experiment or of all. Only the ends of the metrics are read.
///
/// # Errors
/// If there is no such directory.
pub fn list_runs(runs: &Path, name: Option<&str>) -> Result<Listing, FileError> {
    let experiments = match name {
        Some(name) => vec![runs.join(name)],
        None => {
            fs::read_dir(runs).map_err(|e| FileError {
                help: Some("say where the runs are with `--runs DIR`"),
                ..FileError::new("read", runs, &e)
            })?;
            directories(runs)
        }
    };
    let mut listing = Listing::default();
    for experiment in experiments {
        let paths = directories(&experiment);
        // A run by itself, where experiments are looked for.
        if experiment.join("spec.toml").is_file() {
            listing.notes.push(format!(
                "{} is a run by itself, not the directory of an experiment; name the directory two levels above it",
                experiment.display()
            ));
            continue;
        }
        let is_run = |path: &PathBuf| path.join("spec.toml").is_file();
        if !paths.iter().any(is_run) {
            listing.notes.push(format!("{} holds no run", experiment.display()));
            continue;
        }
        let first = listing.runs.len();
        for path in paths {
            match is_run(&path) {
                true => listing.add(&experiment, path),
                // What a sweep keeps beside its runs.
                false if path.join("plan.json").is_file() => {}
                false => listing.notes.push(format!("{} is no run: it has no spec.toml", path.display())),
            }
        }
        say_what_differs(&mut listing.runs[first..]);
    }
    listing.runs.sort_by_key(|run| run.started);
    Ok(listing)
}

impl Listing {
    fn add(&mut self, experiment: &Path, path: PathBuf) {
        let mut note = |damage: String| self.notes.push(damage);
        let name_of = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let id = name_of(&path);
        let directory = RunDirectory::at(path.clone());
        let spec = fs::read_to_string(directory.spec()).map_err(|e| e.to_string());
        let spec = spec.and_then(|text| text.parse::<toml::Table>().map_err(|e| e.message().to_owned()));
        let spec = spec.unwrap_or_else(|why| {
            note(format!("the spec of {} can't be read: {why}", path.display()));
            toml::Table::new()
        });
        let state = directory.state().map_err(|e| note(e.to_string())).ok();
        let end = directory.end().ok().flatten();
        let last = last_line(&directory.metrics()).unwrap_or_else(|e| {
            note(e.to_string());
            None
        });
        let started = from_dashed(&id).or_else(|| fs::metadata(directory.spec()).ok()?.modified().ok());
        let recorded = last.as_ref().map_or(0, |line| line.step);
        let mut flat = BTreeMap::new();
        flatten("", &spec, &mut flat);
        self.runs.push(ListedRun {
            name: name_of(experiment),
            id,
            state,
            step: end.map_or(recorded, |end| end.step.max(recorded)),
            steps: steps_of(&spec),
            last,
            started: started.unwrap_or(SystemTime::UNIX_EPOCH),
            differs: Vec::new(),
            spec: flat,
            path,
        });
    }
}

impl RunDirectory {
    /// Steps that the run is to make; `None`: until it is stopped, or its spec can't be read.
    pub fn steps(&self) -> Option<u64> {
        steps_of(&fs::read_to_string(self.spec()).ok()?.parse().ok()?)
    }
}

fn steps_of(spec: &toml::Table) -> Option<u64> {
    u64::try_from(spec.get("steps")?.as_integer()?).ok()
}

/// The values of a table and of those in it, by their whole keys.
fn flatten(prefix: &str, table: &toml::Table, into: &mut BTreeMap<String, String>) {
    for (key, value) in table {
        let key = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match value {
            toml::Value::Table(table) => flatten(&key, table, into),
            toml::Value::String(text) => drop(into.insert(key, text.clone())),
            value => drop(into.insert(key, value.to_string())),
        }
    }
}

/// Finds the keys whose values are not the same in all runs. An option that some runs lack because they have another
/// plugin is no difference of its own: that the plugin differs says it.
fn say_what_differs(runs: &mut [ListedRun]) {
    let mut values: BTreeMap<&str, (BTreeSet<&str>, usize)> = BTreeMap::new();
    for run in runs.iter() {
        for (key, value) in &run.spec {
            let (said, count) = values.entry(key).or_default();
            said.insert(value);
            *count += 1;
        }
    }
    let varies = |key: &str| values.get(key).is_some_and(|(said, _)| said.len() > 1);
    let differs = |(key, (said, count)): (&&str, &(BTreeSet<&str>, usize))| {
        let plugin = key.split_once('.').map(|(section, _)| format!("{section}.plugin"));
        let excused = plugin.is_some_and(|plugin| varies(&plugin));
        (said.len() > 1 || *count < runs.len() && !excused).then(|| (*key).to_owned())
    };
    let keys: Vec<String> = values.iter().filter_map(differs).collect();
    for run in runs {
        let said = |key: &String| Some((key.clone(), run.spec.get(key)?.clone()));
        run.differs = keys.iter().filter_map(said).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    fn claim(runs: &Path, second: u64, spec: &str) -> RunDirectory {
        RunDirectory::claim(runs, "light", UNIX_EPOCH + Duration::from_secs(second), spec).unwrap()
    }

    #[test]
    fn runs_are_listed_by_time_with_their_ends_and_what_differs() {
        let root = tempfile::tempdir().unwrap();
        let dense = "steps = 50\nseed = 1\n[layer]\nplugin = \"dense\"\nbias = true\n";
        let ldl = "steps = 50\nseed = 2\n[layer]\nplugin = \"ldl\"\nbias = true\nradix = 16\n";
        let later = claim(root.path(), 1_000_000_009, ldl);
        let first = claim(root.path(), 1_000_000_000, dense);
        fs::write(
            later.path().join("metrics.jsonl"),
            "{\"step\":10,\"seconds\":1.5,\"loss\":2.5}\n{\"step\":20,\"seconds\":3,\"loss\":null}\n{\"step\":",
        )
        .unwrap();
        let lock = later.lock().unwrap().unwrap();
        let listing = list_runs(root.path(), None).unwrap();
        assert_eq!(listing.notes, Vec::<String>::new());
        let [one, two] = &listing.runs[..] else { panic!("{:?}", listing.runs) };
        assert_eq!((one.id.clone(), two.id.clone()), (first.id(), later.id()));
        assert_eq!((one.state, one.step, &one.last), (Some(RunState::Killed), 0, &None));
        assert_eq!((two.state, two.step, two.steps), (Some(RunState::Running), 20, Some(50)));
        assert_eq!(two.started, UNIX_EPOCH + Duration::from_secs(1_000_000_009));
        let said = |run: &ListedRun| run.differs.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>();
        assert_eq!(said(one), ["layer.plugin=dense", "seed=1"]);
        assert_eq!(said(two), ["layer.plugin=ldl", "seed=2"]);
        drop(lock);
    }

    #[test]
    fn what_is_damaged_or_no_run_is_noted_and_the_rest_is_listed() {
        let root = tempfile::tempdir().unwrap();
        let damaged = claim(root.path(), 1_000_000_000, "steps = \n");
        fs::write(damaged.path().join("end.json"), "{\"how\":").unwrap();
        let good = claim(root.path(), 1_000_000_001, "steps = 3\n");
        fs::create_dir_all(root.path().join("light/photos")).unwrap();
        fs::create_dir_all(root.path().join("music/album")).unwrap();
        fs::create_dir_all(root.path().join(".cache/x")).unwrap();
        let listing = list_runs(root.path(), None).unwrap();
        let ids: Vec<String> = listing.runs.iter().map(|run| run.id.clone()).collect();
        assert_eq!(ids, [damaged.id(), good.id()]);
        assert_eq!((listing.runs[0].state, listing.runs[0].steps), (None, None));
        let notes = listing.notes.join("\n").replace(root.path().to_str().unwrap(), "DIR");
        for part in
            ["the spec of DIR/light/2001", "end.json", "DIR/light/photos is no run", "DIR/music holds no run"]
        {
            assert!(notes.contains(part), "no {part} in {notes}");
        }
        assert_eq!(listing.notes.len(), 4, "{notes}");
        let error = list_runs(&root.path().join("gone"), None).unwrap_err().to_string();
        assert!(error.contains("gone") && error.contains("--runs DIR"), "{error}");
    }
}

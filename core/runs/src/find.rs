//! Which run somebody means: a path, `NAME`, `NAME/ID`, an id, or `latest`.
use crate::FileError;
use crate::directory::RunDirectory;
use efference_spec::nearest;
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::time::SystemTime;

/// Why no run was found.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// There is no directory of runs.
    #[error("there is no directory '{}' that holds runs; say where they are with `--runs DIR`", .0.display())]
    NoRuns(PathBuf),
    /// There is a directory of runs, and none in it.
    #[error("there is no run in '{}' yet; `efference run SPEC` makes one", .0.display())]
    NoneYet(PathBuf),
    /// There is such a directory, and it is no run's.
    #[error(
        "'{}' is no directory of a run: it has no spec.toml. Name a run as NAME, NAME/ID, `latest`, or by its path", .0.display()
    )]
    NoRun(PathBuf),
    /// There is none of this name.
    #[error("there is no run '{said}' in '{}'{} {known}", runs.display(), near.as_ref().map_or(".".to_owned(), |near| format!("; did you mean '{near}'?")))]
    Unknown {
        /// What was said.
        said: String,
        /// Where runs are.
        runs: PathBuf,
        /// What was meant, it seems.
        near: Option<String>,
        /// What there is.
        known: String,
    },
    /// A file of it can't be read.
    #[error(transparent)]
    File(#[from] FileError),
}

/// Finds a run. `said` is the path of its directory; or, in the directory `runs`, the experiment's name (its run that
/// was started last), the name and the id with a slash between them, or the id alone; or `latest`, of all experiments.
///
/// # Errors
/// If there is no such run, with the nearest name.
pub fn find_run(runs: &Path, said: &Path) -> Result<RunDirectory, FindError> {
    let path = said;
    if is_run(path) {
        return Ok(RunDirectory::open(path)?);
    }
    // What leads elsewhere (`..`, `/`) names nothing in the directory of runs.
    let is_name = path.components().all(|part| matches!(part, Component::Normal(_)));
    let within = if is_name { runs.join(said) } else { path.to_owned() };
    if said != Path::new("latest") && is_run(&within) {
        return Ok(RunDirectory::open(&within)?);
    }
    if path.is_dir() && (!is_name || !within.exists()) && !is_experiment(path) {
        return Err(FindError::NoRun(path.to_owned()));
    }
    for experiment in [&within, path] {
        if is_experiment(experiment) {
            return latest_of(experiment);
        }
    }
    if !runs.is_dir() {
        return Err(FindError::NoRuns(runs.to_owned()));
    }
    let experiments: Vec<PathBuf> =
        directories(runs).into_iter().filter(|path| is_experiment(path)).collect();
    if experiments.is_empty() {
        return Err(FindError::NoneYet(runs.to_owned()));
    }
    if said == Path::new("latest") {
        let started = |path: &PathBuf| {
            let latest = path.join("latest");
            let written = fs::metadata(&latest).and_then(|latest| latest.modified());
            // Of those of one tick of the clock, the ids decide: they begin with the time.
            (written.unwrap_or(SystemTime::UNIX_EPOCH), fs::read_to_string(latest).unwrap_or_default())
        };
        let experiment = experiments.iter().max_by_key(|path| started(path));
        return latest_of(experiment.unwrap_or(&experiments[0]));
    }
    let by_id = experiments.iter().map(|experiment| experiment.join(said)).find(|path| is_run(path));
    if let Some(path) = by_id {
        return Ok(RunDirectory::open(&path)?);
    }
    if within.is_dir() {
        return Err(FindError::NoRun(within));
    }
    Err(unknown(runs, &said.to_string_lossy(), &experiments))
}

/// Whether there is a run: in this directory, or named by this file `latest`.
fn is_run(path: &Path) -> bool {
    path.join("spec.toml").is_file() || path.is_file() && path.ends_with("latest")
}

/// Whether the directory holds the runs of one experiment.
fn is_experiment(path: &Path) -> bool {
    path.join("latest").is_file() || directories(path).iter().any(|path| path.join("spec.toml").is_file())
}

/// The run of an experiment that was started last; if that is gone, of those that are left.
fn latest_of(experiment: &Path) -> Result<RunDirectory, FindError> {
    let noted = fs::read_to_string(experiment.join("latest")).ok().map(|id| experiment.join(id.trim()));
    let noted = noted.filter(|path| path.join("spec.toml").is_file());
    // Ids sort by time, unless somebody has chosen them.
    let last = || directories(experiment).into_iter().rfind(|path| path.join("spec.toml").is_file());
    match noted.or_else(last) {
        Some(path) => Ok(RunDirectory::open(&path)?),
        None => Err(FindError::NoneYet(experiment.to_owned())),
    }
}

fn unknown(runs: &Path, said: &str, experiments: &[PathBuf]) -> FindError {
    let names = |paths: &[PathBuf]| -> Vec<String> {
        paths.iter().filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned())).collect()
    };
    let (name, id) = said.split_once('/').unwrap_or((said, ""));
    let known = names(experiments);
    if known.iter().any(|known| known == name) {
        let ids = names(&directories(&runs.join(name)));
        let near = nearest(id, ids.iter().map(String::as_str)).map(|near| format!("{name}/{near}"));
        let known = format!("Of '{name}' there are {} runs; `efference runs {name}` lists them", ids.len());
        return FindError::Unknown { said: said.to_owned(), runs: runs.to_owned(), near, known };
    }
    let near = nearest(name, known.iter().map(String::as_str)).map(str::to_owned);
    let known = format!("Experiments that have runs: {}", known.join(", "));
    FindError::Unknown { said: said.to_owned(), runs: runs.to_owned(), near, known }
}

/// The directories in one, sorted by name; hidden ones are left out.
pub(crate) fn directories(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let hidden = |entry: &fs::DirEntry| entry.file_name().as_encoded_bytes().starts_with(b".");
    let mut paths: Vec<PathBuf> = entries
        .filter(|entry| !hidden(entry) && entry.file_type().is_ok_and(|kind| !kind.is_file()))
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect();
    paths.sort();
    paths
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn a_run_is_found_by_path_name_id_and_latest() {
        let root = tempfile::tempdir().unwrap();
        let runs = root.path().join("runs");
        let claim = |name: &str, second: u64| {
            let at = UNIX_EPOCH + Duration::from_secs(1_000_000_000 + second);
            RunDirectory::claim(&runs, name, at, "").unwrap()
        };
        let (old, new, other) = (claim("light", 1), claim("light", 2), claim("dark", 3));
        let found =
            |said: &str| find_run(&runs, Path::new(said)).map(|run| run.id()).map_err(|e| e.to_string());
        assert_eq!(found("light"), Ok(new.id()));
        assert_eq!(found(&format!("light/{}", old.id())), Ok(old.id()));
        assert_eq!(found(&old.id()), Ok(old.id()));
        assert_eq!(found(old.path().to_str().unwrap()), Ok(old.id()));
        assert_eq!(found(runs.join("light/latest").to_str().unwrap()), Ok(new.id()));
        assert_eq!(found(runs.join("light").to_str().unwrap()), Ok(new.id()));
        assert_eq!(found("latest"), Ok(other.id()));
        fs::remove_dir_all(new.path()).unwrap();
        assert_eq!(found("light"), Ok(old.id()), "the one that `latest` names is gone");
    }

    #[test]
    fn a_run_that_is_not_there_is_reported_with_the_nearest_one() {
        let root = tempfile::tempdir().unwrap();
        let said = |runs: &Path, said: &str| {
            let error = find_run(runs, Path::new(said)).unwrap_err().to_string();
            error.replace(root.path().to_str().unwrap(), "DIR")
        };
        let runs = root.path().join("runs");
        assert_eq!(
            said(&runs, "light"),
            "there is no directory 'DIR/runs' that holds runs; say where they are with `--runs DIR`"
        );
        fs::create_dir(&runs).unwrap();
        assert_eq!(
            said(&runs, "latest"),
            "there is no run in 'DIR/runs' yet; `efference run SPEC` makes one"
        );
        RunDirectory::claim_as(&runs, "light", "member-1", "").unwrap();
        assert_eq!(
            said(&runs, "lihgt"),
            "there is no run 'lihgt' in 'DIR/runs'; did you mean 'light'? Experiments that have runs: light"
        );
        assert_eq!(
            said(&runs, "light/membr-1"),
            "there is no run 'light/membr-1' in 'DIR/runs'; did you mean 'light/member-1'? Of 'light' there are 1 \
             runs; `efference runs light` lists them"
        );
        let dot = find_run(&runs, Path::new(".")).unwrap_err().to_string();
        assert!(dot.starts_with("'.' is no directory of a run"), "{dot}");
        fs::create_dir(root.path().join("music")).unwrap();
        assert_eq!(
            said(&runs, root.path().join("music").to_str().unwrap()),
            "'DIR/music' is no directory of a run: it has no spec.toml. Name a run as NAME, NAME/ID, `latest`, or by its \
             path"
        );
    }
}

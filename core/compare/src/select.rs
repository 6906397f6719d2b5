//! Which runs are meant: directories of runs, directories that hold them, `latest`.
use crate::error::CompareError;
use efference_runs::directory::RunDirectory;
use efference_spec::nearest;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Finds the runs that the names mean, each once, in the order of their paths.
///
/// A name is a path, or what stands in the directory `runs`: the directory of a run; one that holds runs, directly or
/// one level further down, as a sweep's does; `runs/<name>/latest`; or `latest`, the run that was started last.
///
/// # Errors
/// If a name is no run and holds none.
pub fn find_runs(names: &[PathBuf], runs: &Path) -> Result<Vec<RunDirectory>, CompareError> {
    let mut found = BTreeSet::new();
    for name in names {
        let before = found.len();
        let path = match name.exists() {
            true => name.clone(),
            false if name.as_os_str() == "latest" => latest(runs).unwrap_or_else(|| runs.join("latest")),
            false => runs.join(name),
        };
        collect(&path, 2, &mut found)?;
        if found.len() == before && !already(&path, &found) {
            return Err(no_run(name, &path, runs));
        }
    }
    found.iter().map(|path| RunDirectory::open(path).map_err(CompareError::from)).collect()
}

/// Adds the run that a path is, or those that it holds.
fn collect(path: &Path, levels: usize, found: &mut BTreeSet<PathBuf>) -> Result<(), CompareError> {
    let is_latest = path.is_file() && path.file_name().is_some_and(|name| name == "latest");
    if is_latest || path.join("spec.toml").is_file() {
        found.insert(RunDirectory::open(path)?.path().to_owned());
    } else if let (true, Ok(entries)) = (levels > 0, fs::read_dir(path)) {
        // What is no directory in there, such as `latest`, names no further runs.
        for entry in entries.flatten().map(|entry| entry.path()).filter(|entry| entry.is_dir()) {
            collect(&entry, levels - 1, found)?;
        }
    }
    Ok(())
}

/// Whether all that a path names was found before, by another name.
fn already(path: &Path, found: &BTreeSet<PathBuf>) -> bool {
    let mut again = BTreeSet::new();
    collect(path, 2, &mut again).is_ok() && !again.is_empty() && again.is_subset(found)
}

/// The `latest` that was written last.
fn latest(runs: &Path) -> Option<PathBuf> {
    let files = fs::read_dir(runs).ok()?.flatten().map(|entry| entry.path().join("latest"));
    let dated = files.filter_map(|file| Some((fs::metadata(&file).ok()?.modified().ok()?, file)));
    dated.max().map(|(_, file)| file)
}

fn no_run(name: &Path, path: &Path, runs: &Path) -> CompareError {
    let there = fs::read_dir(runs).into_iter().flatten().flatten();
    let there: Vec<String> = there
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    let said = name.file_name().unwrap_or_default().to_string_lossy();
    let near = nearest(&said, there.iter().map(String::as_str).filter(|near| runs.join(near) != path));
    let near = near.map_or(String::new(), |near| format!("; did you mean '{}'?", runs.join(near).display()));
    let why = match (path.is_dir(), path.exists()) {
        (true, _) => "is the directory of no run (it has no spec.toml) and holds none".to_owned(),
        (false, true) => "is a file and no run".to_owned(),
        (false, false) => format!("is not there, and neither is '{}'", path.display()),
    };
    CompareError::NoRun { name: name.to_owned(), why, near }
}

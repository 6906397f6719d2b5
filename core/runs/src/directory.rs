//! The directory of a run: `runs/<name>/<id>/`.
//!
//! | file | what it is | written |
//! |---|---|---|
//! | `spec.toml` | the resolved spec | when the run starts |
//! | `provenance.json` | what made the run: code, plugins, machine | within seconds of the start |
//! | `metrics.jsonl` | the record, one object a line | as the run goes |
//! | `evaluations.jsonl` | the return of each episode of each evaluation | as the run goes |
//! | `fingerprints.bin` | what tells where two runs part | as the run goes |
//! | `metrics.columns` | the same, to be read fast; derived, and made again where it is missing | when a long run is read |
//! | `tensorboard/` | event files with the same curves and pictures | as the run goes |
//! | `pictures/` | observation and prediction side by side | as the run goes |
//! | `checkpoints/` | what a run can be resumed from | as the run goes |
//! | `log.txt` | the log | as the run goes |
//! | `lock` | held by the process that writes the run | while it runs |
//! | `view` | the socket of those who look at the run while it goes, see [`viewing`](crate::viewing) | while it runs |
//! | `end.json` | how the run ended | last; without it, the run goes on or was killed |
//!
//! Beside the directories of its runs, the file `runs/<name>/latest` says the id of the one started last. It is
//! no link: TensorBoard follows links, and would show that run twice, and, once the link points at the next
//! run, the curves of two runs as one.
mod cut;
mod end;
mod failure;
mod handle;
mod id;
mod prepare;
mod state;
mod whole_file;

use crate::provenance::Provenance;
use crate::{FileError, RecorderFiles};
use efference_spec::check_name;
use serde::Serialize;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

pub use end::{End, Ending};
pub use failure::Failure;
pub use handle::RunHandle;
use id::{claim_id, claim_path};
use prepare::prepare;
pub use state::{RunLock, RunState};
pub use whole_file::write_atomically;

/// The directory of one run, which belongs to that run alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunDirectory {
    /// Absolute where that is possible: a plugin may change the working directory.
    path: PathBuf,
    /// The same, as it was given.
    shown: PathBuf,
}

/// Why a run got no directory.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// Something could not be made or written. Nothing half made is left.
    #[error(transparent)]
    File(#[from] FileError),
    /// The experiment's name cannot name a directory.
    #[error(
        "'{name}' cannot name the directory of an experiment's runs: it {reason}; give `name` in the spec letters, \
         digits, '-', '_' and '.'"
    )]
    Name {
        /// The name.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl RunDirectory {
    /// Makes `<runs>/<name>/<id>/` with its subdirectories and `spec.toml`, and notes it in `latest`.
    ///
    /// The id is the time in UTC and two words, `2026-11-22-10-04-05-brisk-otter`: it sorts by time and can be
    /// said aloud. Making a directory succeeds for one process only, so runs that start in the same second get
    /// one each.
    ///
    /// # Errors
    /// If `name` cannot name a directory, or something cannot be made or written; then nothing is left behind.
    pub fn claim(runs: &Path, name: &str, now: SystemTime, spec: &str) -> Result<Self, ClaimError> {
        Self::claim_in(runs, name, spec, |prepared, parent| claim_id(prepared, parent, now))
    }

    /// As [`claim`](Self::claim), with an id that the caller has chosen, as a sweep does for its members.
    ///
    /// # Errors
    /// As `claim`; and if there is a run of this id already.
    pub fn claim_as(runs: &Path, name: &str, id: &str, spec: &str) -> Result<Self, ClaimError> {
        check_name(id).map_err(|reason| ClaimError::Name { name: id.to_owned(), reason })?;
        Self::claim_in(runs, name, spec, |prepared, parent| {
            let path = parent.join(id);
            match claim_path(prepared, &path) {
                Ok(true) => Ok(path),
                Ok(false) => Err(FileError::new("make", &path, &io::ErrorKind::AlreadyExists.into())),
                Err(e) => Err(FileError::new("make", &path, &e)),
            }
        })
    }

    fn claim_in(
        runs: &Path,
        name: &str,
        spec: &str,
        place: impl FnOnce(&Path, &Path) -> Result<PathBuf, FileError>,
    ) -> Result<Self, ClaimError> {
        check_name(name).map_err(|reason| ClaimError::Name { name: name.to_owned(), reason })?;
        let parent = runs.join(name);
        let made = make_directories(&parent)?;
        let claimed = prepare(&parent, spec).and_then(|prepared| {
            let path = place(prepared.path(), &parent)?;
            let _ = prepared.keep(); // it is there under its own name
            Ok(RunDirectory::at(path))
        });
        match claimed {
            Ok(directory) => {
                directory.write_latest();
                Ok(directory)
            }
            Err(error) => {
                // Only what was made here, and only while nobody else has put anything into it.
                made.iter().rev().take_while(|path| fs::remove_dir(path).is_ok()).for_each(drop);
                Err(error.into())
            }
        }
    }

    /// The directory of a run that was started before; `runs/<name>/latest` is the one started last.
    ///
    /// # Errors
    /// If it is no directory of a run: `spec.toml` is missing.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let mut path = fs::canonicalize(path).map_err(|e| FileError::new("open", path, &e))?;
        if path.is_file() && path.file_name().is_some_and(|name| name == "latest") {
            let id = fs::read_to_string(&path).map_err(|e| FileError::new("read", &path, &e))?;
            path.set_file_name(id.trim());
        }
        let spec = path.join("spec.toml");
        fs::metadata(&spec).map_err(|e| FileError {
            help: Some("name the directory of a run, as in runs/<name>/latest"),
            ..FileError::new("read", &spec, &e)
        })?;
        Ok(RunDirectory::at(path))
    }

    /// A directory that is known to be a run's.
    pub(crate) fn at(path: PathBuf) -> Self {
        RunDirectory { path: std::path::absolute(&path).unwrap_or_else(|_| path.clone()), shown: path }
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its path for people: as it was given, if it was.
    pub fn shown(&self) -> &Path {
        &self.shown
    }

    /// The last part of the path, which names the run.
    pub fn id(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// `spec.toml`.
    pub fn spec(&self) -> PathBuf {
        self.path.join("spec.toml")
    }

    /// `fingerprints.bin`.
    pub fn fingerprints(&self) -> PathBuf {
        self.path.join("fingerprints.bin")
    }

    /// `evaluations.jsonl`.
    pub fn evaluations(&self) -> PathBuf {
        self.path.join("evaluations.jsonl")
    }

    /// Where a [`Recorder`](crate::Recorder) writes, with or without TensorBoard's files.
    pub fn recorder_files(&self, tensorboard: bool) -> RecorderFiles {
        RecorderFiles {
            metrics: self.metrics(),
            fingerprints: None,
            tensorboard: tensorboard.then(|| self.path.join("tensorboard")),
            pictures: self.pictures(),
            evaluations: self.evaluations(),
            reserved: Some(self.reserved()),
        }
    }

    /// `metrics.jsonl`.
    pub fn metrics(&self) -> PathBuf {
        self.path.join("metrics.jsonl")
    }

    /// `pictures/`.
    pub fn pictures(&self) -> PathBuf {
        self.path.join("pictures")
    }

    /// `checkpoints/`.
    pub fn checkpoints(&self) -> PathBuf {
        self.path.join("checkpoints")
    }

    /// `.reserved`, which holds room on the disk for the end of the run.
    fn reserved(&self) -> PathBuf {
        self.path.join(".reserved")
    }

    /// Opens `log.txt` to add to it.
    ///
    /// # Errors
    /// If that is not possible.
    pub fn log(&self) -> Result<File, FileError> {
        let path = self.path.join("log.txt");
        let open = OpenOptions::new().create(true).append(true).open(&path);
        open.map_err(|e| FileError::new("write", &path, &e))
    }

    /// Writes `provenance.json`.
    ///
    /// # Errors
    /// If that is not possible.
    pub fn write_provenance(&self, provenance: &Provenance) -> Result<(), FileError> {
        self.write_json("provenance.json", &provenance.masked())
    }

    /// The file that a spec was first read from: of the `spec.toml` of a run, the one that the run was started with, if it
    /// is still there. What code is around it tells the version of the experiment.
    pub fn first_spec(spec: &Path) -> PathBuf {
        let run = spec.parent().filter(|_| spec.file_name().is_some_and(|name| name == "spec.toml"));
        let run = run.map(|path| RunDirectory::at(path.to_owned()));
        let first = run.and_then(|run| run.provenance()?.spec).filter(|first| first.is_file());
        first.unwrap_or_else(|| spec.to_owned())
    }

    /// Adds to `provenance.json` what makes the run go on.
    ///
    /// # Errors
    /// If that is not possible.
    pub fn add_provenance(&self, resumed: Provenance) -> Result<(), FileError> {
        match self.provenance() {
            Some(mut first) => {
                first.resumed.push(resumed);
                self.write_provenance(&first)
            }
            // A run that was killed within its first second has none.
            None => self.write_provenance(&resumed),
        }
    }

    /// What made the run, if that is there and can be read.
    pub fn provenance(&self) -> Option<Provenance> {
        serde_json::from_slice(&fs::read(self.path.join("provenance.json")).ok()?).ok()
    }

    /// Writes `spec.toml` anew.
    ///
    /// # Errors
    /// If that is not possible.
    pub fn write_spec(&self, spec: &str) -> Result<(), FileError> {
        write_atomically(&self.spec(), spec.as_bytes())
    }

    /// Writes `end.json`. It is there whole or not at all, even if the machine stops meanwhile.
    ///
    /// # Errors
    /// If that is not possible.
    pub fn write_end(&self, end: &End) -> Result<(), FileError> {
        let end = &end.masked();
        let written = self.write_json("end.json", end);
        // What was held for this is given back, and may be what was wanting.
        let held = fs::remove_file(self.reserved()).is_ok();
        if written.is_err() && held { self.write_json("end.json", end) } else { written }
    }

    /// How the run ended; `None` if it has not, or was killed.
    ///
    /// # Errors
    /// If there is an `end.json` that cannot be read.
    pub fn end(&self) -> Result<Option<End>, FileError> {
        let path = self.path.join("end.json");
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(FileError::new("read", &path, &e)),
        };
        serde_json::from_slice(&text).map(Some).map_err(|e| FileError::new("read", &path, &e.into()))
    }

    fn write_json(&self, name: &str, content: &impl Serialize) -> Result<(), FileError> {
        let path = self.path.join(name);
        let mut text =
            serde_json::to_vec_pretty(content).map_err(|e| FileError::new("write", &path, &e.into()))?;
        text.push(b'\n');
        write_atomically(&path, &text)
    }

    /// Best effort: a run is none the worse without.
    fn write_latest(&self) {
        let latest = self.path.with_file_name("latest");
        if let Err(error) = write_atomically(&latest, format!("{}\n", self.id()).as_bytes()) {
            tracing::warn!("{error}");
        }
    }
}

/// As `create_dir_all`, and says which directories were missing, the outermost first.
fn make_directories(path: &Path) -> Result<Vec<PathBuf>, FileError> {
    let mut missing: Vec<PathBuf> = path
        .ancestors()
        .take_while(|p| !p.as_os_str().is_empty() && fs::symlink_metadata(p).is_err())
        .map(Path::to_owned)
        .collect();
    missing.reverse();
    fs::create_dir_all(path).map_err(|e| {
        missing.iter().rev().for_each(|made| drop(fs::remove_dir(made)));
        FileError::new("make", path, &e)
    })?;
    Ok(missing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::rfc3339;
    use std::collections::HashSet;
    use std::os::unix::fs::PermissionsExt;
    use std::time::{Duration, UNIX_EPOCH};

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn names(path: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(path).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_claimed_directory_has_all_it_needs() {
        let root = tempfile::tempdir().unwrap();
        let runs = root.path().join("deep/runs");
        let first = RunDirectory::claim(&runs, "first-light", at(1_795_341_845), "steps = 3\n").unwrap();
        assert!(first.id().starts_with("2026-11-22-10-04-05-"), "{}", first.id());
        assert_eq!(names(first.path()), ["checkpoints", "pictures", "spec.toml", "tensorboard"]);
        assert_eq!(fs::read_to_string(first.spec()).unwrap(), "steps = 3\n");
        let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let plain = root.path().join("plain");
        fs::write(&plain, "").unwrap();
        assert_eq!(mode(first.spec()), mode(plain), "who may read other files may read this one");
        let latest = runs.join("first-light/latest");
        assert_eq!(fs::read_to_string(&latest).unwrap(), first.id() + "\n");
        let second = RunDirectory::claim(&runs, "first-light", at(1_795_341_845), "").unwrap();
        assert_ne!(first, second);
        let opened = RunDirectory::open(&latest).unwrap();
        assert_eq!(opened.path(), fs::canonicalize(second.path()).unwrap());
        let error = RunDirectory::open(&runs).unwrap_err().to_string();
        assert!(error.contains("deep/runs/spec.toml'") && error.contains("runs/<name>/latest"), "{error}");
    }

    #[test]
    fn runs_that_start_in_the_same_second_get_one_each() {
        let root = tempfile::tempdir().unwrap();
        let barrier = std::sync::Barrier::new(16);
        let ids: HashSet<PathBuf> = std::thread::scope(|scope| {
            let claim = || {
                barrier.wait();
                let claim = || RunDirectory::claim(root.path(), "same", at(1_000_000_000), "a = 1").unwrap();
                (0..8).map(|_| claim().path).collect::<Vec<_>>()
            };
            let threads: Vec<_> = (0..16).map(|_| scope.spawn(claim)).collect();
            threads.into_iter().flat_map(|t| t.join().unwrap()).collect()
        });
        assert_eq!(ids.len(), 128);
        assert!(ids.iter().all(|path| path.join("spec.toml").is_file()));
        assert_eq!(names(&root.path().join("same")).len(), 129, "the runs, `latest`, and no temporary file");
    }

    #[test]
    fn a_failure_says_what_is_in_the_way_and_leaves_nothing() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("file"), "").unwrap();
        let claim = |runs: &Path| RunDirectory::claim(runs, "x", at(0), "").unwrap_err().to_string();
        let error = claim(&root.path().join("file"));
        assert!(error.contains("/file/x'") && error.contains("a file is in the way"), "{error}");
        let error = claim(&root.path().join("file/deeper"));
        assert!(error.contains("a file is in the way"), "{error}");
        assert_eq!(claim(Path::new("/proc/runs")).split(':').next().unwrap(), "cannot make '/proc/runs/x'");
        assert_eq!(names(root.path()), ["file"]);

        // A name that fits into a directory, whose runs do not fit into a path.
        let mut long = root.path().join("long");
        while long.as_os_str().len() < 3_900 {
            long.push("d".repeat(100));
        }
        long.push("d".repeat(4_070 - long.as_os_str().len()));
        let error = RunDirectory::claim(&long, "x", at(0), "").unwrap_err().to_string();
        assert!(error.contains("cannot make"), "{error}");
        assert_eq!(names(root.path()), ["file"], "all that was made for it is gone");
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        let root = tempfile::tempdir().unwrap();
        for name in ["", "..", "../x", "a/b", ".hidden", "-rf", "a\nb", "a\0b", &"n".repeat(101)] {
            let error = RunDirectory::claim(root.path(), name, at(0), "").unwrap_err();
            assert!(matches!(error, ClaimError::Name { .. }), "{name:?}: {error}");
        }
        assert!(names(root.path()).is_empty());
    }

    #[test]
    fn the_end_is_read_as_it_was_written() {
        let root = tempfile::tempdir().unwrap();
        let run = RunDirectory::claim(root.path(), "x", at(0), "").unwrap();
        assert_eq!(run.end().unwrap(), None);
        let ended = rfc3339(at(951_782_399));
        let failed = Ending::Failed {
            plugin: Some("ldl".to_owned()),
            messages: vec!["layer 'ldl'".to_owned(), "forward: wrong shape".to_owned()],
            help: None,
        };
        for how in [Ending::Finished, Ending::Stopped, failed] {
            let end = End { how, step: 7, seconds: 1.5, ended: ended.clone(), notes: Vec::new() };
            run.write_end(&end).unwrap();
            assert_eq!(run.end().unwrap(), Some(end));
        }
        let json: serde_json::Value =
            serde_json::from_slice(&fs::read(run.path().join("end.json")).unwrap()).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "how": "failed", "plugin": "ldl", "messages": ["layer 'ldl'", "forward: wrong shape"],
                "step": 7, "seconds": 1.5, "ended": "2000-02-28T23:59:59Z"
            })
        );
        assert_eq!(names(run.path()).iter().filter(|n| n.contains("end")).count(), 1, "no temporary file");
        fs::write(run.path().join("end.json"), "{").unwrap();
        assert!(run.end().unwrap_err().to_string().contains("end.json'"));
    }
}

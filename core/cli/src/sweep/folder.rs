//! The folder of a sweep, and the places of its members.
use super::Plan;
use efference_runs::FileError;
use efference_runs::directory::write_atomically;
use efference_spec::SweepMember;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// `runs/<name>/sweep/`.
#[derive(Debug)]
pub(crate) struct SweepFolder {
    /// The directory that holds all runs.
    pub(crate) runs: PathBuf,
    /// `runs/<name>/`.
    experiment: PathBuf,
}

impl SweepFolder {
    /// The folder of the sweep of this name; nothing is made.
    pub(crate) fn new(runs: &Path, name: &str) -> SweepFolder {
        SweepFolder { runs: runs.to_owned(), experiment: runs.join(name) }
    }

    /// The directory of the run of a member.
    pub(crate) fn run(&self, id: &str) -> PathBuf {
        self.experiment.join(id)
    }

    /// `sweep/`, or something in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.experiment.join("sweep").join(name)
    }

    /// The resolved spec of a member.
    pub(crate) fn spec(&self, id: &str) -> PathBuf {
        self.path("members").join(format!("{id}.toml"))
    }

    /// What the run of a member prints.
    pub(crate) fn log(&self, id: &str) -> PathBuf {
        self.path("logs").join(format!("{id}.txt"))
    }

    /// Makes the folder and takes the sweep for this process.
    ///
    /// # Errors
    /// A sentence, if it can't be made, or another process has it.
    pub(crate) fn lock(&self) -> Result<File, String> {
        for name in ["members", "logs", "set-aside"] {
            let path = self.path(name);
            fs::create_dir_all(&path).map_err(|e| FileError::new("make", &path, &e).to_string())?;
        }
        let path = self.path("lock");
        let open = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let file = open.map_err(|e| FileError::new("make", &path, &e).to_string())?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(format!(
                "another `efference sweep` is at work on {}: wait for its end, or stop it by Ctrl-C; it can be gone on with",
                self.experiment.display()
            )),
            Err(TryLockError::Error(e)) => Err(FileError::new("lock", &path, &e).to_string()),
        }
    }

    /// The plan; `None` if the sweep was not begun yet.
    ///
    /// # Errors
    /// A sentence, if there is one that can't be read.
    pub(crate) fn plan(&self) -> Result<Option<Plan>, String> {
        let path = self.path("plan.json");
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(e) if [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory].contains(&e.kind()) => {
                return Ok(None);
            }
            Err(e) => return Err(FileError::new("read", &path, &e).to_string()),
        };
        serde_json::from_slice(&text).map(Some).map_err(|e| {
            let error = FileError::new("read", &path, &e.into());
            format!("{error}; move it away, and the sweep is planned anew: what is finished stays so")
        })
    }

    /// Writes the plan, and the specs of members.
    ///
    /// # Errors
    /// If that is not possible.
    pub(crate) fn write<'a>(
        &self,
        plan: &Plan,
        members: impl Iterator<Item = (&'a str, &'a SweepMember)>,
    ) -> Result<(), FileError> {
        for (id, member) in members {
            let path = self.spec(id);
            // One that is there is the same: the id says so.
            if !path.exists() {
                write_atomically(&path, member.spec.to_toml().as_bytes())?;
            }
        }
        let path = self.path("plan.json");
        let mut text =
            serde_json::to_vec_pretty(plan).map_err(|e| FileError::new("write", &path, &e.into()))?;
        text.push(b'\n');
        write_atomically(&path, &text)
    }

    /// Puts what a member left out of the way, so that it can begin anew.
    ///
    /// # Errors
    /// If that is not possible.
    pub(crate) fn set_aside(&self, id: &str) -> Result<(), FileError> {
        let free = |path: &PathBuf| !path.exists();
        let numbered = (1..).map(|number: u32| self.path("set-aside").join(format!("{id}.{number}")));
        let to = numbered.into_iter().find(free).unwrap_or_default();
        let rename = |from: &Path, to: &Path| match fs::rename(from, to) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(FileError::new("move", from, &e)),
            _ => Ok(()),
        };
        rename(&self.run(id), &to)?;
        rename(
            &self.log(id),
            &to.with_file_name(format!("{}.txt", to.file_name().unwrap_or_default().to_string_lossy())),
        )
    }
}

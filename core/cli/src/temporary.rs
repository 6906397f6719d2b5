//! Directories for a command's own use, which do not stay: not even those of a process that was killed.
use rustix::process::geteuid;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use std::{env, io};
use tempfile::TempDir;

/// What each of their names begins with.
const PREFIX: &str = "efference-";
/// A directory without a lock is one whose process was killed before it made that, once it is so old.
const WITHOUT_LOCK_AFTER: Duration = Duration::from_secs(24 * 3600);

/// A temporary directory, as long as this lives.
#[derive(Debug)]
pub struct TemporaryPlace {
    place: PathBuf,
    _lock: File,
    _directory: TempDir,
}

impl TemporaryPlace {
    /// Makes one for this purpose, such as `bench`; and removes those that killed processes of this user left behind.
    ///
    /// # Errors
    /// If there is no room for it.
    pub fn new(purpose: &str) -> io::Result<Self> {
        let prefix = format!("{PREFIX}{purpose}-");
        sweep(&env::temp_dir(), &prefix);
        let directory = tempfile::Builder::new().prefix(&prefix).tempdir()?;
        let lock = File::create(lock_of(directory.path()))?;
        lock.lock()?;
        let place = directory.path().join("place");
        fs::create_dir(&place)?;
        Ok(TemporaryPlace { place, _lock: lock, _directory: directory })
    }

    /// The directory, empty at first.
    pub fn path(&self) -> &Path {
        &self.place
    }
}

/// Held by the process that has the directory, until it ends in whichever way.
fn lock_of(directory: &Path) -> PathBuf {
    directory.join("lock")
}

/// Removes directories that nobody has. What can't be removed stays, for whoever may.
fn sweep(temporary: &Path, prefix: &str) {
    for entry in fs::read_dir(temporary).into_iter().flatten().flatten() {
        let path = entry.path();
        let is_named = entry.file_name().to_string_lossy().starts_with(prefix);
        if is_named && is_left(&path) {
            let _ = fs::remove_dir_all(&path);
        }
    }
}

fn is_left(directory: &Path) -> bool {
    let Ok(data) = fs::symlink_metadata(directory) else { return false };
    if !data.is_dir() || data.uid() != geteuid().as_raw() {
        return false;
    }
    match File::open(lock_of(directory)) {
        Ok(lock) => lock.try_lock().is_ok(),
        Err(_) => {
            let age = data.modified().ok().and_then(|then| SystemTime::now().duration_since(then).ok());
            age.is_some_and(|age| age > WITHOUT_LOCK_AFTER)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_process_left_is_removed_and_what_another_has_is_not() {
        let temporary = tempfile::tempdir().unwrap();
        let make = |name: &str| {
            let path = temporary.path().join(name);
            fs::create_dir_all(path.join("place/deep")).unwrap();
            path
        };
        let (held, left, new, other) =
            (make("efference-x-1"), make("efference-x-2"), make("efference-x-3"), make("y"));
        let lock = File::create(lock_of(&held)).unwrap();
        lock.lock().unwrap();
        File::create(lock_of(&left)).unwrap();
        std::os::unix::fs::symlink(&other, temporary.path().join("efference-x-4")).unwrap();
        sweep(temporary.path(), "efference-x-");
        assert!(held.is_dir() && !left.exists() && new.is_dir() && other.is_dir());
        drop(lock);
        sweep(temporary.path(), "efference-x-");
        assert!(!held.exists() && new.is_dir());
    }
}

//! A run's directory before it has its name: made whole, then renamed.
use super::whole_file::write_atomically;
use crate::FileError;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

/// How the name of a directory begins that is to become a run's.
const PREPARED: &str = ".new-";

/// Makes a directory that has all that a run begins with, under a name that no reader looks at: it gets its own by
/// being renamed, so that a process that is killed leaves no half of a run.
pub(super) fn prepare(parent: &Path, spec: &str) -> Result<tempfile::TempDir, FileError> {
    sweep_prepared(parent);
    let prepared = tempfile::Builder::new()
        .prefix(PREPARED)
        .permissions(fs::Permissions::from_mode(0o777))
        .tempdir_in(parent)
        .map_err(|e| FileError::new("make", &parent.join(PREPARED), &e))?;
    for name in ["tensorboard", "pictures", "checkpoints"] {
        let path = prepared.path().join(name);
        fs::create_dir(&path).map_err(|e| FileError::new("make", &path, &e))?;
    }
    write_atomically(&prepared.path().join("spec.toml"), spec.as_bytes())?;
    Ok(prepared)
}

/// Removes what a process has left that was killed while it prepared a run.
fn sweep_prepared(parent: &Path) {
    const OLD: Duration = Duration::from_secs(600);
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let old = || entry.metadata().and_then(|m| m.modified()).ok()?.elapsed().ok();
        if entry.file_name().as_encoded_bytes().starts_with(PREPARED.as_bytes())
            && old().is_some_and(|age| age > OLD)
        {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::RunDirectory;
    use crate::list_runs;
    use std::time::{SystemTime, UNIX_EPOCH};

    #[test]
    fn what_a_killed_process_has_prepared_is_no_run_and_goes_in_time() {
        let root = tempfile::tempdir().unwrap();
        let parent = root.path().join("x");
        fs::create_dir(&parent).unwrap();
        // As a process leaves them that is killed before the last rename.
        let [old, new] = [(); 2].map(|()| prepare(&parent, "steps = 1\n").unwrap().keep());
        let long_ago = SystemTime::now() - Duration::from_secs(3_600);
        fs::File::open(&old).unwrap().set_modified(long_ago).unwrap();
        assert_eq!(list_runs(root.path(), None).unwrap().runs.len(), 0);
        let run = RunDirectory::claim(root.path(), "x", UNIX_EPOCH, "").unwrap();
        assert!(run.spec().is_file());
        assert_eq!((old.exists(), new.exists()), (false, true), "one may still be at it");
        assert_eq!(list_runs(root.path(), None).unwrap().runs.len(), 1);
    }
}

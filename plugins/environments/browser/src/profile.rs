//! The folder that a browser writes to, and what is left of those whose host was killed.
//!
//! All folders lie under one parent, each beside a lock file that its host holds as long as it lives. When a host is
//! killed, a [`CleanupProcess`] removes the folder; in case that was killed as well, whoever starts a browser removes the
//! folders whose lock nobody holds.
use crate::cleanup::CleanupProcess;
use efference_sdk::{Error, Result, ResultExt, bail, tracing};
use rustix::fs::{Gid, Uid, chown};
use rustix::process::geteuid;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Users that no account belongs to: the numbers that systemd keeps for users which exist only while a service
/// runs. As root, each browser runs as one of its own.
const FIRST_USER: u32 = 61_184;
const USERS: u32 = 4_336;

/// A browser's folder; it is removed with this value.
pub(crate) struct Profile {
    folder: PathBuf,
    lock: Lock,
    cleanup: Option<CleanupProcess>,
    /// Whom the browser is to run as, if not as who the host runs as.
    pub(crate) user: Option<u32>,
}

struct Lock {
    path: PathBuf,
    held: File,
}

impl Profile {
    /// Removes what dead hosts left under this parent, and takes a folder of its own.
    pub(crate) fn claim(parent: &Path) -> Result<Profile> {
        let root = geteuid().is_root();
        sweep(parent);
        let in_folder = || format!("the browser needs a folder of its own in {}", parent.display());
        for slot in 0..USERS {
            make_parent(parent, root).with_context(in_folder)?;
            let path = parent.join(format!("{slot}.lock"));
            let Some(lock) = Lock::take(&path, true).with_context(in_folder)? else { continue };
            let folder = parent.join(slot.to_string());
            if remove(&folder).is_err() {
                continue; // a browser that is dying still writes there
            }
            let user = root.then_some(FIRST_USER + slot);
            let cleanup = CleanupProcess::start(&folder, &lock.path, &lock.held)
                .inspect_err(|error| tracing::warn!(%error, "no shell to remove the browser's folder if this process is killed"));
            let profile = Profile { folder, lock, cleanup: cleanup.ok(), user };
            for folder in [profile.path().to_owned(), profile.temporary()] {
                DirBuilder::new().mode(0o700).create(&folder).with_context(in_folder)?;
                if let Some(user) = user {
                    chown(&folder, Some(Uid::from_raw(user)), Some(Gid::from_raw(user)))
                        .with_context(in_folder)?;
                }
            }
            return Ok(profile);
        }
        bail!("{USERS} browsers use {} already", parent.display())
    }

    /// The parent of all folders of this user.
    pub(crate) fn parent() -> PathBuf {
        std::env::temp_dir().join(format!("efference-browser-{}", geteuid().as_raw()))
    }

    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        &self.folder
    }

    /// A folder in it for temporary files.
    pub(crate) fn temporary(&self) -> PathBuf {
        self.folder.join("tmp")
    }
}

impl Drop for Profile {
    fn drop(&mut self) {
        drop(self.cleanup.take());
        // Killed processes take a moment to be gone, and may create a file until then.
        for _ in 0..20 {
            match remove(&self.folder) {
                Ok(()) => return self.lock.remove(),
                Err(_) => std::thread::sleep(Duration::from_millis(50)),
            }
        }
        tracing::warn!(folder = %self.folder.display(), "the browser's folder could not be removed; the next start tries again");
    }
}

impl Lock {
    /// `None` if another process holds it.
    fn take(path: &Path, create: bool) -> std::io::Result<Option<Lock>> {
        let file = OpenOptions::new().create(create).write(true).truncate(false).mode(0o600).open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(e)) => return Err(e),
        }
        // Its last holder may have removed it in between: then this is a lock that nobody else would find.
        let same = fs::symlink_metadata(path).is_ok_and(|found| {
            file.metadata().is_ok_and(|m| (m.dev(), m.ino()) == (found.dev(), found.ino()))
        });
        Ok(same.then(|| Lock { path: path.to_owned(), held: file }))
    }

    /// Removes the file while the lock is held, and the parent if it is empty now.
    fn remove(&self) {
        let _ = fs::remove_file(&self.path);
        if let Some(parent) = self.path.parent() {
            let _ = fs::remove_dir(parent);
        }
    }
}

/// Removes the folders whose hosts are dead.
fn sweep(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for path in entries.flatten().map(|e| e.path()).filter(|p| p.extension().is_some_and(|e| e == "lock")) {
        let Ok(Some(lock)) = Lock::take(&path, false) else { continue };
        if remove(&path.with_extension("")).is_ok() {
            lock.remove();
        }
    }
}

/// Removes a folder; none is fine.
fn remove(folder: &Path) -> std::io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// Makes the parent, or checks that it is ours: the place is open to every user of the machine.
fn make_parent(parent: &Path, root: bool) -> Result<()> {
    match DirBuilder::new().mode(0o700).create(parent) {
        Err(e) if e.kind() != ErrorKind::AlreadyExists => return Err(e.into()),
        _ => {}
    }
    let found = fs::symlink_metadata(parent)?;
    if !found.is_dir() || found.uid() != geteuid().as_raw() {
        return Err(Error::msg(format!(
            "{} belongs to another user or is no folder; remove it, or set TMPDIR to a folder of your own",
            parent.display()
        )));
    }
    // As root, the browser's user must be able to pass through.
    fs::set_permissions(parent, Permissions::from_mode(if root { 0o711 } else { 0o700 }))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_the_dead_are_removed_and_those_of_the_living_are_kept() {
        let parent = std::env::temp_dir().join(format!("efference-profile-test-{}", std::process::id()));
        let first = Profile::claim(&parent).unwrap();
        let second = Profile::claim(&parent).unwrap();
        assert_ne!(first.path(), second.path());
        assert!(first.temporary().is_dir() && second.temporary().is_dir());

        // What a host leaves behind that was killed: the folder and an unheld lock file.
        fs::write(parent.join("7.lock"), "").unwrap();
        fs::create_dir_all(parent.join("7/Default")).unwrap();
        fs::write(parent.join("7/Default/Cookies"), "x").unwrap();
        sweep(&parent);
        assert!(!parent.join("7").exists() && !parent.join("7.lock").exists());
        assert!(first.path().is_dir() && second.path().is_dir());

        drop(first);
        assert!(!parent.join("0").exists() && parent.join("1").exists());
        let again = Profile::claim(&parent).unwrap();
        assert_eq!(again.path(), parent.join("0"));
        drop((again, second));
        assert!(!parent.exists(), "nothing lies around");
    }

    #[test]
    fn a_parent_that_is_a_link_is_refused() {
        let parent = std::env::temp_dir().join(format!("efference-profile-link-{}", std::process::id()));
        std::os::unix::fs::symlink("/etc", &parent).unwrap();
        let error = Profile::claim(&parent).err().unwrap();
        fs::remove_file(&parent).unwrap();
        assert!(format!("{error:#}").contains("set TMPDIR"), "{error:#}");
    }
}

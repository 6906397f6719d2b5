//! Disks: what is left of one, which of their errors are none, and room that is held until the end.
use crate::readable::Bytes;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// What is free on the disk of a file, in words: `the disk of '/runs/x' (0 B free)`.
pub(crate) fn named(file: &Path) -> String {
    let directory = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let free = rustix::fs::statvfs(directory).map(|fs| fs.f_bavail.saturating_mul(fs.f_frsize));
    let free = free.map_or(String::new(), |free| format!(" ({} free)", Bytes(free as f64)));
    format!("the disk of '{}'{free}", directory.display())
}

/// What came of asking for something to be on the disk. Some file systems (CIFS, FUSE) can't be asked: then it is there when
/// they see fit, which is no error.
pub(crate) fn synced(asked: io::Result<()>) -> io::Result<()> {
    use rustix::io::Errno;
    let cannot_be_asked = [Errno::INVAL, Errno::NOTSUP, Errno::OPNOTSUPP, Errno::NOSYS, Errno::ROFS];
    match asked {
        Err(e) if Errno::from_io_error(&e).is_some_and(|e| cannot_be_asked.contains(&e)) => Ok(()),
        asked => asked,
    }
}

/// Room on a disk that is held from the start of a run, so that its end can be written when the disk is full.
#[derive(Debug)]
pub(crate) struct Reserve {
    path: PathBuf,
    file: Option<File>,
}

/// Bytes that are held: some hundred lines…
const ROOM: u64 = 256 << 10;
/// …and these for `end.json`.
const ROOM_FOR_THE_END: u64 = 64 << 10;

impl Reserve {
    /// Takes the room, if the disk has it and can hold it.
    pub(crate) fn take(path: &Path) -> Reserve {
        let take = || -> io::Result<File> {
            let mut file = OpenOptions::new().create(true).truncate(true).write(true).open(path)?;
            let mode = rustix::fs::FallocateFlags::empty();
            if rustix::fs::fallocate(&file, mode, 0, ROOM).is_err() {
                // A file system that can't hold room for nothing holds it for zeros.
                file.write_all(&vec![0; ROOM as usize])?;
            }
            Ok(file)
        };
        let file = take();
        if file.is_err() {
            let _ = fs::remove_file(path);
        }
        Reserve { path: path.to_owned(), file: file.ok() }
    }

    /// Gives back all but what `end.json` needs. Whether there was anything to give.
    pub(crate) fn release_most(&mut self) -> bool {
        self.file.take().is_some_and(|file| file.set_len(ROOM_FOR_THE_END).is_ok())
    }
}

impl Drop for Reserve {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn room_is_held_and_given_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(".reserved");
        let mut reserve = Reserve::take(&path);
        let held = || fs::metadata(&path).unwrap().blocks() * 512;
        assert!(held() >= ROOM, "{} bytes are held", held());
        assert!(reserve.release_most());
        assert_eq!(fs::metadata(&path).unwrap().len(), ROOM_FOR_THE_END);
        assert!(!reserve.release_most(), "once");
        drop(reserve);
        assert!(!path.exists());
        drop(Reserve::take(Path::new("/proc/none/.reserved")));
    }

    #[test]
    fn a_disk_is_named_with_what_is_free_on_it() {
        let said = named(Path::new("/proc/metrics.jsonl"));
        assert_eq!(said, "the disk of '/proc' (0 B free)");
    }

    #[test]
    fn a_file_system_that_cannot_be_asked_is_no_error() {
        let of = |code| synced(Err(io::Error::from_raw_os_error(code)));
        for code in [22, 95, 38] {
            assert!(of(code).is_ok(), "{code}");
        }
        assert!(of(5).is_err(), "EIO: what was written may be lost");
        assert!(of(28).is_err());
    }
}

//! A file that grows as a run goes on: what is added waits in memory until the disk has taken it, piece by whole piece.
use crate::{FileError, disk};
use std::collections::VecDeque;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A file that only grows. What could not be written waits, and the next [`flush`](Self::flush) goes on with it: nothing
/// is written twice, and the file ends with a whole piece, such as a line.
#[derive(Debug)]
pub(crate) struct GrowingFile {
    path: PathBuf,
    file: File,
    waiting: Vec<u8>,
    /// Where in `waiting` each piece ends.
    ends: VecDeque<usize>,
    /// Bytes of the first piece that are in the file already, and could not be cut off again.
    begun: usize,
    /// Length of the file as far as whole pieces go.
    whole: u64,
    looked: Instant,
    /// What has become of the file is said once.
    said: bool,
}

/// What others have done to a file that is being written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meddled {
    /// Nothing has this name any more, and its directory is there.
    Removed,
    /// Its directory is not where it was.
    Moved,
    /// Another file has this name.
    Replaced,
    /// It is shorter than what was written.
    Cut,
}

/// Others may have moved the file; it is looked at this often at most.
const LOOK_EVERY: Duration = Duration::from_secs(1);

impl GrowingFile {
    /// Opens the file to add to it; makes it if there is none.
    pub(crate) fn open(path: &Path) -> Result<Self, FileError> {
        let mut options = OpenOptions::new();
        GrowingFile::with(path, options.create(true)).map_err(|e| FileError::new("write", path, &e))
    }

    /// Makes the file, which must not be there.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        GrowingFile::with(path, OpenOptions::new().create_new(true))
    }

    fn with(path: &Path, options: &mut OpenOptions) -> io::Result<Self> {
        // It can be read too, so that it can be written again if somebody removes it.
        let file = options.append(true).read(true).open(path)?;
        let whole = file.metadata()?.len();
        Ok(GrowingFile {
            path: path.to_owned(),
            file,
            waiting: Vec::new(),
            ends: VecDeque::new(),
            begun: 0,
            whole,
            looked: Instant::now(),
            said: false,
        })
    }

    /// Length of the file as far as whole pieces go.
    pub(crate) fn written(&self) -> u64 {
        self.whole
    }

    /// Bytes that wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Pieces that wait.
    pub(crate) fn pieces(&self) -> usize {
        self.ends.len()
    }

    /// Adds a piece.
    pub(crate) fn add(&mut self, piece: &[u8]) {
        self.add_with(|waiting| waiting.extend_from_slice(piece));
    }

    /// Adds a piece, which is what `write` adds.
    pub(crate) fn add_with(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.waiting);
        self.ends.push_back(self.waiting.len());
    }

    /// Writes what waits. What can't be written goes on waiting, and the file is cut back to its last whole piece.
    pub(crate) fn flush(&mut self) -> Result<(), FileError> {
        let mut done = self.begun;
        let result = loop {
            if done == self.waiting.len() {
                break Ok(());
            }
            match self.file.write(&self.waiting[done..]) {
                Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => done += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => break Err(e),
            }
        };
        let mut whole = 0;
        while let Some(end) = self.ends.pop_front_if(|end| *end <= done) {
            whole = end;
        }
        self.whole += whole as u64;
        self.begun = done - whole;
        if self.begun > 0 && self.cut_back().is_ok() {
            self.begun = 0;
        }
        self.waiting.drain(..whole);
        self.ends.iter_mut().for_each(|end| *end -= whole);
        if self.waiting.is_empty() {
            self.waiting.shrink_to(1 << 20);
        }
        result.map_err(|e| FileError::new("write", &self.path, &e))
    }

    /// Leaves out the newest pieces, until no more than so many bytes wait; returns how many pieces.
    pub(crate) fn waits_at_most(&mut self, bytes: usize) -> usize {
        let before = self.ends.len();
        // The first one may have been begun.
        while self.ends.len() > 1 && self.waiting.len() > bytes {
            self.ends.pop_back();
            self.waiting.truncate(self.ends.back().copied().unwrap_or(0));
        }
        before - self.ends.len()
    }

    /// As [`flush`](Self::flush), and waits until the disk has it.
    pub(crate) fn sync(&mut self) -> Result<(), FileError> {
        self.flush()?;
        disk::synced(self.file.sync_data()).map_err(|e| FileError::new("write", &self.path, &e))
    }

    fn cut_back(&self) -> io::Result<()> {
        // A file that others have cut meanwhile would be filled up with zeros.
        if self.file.metadata()?.len() > self.whole { self.file.set_len(self.whole) } else { Ok(()) }
    }

    /// Looks, once a second at most unless it is to be `now`, whether others have removed, replaced or cut the file, and makes good what can be: it is
    /// written again from what the system still has of it. The sentence that says so comes once a file.
    pub(crate) fn look_after(&mut self, now: bool) -> Option<String> {
        if !now && self.looked.elapsed() < LOOK_EVERY {
            return None;
        }
        self.looked = Instant::now();
        let meddled = self.meddled()?;
        let name = self.path.display().to_string();
        let what = match meddled {
            Meddled::Removed => match self.write_again() {
                Ok(()) => format!(
                    "'{name}' was removed or renamed while the run writes it: it was written again, whole"
                ),
                Err(e) => format!(
                    "'{name}' was removed or renamed while the run writes it, and can't be written again ({e})"
                ),
            },
            Meddled::Replaced => {
                match self.set_aside().and_then(|aside| self.write_again().map(|()| aside)) {
                    Ok(aside) => format!(
                        "'{name}' was replaced by another file while the run writes it: that file is '{}' now, and the run's \
                     own was written again, whole",
                        aside.display()
                    ),
                    Err(e) => format!(
                        "'{name}' was replaced by another file while the run writes it, and can't be written again ({e})"
                    ),
                }
            }
            Meddled::Cut => {
                // What comes next is added to what is there.
                self.whole = self.file.metadata().map_or(self.whole, |m| m.len());
                format!(
                    "'{name}' was cut by another program while the run writes it: its beginning is incomplete"
                )
            }
            Meddled::Moved => format!(
                "the directory of '{name}' was renamed or removed while the run writes there: the file goes on where it is now"
            ),
        };
        (!std::mem::replace(&mut self.said, true)).then_some(what)
    }

    fn meddled(&self) -> Option<Meddled> {
        let own = self.file.metadata().ok().filter(Metadata::is_file)?;
        match fs::metadata(&self.path) {
            Ok(there) if (there.dev(), there.ino()) != (own.dev(), own.ino()) => Some(Meddled::Replaced),
            Ok(_) => (own.len() < self.whole).then_some(Meddled::Cut),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let directory = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
                let there = directory.is_none_or(Path::exists);
                Some(if there { Meddled::Removed } else { Meddled::Moved })
            }
            Err(_) => None,
        }
    }

    /// Renames the file that took the place of this one: whatever it is, it is not ours to remove.
    fn set_aside(&self) -> io::Result<PathBuf> {
        let name = self.path.file_name().unwrap_or_default();
        let free = |number: &u32| {
            let mut name = name.to_owned();
            name.push(format!(".other-{number}"));
            Some(self.path.with_file_name(name)).filter(|path| fs::symlink_metadata(path).is_err())
        };
        let aside = (1..1_000).find_map(|number| free(&number)).ok_or(io::ErrorKind::AlreadyExists)?;
        fs::rename(&self.path, &aside)?;
        Ok(aside)
    }

    /// Writes what the file had as a new one of its name, and goes on with that.
    fn write_again(&mut self) -> io::Result<()> {
        let directory = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let mut copy = tempfile::Builder::new()
            .prefix(".")
            .suffix(".tmp")
            .append(true)
            .permissions(self.file.metadata()?.permissions())
            .tempfile_in(directory.unwrap_or(Path::new(".")))?;
        self.file.rewind()?;
        io::copy(&mut Read::by_ref(&mut self.file).take(self.whole), copy.as_file_mut())?;
        // Opened anew, as the temporary one is not open for reading and adding alike.
        let path = copy.into_temp_path();
        let file = OpenOptions::new().append(true).read(true).open(&path)?;
        path.persist_noclobber(&self.path)?;
        self.file = file;
        self.begun = 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(file: &mut GrowingFile) -> Option<String> {
        assert_eq!(file.look_after(false), None, "not a second has gone by");
        file.look_after(true)
    }

    fn with_two_lines(path: &Path) -> GrowingFile {
        let mut file = GrowingFile::open(path).unwrap();
        file.add(b"one\n");
        file.add(b"two\n");
        file.flush().unwrap();
        assert_eq!(look(&mut file), None);
        file
    }

    #[test]
    fn a_file_that_was_removed_or_renamed_is_written_again_and_goes_on() {
        for rename in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("m");
            let mut file = with_two_lines(&path);
            if rename { fs::rename(&path, dir.path().join("n")) } else { fs::remove_file(&path) }.unwrap();
            let said = look(&mut file).unwrap();
            assert!(
                said.contains("/m' was removed or renamed") && said.ends_with("written again, whole"),
                "{said}"
            );
            file.add(b"three\n");
            file.flush().unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), "one\ntwo\nthree\n");
            fs::remove_file(&path).unwrap();
            assert_eq!(look(&mut file), None, "said once");
            assert_eq!(fs::read_to_string(&path).unwrap(), "one\ntwo\nthree\n", "and mended each time");
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), if rename { 2 } else { 1 });
        }
    }

    #[test]
    fn a_file_that_was_replaced_is_set_aside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m");
        let mut file = with_two_lines(&path);
        fs::write(dir.path().join("n"), "other\n").unwrap();
        fs::rename(dir.path().join("n"), &path).unwrap();
        let said = look(&mut file).unwrap();
        assert!(said.contains("replaced") && said.contains("/m.other-1'"), "{said}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\ntwo\n");
        assert_eq!(fs::read_to_string(dir.path().join("m.other-1")).unwrap(), "other\n");
    }

    #[test]
    fn a_file_that_was_cut_goes_on_after_what_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m");
        let mut file = with_two_lines(&path);
        fs::write(&path, "").unwrap();
        let said = look(&mut file).unwrap();
        assert!(said.contains("was cut by another program"), "{said}");
        file.add(b"three\n");
        file.flush().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "three\n");
        assert_eq!(look(&mut file), None);
    }

    #[test]
    fn a_directory_that_was_renamed_takes_its_file_along() {
        let dir = tempfile::tempdir().unwrap();
        let (old, new) = (dir.path().join("old"), dir.path().join("new"));
        fs::create_dir(&old).unwrap();
        let mut file = with_two_lines(&old.join("m"));
        fs::rename(&old, &new).unwrap();
        let said = look(&mut file).unwrap();
        assert!(said.starts_with("the directory of"), "{said}");
        file.add(b"three\n");
        file.flush().unwrap();
        assert_eq!(fs::read_to_string(new.join("m")).unwrap(), "one\ntwo\nthree\n");
        assert!(!old.exists());
    }

    #[test]
    fn what_the_disk_does_not_take_waits() {
        let mut file = GrowingFile::open(Path::new("/dev/full")).unwrap();
        file.add(b"one\n");
        for _ in 0..3 {
            assert_eq!(file.flush().unwrap_err().kind, io::ErrorKind::StorageFull);
        }
        assert_eq!((file.waiting(), file.pieces(), file.written()), (4, 1, 0));
    }
}

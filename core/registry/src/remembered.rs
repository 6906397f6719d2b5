//! Texts that took a while to find out, remembered in the user's cache directory by a digest of all that they follow from.
//!
//! Best effort, as [`OptionsCache`](crate::OptionsCache): what can't be read counts as not known, what can't be written is
//! found out again the next time. There are at most [`MOST`] files of at most [`LARGEST`] bytes.
use crate::cache::{forget_oldest, user_directory};
use crate::hash::{hex, sha256};
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// Texts that are remembered; beyond that, the oldest are forgotten.
const MOST: usize = 512;
/// No text is longer, in bytes.
const LARGEST: u64 = 64 << 10;

/// The directory of such texts.
#[derive(Debug, Clone, Default)]
pub struct Remembered {
    directory: Option<PathBuf>,
}

impl Remembered {
    /// That of the user: a folder of this name in `efference`, in `$XDG_CACHE_HOME` or else in `~/.cache`.
    pub fn of_user(name: &str) -> Self {
        Remembered { directory: user_directory().map(|directory| directory.join(name)) }
    }

    /// A digest of texts and of what is in files; `None` if a file can't be read.
    pub fn digest<'a>(
        texts: impl IntoIterator<Item = &'a str>,
        files: impl IntoIterator<Item = &'a Path>,
    ) -> Option<String> {
        let mut hasher = Sha256::new();
        for text in texts {
            hasher.update(text.len().to_le_bytes());
            hasher.update(text);
        }
        for file in files {
            hasher.update(sha256(file).ok()?);
        }
        Some(hex(&hasher.finalize()))
    }

    fn file_of(&self, digest: &str) -> Option<PathBuf> {
        Some(self.directory.as_ref()?.join(format!("{digest}.json")))
    }

    /// The text that belongs to a digest.
    pub fn read(&self, digest: &str) -> Option<String> {
        let mut text = String::new();
        let file = File::open(self.file_of(digest)?).ok()?;
        file.take(LARGEST + 1).read_to_string(&mut text).ok()?;
        (text.len() as u64 <= LARGEST).then_some(text)
    }

    /// Remembers a text, if it can be written.
    pub fn write(&self, digest: &str, text: &str) {
        let Some((directory, file)) = self.directory.as_ref().zip(self.file_of(digest)) else { return };
        let write = || {
            fs::create_dir_all(directory)?;
            let mut new = tempfile::Builder::new().prefix(".").suffix(".tmp").tempfile_in(directory)?;
            new.write_all(text.as_bytes())?;
            new.persist(&file).map_err(|e| e.error)
        };
        if text.len() as u64 <= LARGEST && write().is_ok() {
            forget_oldest(directory, MOST);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_belongs_to_all_that_it_follows_from() {
        let dir = tempfile::tempdir().unwrap();
        let remembered = Remembered { directory: Some(dir.path().join("new")) };
        let library = dir.path().join("library");
        let digest = |texts: &[&str]| Remembered::digest(texts.iter().copied(), [&*library]);
        assert_eq!(digest(&["a"]), None, "the file is not there");
        fs::write(&library, "one").unwrap();
        let one = digest(&["ab", "c"]).unwrap();
        assert_ne!(digest(&["a", "bc"]).unwrap(), one);
        assert_eq!(remembered.read(&one), None);
        remembered.write(&one, "{}");
        assert_eq!(remembered.read(&one).as_deref(), Some("{}"));
        fs::write(&library, "two").unwrap();
        assert_eq!(remembered.read(&digest(&["ab", "c"]).unwrap()), None, "a changed plugin is another one");
        Remembered::default().write(&one, "{}");
        assert_eq!(Remembered::default().read(&one), None);
    }

    #[test]
    fn what_is_too_long_or_cannot_be_written_is_not_remembered() {
        let dir = tempfile::tempdir().unwrap();
        let remembered = Remembered { directory: Some(dir.path().to_owned()) };
        remembered.write("ab", &"x".repeat(LARGEST as usize + 1));
        assert_eq!(remembered.read("ab"), None);
        fs::write(dir.path().join("file"), "").unwrap();
        let in_the_way = Remembered { directory: Some(dir.path().join("file/deeper")) };
        in_the_way.write("ab", "{}");
        assert_eq!(in_the_way.read("ab"), None);
    }
}

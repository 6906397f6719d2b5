//! The id of a run: the time and two words.
use crate::FileError;
use crate::time::dashed;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use std::{fs, io};

const ADJECTIVES: [&str; 32] = [
    "agile", "amber", "ample", "bold", "brave", "brisk", "calm", "clear", "crisp", "deft", "eager", "early",
    "fair", "fleet", "fond", "glad", "grand", "keen", "kind", "lively", "lucid", "merry", "mild", "neat",
    "noble", "plain", "prime", "quick", "quiet", "spry", "sunny", "warm",
];
const ANIMALS: [&str; 32] = [
    "badger", "bear", "bison", "crane", "crow", "deer", "dove", "finch", "fox", "gecko", "hare", "heron",
    "ibex", "jay", "koala", "lark", "lynx", "marten", "mole", "newt", "otter", "owl", "panda", "quail",
    "raven", "robin", "seal", "stork", "swan", "tern", "wren", "yak",
];
/// Ids that are tried before giving up: far more than runs start in a second.
const TRIES: u64 = 10_000;

/// Gives a directory that is prepared a name, unless there is something of that name.
pub(super) fn claim_path(prepared: &Path, path: &Path) -> io::Result<bool> {
    use io::ErrorKind::{AlreadyExists, DirectoryNotEmpty, NotADirectory};
    // Succeeds for one process only: no run's directory is empty.
    match fs::rename(prepared, path) {
        Ok(()) => Ok(true),
        Err(e) if matches!(e.kind(), AlreadyExists | DirectoryNotEmpty | NotADirectory) => Ok(false),
        Err(e) => Err(e),
    }
}

/// Gives a directory that is prepared a name that none had before.
pub(super) fn claim_id(prepared: &Path, parent: &Path, now: SystemTime) -> Result<PathBuf, FileError> {
    let time = dashed(now);
    let mut result = Ok(false);
    let mut path = parent.to_owned();
    for attempt in 0..TRIES {
        // Which words is no part of the experiment, so they need no seed.
        let mut hasher = RandomState::new().build_hasher();
        hasher.write_u64(attempt);
        let random = hasher.finish() as usize;
        let words = (ADJECTIVES[random % ADJECTIVES.len()], ANIMALS[(random >> 32) % ANIMALS.len()]);
        path = parent.join(format!("{time}-{}-{}", words.0, words.1));
        // After so many tries nearly all words are taken: count.
        if attempt >= 1_000 {
            path.as_mut_os_string().push(format!("-{attempt}"));
        }
        result = claim_path(prepared, &path);
        if !matches!(result, Ok(false)) {
            break;
        }
    }
    match result {
        Ok(true) => Ok(path),
        Ok(false) => Err(FileError::new("make", &path, &io::ErrorKind::AlreadyExists.into())),
        Err(e) => Err(FileError::new("make", &path, &e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn when_all_words_are_taken_it_counts() {
        let root = tempfile::tempdir().unwrap();
        let words = ADJECTIVES.len() * ANIMALS.len();
        let claim = || {
            let prepared = tempfile::tempdir_in(root.path()).unwrap().keep();
            fs::write(prepared.join("spec.toml"), "").unwrap();
            claim_id(&prepared, root.path(), SystemTime::UNIX_EPOCH).unwrap()
        };
        let ids: HashSet<_> = (0..words + 50).map(|_| claim()).collect();
        assert_eq!(ids.len(), words + 50);
        let counted = |path: &&PathBuf| path.to_string_lossy().ends_with(|c: char| c.is_ascii_digit());
        assert!(ids.iter().filter(counted).count() >= 50);
    }
}

//! Remembers what plugins said of their options, in the user's cache directory.
//!
//! One file a library, named by the SHA-256 of the library's file and the number of the boundary: a library that was
//! built again is another one. Everything is best effort: what can't be read, or is not what it should be, counts as
//! not known; what can't be written is asked for again the next time. Files are written under another name and renamed,
//! so that processes at the same time see whole files; of two that write, one wins. There are at most
//! [`MOST_LIBRARIES`] files of at most [`LARGEST`] bytes.
use crate::PluginOptions;
use crate::hash::hex;
use efference_abi::{ABI_VERSION, Kind};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::env;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// The version of this layout.
const VERSION: u32 = 1;
/// Libraries that are remembered; beyond that, those that were not used for the longest time are forgotten.
const MOST_LIBRARIES: usize = 128;
/// Sets of options that are remembered as accepted, per library; beyond that, the oldest are forgotten.
const MOST_ACCEPTED: usize = 256;
/// No file is larger, in bytes.
const LARGEST: u64 = 4 << 20;
/// A file that is read is marked as used if it was not marked for so long.
const MARK_AFTER: Duration = Duration::from_secs(24 * 3600);
/// What an interrupted process left behind is removed after so long.
const LEFTOVER_AFTER: Duration = Duration::from_secs(3600);

/// The directory in which options are remembered.
#[derive(Debug, Clone, Default)]
pub struct OptionsCache {
    directory: Option<PathBuf>,
}

/// What is remembered of one library.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Entry {
    version: u32,
    abi: u32,
    /// SHA-256 of the library's file.
    library: String,
    /// The options of all its plugins; all of them have a schema.
    pub(crate) plugins: Vec<PluginOptions>,
    /// Digests of options that a plugin accepted, the newest last.
    accepted: Vec<String>,
}

impl Entry {
    pub(crate) fn new(library: &str, plugins: Vec<PluginOptions>) -> Entry {
        Entry {
            version: VERSION,
            abi: ABI_VERSION,
            library: library.to_owned(),
            plugins,
            accepted: Vec::new(),
        }
    }

    /// Whether the library's hash and the options of all its plugins are known.
    fn is_whole(&self) -> bool {
        !self.library.is_empty() && self.plugins.iter().all(|plugin| plugin.schema.is_ok())
    }

    /// Whether this plugin has accepted these options before.
    pub(crate) fn has_accepted(&self, kind: Kind, name: &str, options: &Value) -> bool {
        self.accepted.contains(&digest(kind, name, options))
    }

    /// Remembers that this plugin accepts these options.
    pub(crate) fn accept(&mut self, kind: Kind, name: &str, options: &Value) {
        self.accepted.push(digest(kind, name, options));
        let oldest = self.accepted.len().saturating_sub(MOST_ACCEPTED);
        self.accepted.drain(..oldest);
    }
}

/// One plugin and one set of options, in a few bytes.
fn digest(kind: Kind, name: &str, options: &Value) -> String {
    let mut hasher = Sha256::new();
    hasher.update(format!("{}/{name}\n{options}", kind.name()));
    hex(&hasher.finalize())
}

/// `efference` in the user's cache directory; `None` if there is none.
pub fn user_directory() -> Option<PathBuf> {
    let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path: &PathBuf| path.is_absolute());
    let caches = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")));
    Some(caches?.join("efference"))
}

impl OptionsCache {
    /// That of the user: `efference/plugins` in `$XDG_CACHE_HOME`, or else in `~/.cache`. Without either, nothing is
    /// remembered.
    pub fn of_user() -> OptionsCache {
        let directory = user_directory().map(|directory| directory.join("plugins"));
        directory.map_or_else(OptionsCache::default, OptionsCache::in_directory)
    }

    /// In this directory, which is made when there is something to remember.
    pub fn in_directory(directory: PathBuf) -> OptionsCache {
        OptionsCache { directory: Some(directory) }
    }

    fn file_of(&self, library: &str) -> Option<PathBuf> {
        Some(self.directory.as_ref()?.join(format!("{library}-abi{ABI_VERSION}.json")))
    }

    /// What is remembered of the library with this SHA-256.
    pub(crate) fn read(&self, library: &str) -> Option<Entry> {
        let file = File::open(self.file_of(library)?).ok()?;
        let mut text = Vec::new();
        (&file).take(LARGEST + 1).read_to_end(&mut text).ok()?;
        if text.len() as u64 > LARGEST {
            return None;
        }
        let entry: Entry = serde_json::from_slice(&text).ok()?;
        let ours = entry.version == VERSION && entry.abi == ABI_VERSION && entry.library == library;
        if !ours || !entry.is_whole() {
            return None;
        }
        let now = SystemTime::now();
        let used = file.metadata().and_then(|m| m.modified()).unwrap_or(now);
        if now.duration_since(used).is_ok_and(|age| age > MARK_AFTER) {
            let _ = file.set_modified(now);
        }
        Some(entry)
    }

    /// Remembers this, if it can be written.
    pub(crate) fn write(&self, entry: &Entry) {
        let Some(path) = self.file_of(&entry.library) else { return };
        if !entry.is_whole() {
            return;
        }
        let is_new = !path.exists();
        if write(&path, entry).is_ok() && is_new {
            self.directory.iter().for_each(|directory| forget_oldest(directory, MOST_LIBRARIES));
        }
    }
}

/// Leaves so many files in a directory: those that were used last.
pub(crate) fn forget_oldest(directory: &Path, most: usize) {
    let now = SystemTime::now();
    let mut entries = Vec::new();
    for file in fs::read_dir(directory).into_iter().flatten().flatten() {
        let (path, used) = (file.path(), file.metadata().and_then(|m| m.modified()).unwrap_or(now));
        if path.extension().is_some_and(|e| e == "json") {
            entries.push((used, path));
        } else if now.duration_since(used).is_ok_and(|age| age > LEFTOVER_AFTER) {
            let _ = fs::remove_file(path);
        }
    }
    entries.sort();
    let too_many = entries.len().saturating_sub(most);
    for (_, path) in &entries[..too_many] {
        let _ = fs::remove_file(path);
    }
}

/// Not synced: a file that is lost or torn when the machine stops is made again.
fn write(path: &Path, entry: &Entry) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(directory)?;
    let text = serde_json::to_vec(entry)?;
    if text.len() as u64 > LARGEST {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let mut file = tempfile::Builder::new().prefix(".").suffix(".tmp").tempfile_in(directory)?;
    file.write_all(&text)?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn entry(library: &str) -> Entry {
        let schema = Ok(json!({ "type": "object" }));
        Entry::new(library, vec![PluginOptions { kind: "layer".into(), name: "ldl".into(), schema }])
    }

    #[test]
    fn what_is_remembered_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let cache = OptionsCache::in_directory(dir.path().join("not/there/yet"));
        assert_eq!(cache.read("ab"), None);
        let mut remembered = entry("ab");
        remembered.accept(Kind::Layer, "ldl", &json!({ "radix": 4 }));
        cache.write(&remembered);
        let read = cache.read("ab").unwrap();
        assert_eq!(read, remembered);
        assert!(read.has_accepted(Kind::Layer, "ldl", &json!({ "radix": 4 })));
        assert!(!read.has_accepted(Kind::Layer, "ldl", &json!({ "radix": 5 })));
        assert!(!read.has_accepted(Kind::Cell, "ldl", &json!({ "radix": 4 })));
        assert_eq!(cache.read("cd"), None);
    }

    #[test]
    fn what_is_not_as_it_should_be_counts_as_not_known() {
        let dir = tempfile::tempdir().unwrap();
        let cache = OptionsCache::in_directory(dir.path().to_owned());
        let path = cache.file_of("ab").unwrap();
        let good = serde_json::to_string(&entry("ab")).unwrap();
        let failed = PluginOptions { kind: "layer".into(), name: "x".into(), schema: Err("no".into()) };
        let bad = [
            String::new(),
            "\0\u{ff}".into(),
            good[..good.len() - 1].into(),
            serde_json::to_string(&entry("cd")).unwrap(),
            good.replace(&format!("\"abi\":{ABI_VERSION}"), "\"abi\":0"),
            good.replace("\"version\":1", "\"version\":0"),
            serde_json::to_string(&Entry::new("ab", vec![failed])).unwrap(),
            " ".repeat(LARGEST as usize) + &good,
        ];
        for text in bad {
            assert_ne!(text, good);
            fs::write(&path, &text).unwrap();
            assert_eq!(cache.read("ab"), None, "{}", &text[..text.len().min(200)]);
        }
        cache.write(&entry("ab"));
        assert_eq!(cache.read("ab"), Some(entry("ab")), "it is mended by the next write");
    }

    #[test]
    fn a_cache_that_cannot_be_written_is_no_error() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), "").unwrap();
        for directory in [dir.path().join("file"), dir.path().join("file/deeper"), "/proc/efference".into()] {
            let cache = OptionsCache::in_directory(directory);
            cache.write(&entry("ab"));
            assert_eq!(cache.read("ab"), None);
        }
        OptionsCache::default().write(&entry("ab"));
        assert_eq!(OptionsCache::default().read("ab"), None);
        let directory = dir.path().join("in the way");
        let cache = OptionsCache::in_directory(directory.clone());
        fs::create_dir_all(cache.file_of("ab").unwrap()).unwrap();
        cache.write(&entry("ab"));
        assert_eq!(cache.read("ab"), None);
        assert_eq!(fs::read_dir(directory).unwrap().count(), 1, "no temporary file stays");
    }

    #[test]
    fn it_does_not_grow_without_bound() {
        let dir = tempfile::tempdir().unwrap();
        let cache = OptionsCache::in_directory(dir.path().to_owned());
        let long_ago = SystemTime::now() - Duration::from_secs(1_000_000);
        for number in 0..MOST_LIBRARIES + 3 {
            let library = format!("{number:03}");
            cache.write(&entry(&library));
            let file = File::options().write(true).open(cache.file_of(&library).unwrap()).unwrap();
            file.set_modified(long_ago + Duration::from_secs(number as u64)).unwrap();
            if number == 5 {
                fs::write(dir.path().join(".left.tmp"), "").unwrap();
                let left = File::options().write(true).open(dir.path().join(".left.tmp")).unwrap();
                left.set_modified(long_ago).unwrap();
            }
            // The first is used again and again, the second never.
            assert!(cache.read("000").is_some());
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), MOST_LIBRARIES);
        assert!(cache.read("001").is_none() && cache.read("003").is_none() && cache.read("004").is_some());

        let mut entry = entry("ab");
        for radix in 0..2 * MOST_ACCEPTED {
            entry.accept(Kind::Layer, "ldl", &json!({ "radix": radix }));
        }
        assert_eq!(entry.accepted.len(), MOST_ACCEPTED);
        let accepted = |radix| entry.has_accepted(Kind::Layer, "ldl", &json!({ "radix": radix }));
        assert!(accepted(2 * MOST_ACCEPTED - 1) && accepted(MOST_ACCEPTED) && !accepted(MOST_ACCEPTED - 1));
    }

    #[test]
    fn many_at_once_see_whole_files() {
        let dir = tempfile::tempdir().unwrap();
        let cache = OptionsCache::in_directory(dir.path().to_owned());
        cache.write(&entry("ab"));
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let cache = &cache;
                scope.spawn(move || {
                    for round in 0..50 {
                        let mut read = cache.read("ab").expect("it is there and whole at all times");
                        read.accept(Kind::Layer, "ldl", &json!({ "radix": thread * 100 + round }));
                        cache.write(&read);
                    }
                });
            }
        });
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}

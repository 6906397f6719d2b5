//! What made a run: `provenance.json`.
//!
//! Everything here is best effort: what cannot be found out is left out, and never stops a run.
pub use crate::git::Git;
pub use crate::hash::sha256_of;
use crate::limits::{Limits, Processors};
use crate::privacy::masked;
use crate::time::rfc3339;
use serde::{Deserialize, Serialize, Serializer};
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use std::{fs, thread};

/// What made a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// efference's version.
    pub efference: String,
    /// When the run was started: RFC 3339, in UTC.
    pub started: String,
    /// The command line, word by word; without user info and queries of URLs.
    pub command: Vec<String>,
    /// The directory that the command was given in.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "lossy_if_any")]
    pub working_directory: Option<PathBuf>,
    /// The spec's file, as an absolute path.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "lossy_if_any")]
    pub spec: Option<PathBuf>,
    /// The version of the code around the spec; absent if it is not in a git repository, or there is no git.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git: Option<Git>,
    /// The plugins that the run uses.
    pub plugins: Vec<PluginFile>,
    /// The files that options name, such as a world's program.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<OptionFile>,
    /// libtorch's version.
    pub libtorch: String,
    /// The device that the run took, such as `cpu` or `cuda:0`.
    pub device: String,
    /// Threads that libtorch works with.
    pub threads: usize,
    /// The machine.
    pub machine: Machine,
    /// The run that this one goes on from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub descent: Option<Descent>,
    /// What made the run go on, each time that it was resumed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resumed: Vec<Provenance>,
}

/// Where a run goes on from, and what is different from there on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Descent {
    /// The directory of the run; its own if it was resumed.
    #[serde(serialize_with = "lossy")]
    pub run: PathBuf,
    /// Steps that it had done there.
    pub step: u64,
    /// Keys of the spec that differ, such as `optimizer.learning_rate: 0.001 → 0.01 (soft)`.
    pub changes: Vec<String>,
}

/// A plugin's file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginFile {
    /// The name that the spec says.
    pub name: String,
    /// The section of the spec: `layer`, `cell`, `trainer`, `goal`, `environment` or `bonus`.
    pub kind: String,
    /// The plugin's version.
    pub version: String,
    /// The library that it came from.
    #[serde(serialize_with = "lossy")]
    pub file: PathBuf,
    /// SHA-256 of that file, in hex, as `sha256sum` says it; absent if it could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// A file that an option names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OptionFile {
    /// The option, such as `environment.command`.
    pub option: String,
    /// The file, as an absolute path.
    #[serde(serialize_with = "lossy")]
    pub file: PathBuf,
    /// SHA-256 of it, in hex; absent if it could not be read, or is larger than 64 MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

impl OptionFile {
    /// The file that this text of an option names; `None` if it names none.
    pub fn of(option: &str, text: &str) -> Option<Self> {
        let file = std::path::absolute(text).ok().filter(|file| file.is_file())?;
        Some(OptionFile { option: option.to_owned(), sha256: None, file }.as_it_is())
    }

    /// As the file is now.
    #[must_use]
    pub fn as_it_is(&self) -> Self {
        const LARGEST: u64 = 64 << 20;
        let is_small = fs::metadata(&self.file).is_ok_and(|found| found.len() <= LARGEST);
        let sha256 = is_small.then(|| sha256_of(&self.file)).flatten();
        OptionFile { sha256, ..self.clone() }
    }
}

/// A machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// The processor's model, if the system says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<String>,
    /// Cores that this process may use.
    pub cores: usize,
    /// What limits them: affinity, and the quota of control groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processors: Option<Processors>,
    /// Memory, in MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_mib: Option<u64>,
    /// The system and its kernel's version, such as `linux 6.12.0`.
    pub kernel: String,
    /// The architecture, such as `x86_64`.
    pub architecture: String,
}

/// What only the host knows.
#[derive(Debug, Clone)]
pub struct Known<'a> {
    /// The spec's file. Its directory is asked for its git version.
    pub spec: &'a Path,
    /// The directory of runs, whose files do not count as those of the spec's repository.
    pub runs: Option<&'a Path>,
    /// When the run was started.
    pub started: SystemTime,
    /// The plugins that the run uses, without their hashes.
    pub plugins: Vec<PluginFile>,
    /// Options whose values are texts, and these: some may name files.
    pub texts: Vec<(String, String)>,
    /// libtorch's version.
    pub libtorch: String,
    /// The device that the run took.
    pub device: String,
    /// Threads that libtorch works with.
    pub threads: usize,
}

impl Provenance {
    /// Finds out what is not known yet. Takes some tens of milliseconds, most of them git's,
    /// and up to seconds in a huge repository.
    pub fn gather(known: Known<'_>) -> Self {
        let mut plugins = known.plugins;
        for plugin in &mut plugins {
            plugin.sha256 = sha256_of(&plugin.file);
        }
        let directory = match known.spec.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        Provenance {
            efference: env!("CARGO_PKG_VERSION").to_owned(),
            started: rfc3339(known.started),
            command: std::env::args_os().map(|word| masked(&word.to_string_lossy())).collect(),
            working_directory: std::env::current_dir().ok(),
            spec: std::path::absolute(known.spec).ok(),
            git: Git::of(directory, known.runs),
            plugins,
            files: known.texts.iter().filter_map(|(option, text)| OptionFile::of(option, text)).collect(),
            libtorch: known.libtorch,
            device: known.device,
            threads: known.threads,
            machine: Machine::this(),
            descent: None,
            resumed: Vec::new(),
        }
    }
}

impl Provenance {
    /// What made the run go on last: if it was resumed, the last time.
    pub fn latest(&self) -> &Provenance {
        self.resumed.last().unwrap_or(self)
    }

    /// Without user info and queries of URLs, but for what git says is different: that is a patch.
    pub(crate) fn masked(&self) -> Provenance {
        let all = |texts: &[String]| texts.iter().map(|text| masked(text)).collect();
        Provenance {
            command: all(&self.command),
            descent: self.descent.as_ref().map(|d| Descent { changes: all(&d.changes), ..d.clone() }),
            resumed: self.resumed.iter().map(Provenance::masked).collect(),
            ..self.clone()
        }
    }
}

/// Writes a path into JSON, which is text: what of it is none becomes the replacement character.
///
/// # Errors
/// The serializer's.
pub fn lossy<S: Serializer>(path: &Path, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&path.to_string_lossy())
}

/// The same, where there may be none.
#[expect(clippy::ref_option, reason = "serde passes it so")]
fn lossy_if_any<S: Serializer>(path: &Option<PathBuf>, to: S) -> Result<S::Ok, S::Error> {
    match path {
        Some(path) => lossy(path, to),
        None => to.serialize_none(),
    }
}

impl Machine {
    /// The machine that this runs on.
    pub fn this() -> Self {
        let field = |file: &str, name: &str| {
            let text = fs::read_to_string(file).ok()?;
            let line = text.lines().find(|line| line.starts_with(name))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let memory = field("/proc/meminfo", "MemTotal");
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Machine {
            cpu: field("/proc/cpuinfo", "model name"),
            cores: thread::available_parallelism().map_or(1, usize::from),
            processors: Some(Limits::of_this_process().processors()),
            memory_mib: memory.and_then(|m| m.split(' ').next()?.parse::<u64>().ok()).map(|kib| kib / 1_024),
            kernel: format!("{} {}", std::env::consts::OS, kernel.trim()).trim().to_owned(),
            architecture: std::env::consts::ARCH.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_it_becomes_json_and_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("libplugin.so");
        fs::write(&file, "abc").unwrap();
        let plugin = |file: &Path| PluginFile {
            name: "ldl".to_owned(),
            kind: "layer".to_owned(),
            version: "0.1.0".to_owned(),
            file: file.to_owned(),
            sha256: None,
        };
        let provenance = Provenance::gather(Known {
            spec: Path::new("spec.toml"),
            runs: None,
            started: SystemTime::UNIX_EPOCH,
            plugins: vec![plugin(&file), plugin(&dir.path().join("gone.so"))],
            texts: [file.to_str().unwrap(), "python3"].map(|text| ("a.b".to_owned(), text.to_owned())).into(),
            libtorch: "2.13.0".to_owned(),
            device: "cpu".to_owned(),
            threads: 2,
        });
        // The well known digest of "abc" (FIPS 180-4).
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(provenance.plugins[0].sha256.as_deref(), Some(abc));
        assert_eq!(provenance.plugins[1].sha256, None);
        let named = OptionFile { option: "a.b".to_owned(), file: file.clone(), sha256: Some(abc.to_owned()) };
        assert_eq!(provenance.files, [named]);
        assert_eq!(provenance.started, "1970-01-01T00:00:00Z");
        assert_eq!(provenance.command[0], std::env::args().next().unwrap());
        assert!(
            provenance.machine.cores >= 1 && provenance.machine.kernel.len() > std::env::consts::OS.len()
        );
        let json = serde_json::to_string(&provenance).unwrap();
        assert_eq!(serde_json::from_str::<Provenance>(&json).unwrap(), provenance);
    }

    #[test]
    fn paths_that_are_no_text_get_the_replacement_character() {
        use std::os::unix::ffi::OsStrExt;
        let path = Path::new(std::ffi::OsStr::from_bytes(b"/d\xff/x")).to_owned();
        let mut provenance = Provenance::gather(Known {
            spec: Path::new("spec.toml"),
            runs: None,
            started: SystemTime::UNIX_EPOCH,
            plugins: Vec::new(),
            texts: Vec::new(),
            libtorch: String::new(),
            device: String::new(),
            threads: 1,
        });
        provenance.working_directory = Some(path.clone());
        provenance.spec = Some(path.clone());
        provenance.descent = Some(Descent { run: path.clone(), step: 1, changes: Vec::new() });
        let (name, kind, version) = (String::new(), String::new(), String::new());
        provenance.plugins = vec![PluginFile { name, kind, version, file: path, sha256: None }];
        let json = serde_json::to_value(&provenance).unwrap();
        for place in ["/working_directory", "/spec", "/descent/run", "/plugins/0/file"] {
            assert_eq!(json.pointer(place).unwrap(), "/d\u{fffd}/x", "{place}");
        }
    }
}

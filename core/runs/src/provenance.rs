//! What made a run: `provenance.json`.
//!
//! Everything here is best effort: what cannot be found out is left out, and never stops a run.
use crate::limits::{Limits, Processors};
use crate::time::rfc3339;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

/// What made a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// efference's version.
    pub efference: String,
    /// When the run was started: RFC 3339, in UTC.
    pub started: String,
    /// The command line, word by word.
    pub command: Vec<String>,
    /// The directory that the command was given in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub working_directory: Option<PathBuf>,
    /// The spec's file, as an absolute path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec: Option<PathBuf>,
    /// The version of the code around the spec; absent if it is not in a git repository, or there is no git.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git: Option<Git>,
    /// The plugins that the run uses.
    pub plugins: Vec<PluginFile>,
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
    pub run: PathBuf,
    /// Steps that it had done there.
    pub step: u64,
    /// Keys of the spec that differ, such as `optimizer.learning_rate: 0.001 → 0.01 (soft)`.
    pub changes: Vec<String>,
}

/// A version in git.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Git {
    /// The commit that was checked out; absent before the first one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// SHA-256 of what `git diff HEAD` says, in hex; absent if no tracked file was changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diff_sha256: Option<String>,
    /// What `git diff HEAD` says, if it is text of at most 64 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diff: Option<String>,
    /// Files that git neither tracks nor ignores.
    pub untracked_files: usize,
}

/// A plugin's file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginFile {
    /// The name that the spec says.
    pub name: String,
    /// `layer`, `cell`, `trainer`, `goal` or `environment`.
    pub kind: String,
    /// The plugin's version.
    pub version: String,
    /// The library that it came from.
    pub file: PathBuf,
    /// SHA-256 of that file, in hex, as `sha256sum` says it; absent if it could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
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
    /// When the run was started.
    pub started: SystemTime,
    /// The plugins that the run uses, without their hashes.
    pub plugins: Vec<PluginFile>,
    /// libtorch's version.
    pub libtorch: String,
    /// The device that the run took.
    pub device: String,
    /// Threads that libtorch works with.
    pub threads: usize,
}

/// All that git is given, so that a huge repository or a slow disk does not hold up the end of a short run.
const GIT_PATIENCE: Duration = Duration::from_millis(1_500);

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
            command: std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect(),
            working_directory: std::env::current_dir().ok(),
            spec: std::path::absolute(known.spec).ok(),
            git: Git::of(directory),
            plugins,
            libtorch: known.libtorch,
            device: known.device,
            threads: known.threads,
            machine: Machine::this(),
            descent: None,
            resumed: Vec::new(),
        }
    }
}

/// SHA-256 of a file, in hex, as `sha256sum` says it; `None` if it cannot be read.
pub fn sha256_of(file: &Path) -> Option<String> {
    File::open(file).and_then(sha256).ok()
}

impl Git {
    /// The version of the work tree that a directory is in; `None` if it is in none, git is not installed, or it
    /// takes too long.
    pub fn of(directory: &Path) -> Option<Self> {
        let until = Instant::now() + GIT_PATIENCE;
        let inside = git(directory, &["rev-parse", "--is-inside-work-tree"], until, read_text)?;
        if inside.trim() != "true" {
            return None;
        }
        // Fails before the first commit.
        let commit = git(directory, &["rev-parse", "--verify", "--quiet", "HEAD"], until, read_text);
        let commit = commit.map(|text| text.trim().to_owned());
        let (diff_sha256, diff) = match &commit {
            Some(_) => git(
                directory,
                &["diff", "--binary", "--no-ext-diff", "--no-textconv", "HEAD"],
                until,
                hash_and_beginning,
            )?,
            None => (NOTHING.to_owned(), Vec::new()),
        };
        let others = ["ls-files", "--others", "--exclude-standard", "--full-name", "-z", ":/"];
        let untracked = git(directory, &others, until, read_text)?;
        Some(Git {
            commit,
            diff_sha256: Some(diff_sha256).filter(|hash| hash != NOTHING),
            diff: Some(diff)
                .filter(|diff| (1..=LONGEST_DIFF).contains(&diff.len()))
                .and_then(|diff| String::from_utf8(diff).ok()),
            untracked_files: untracked.matches('\0').count(),
        })
    }
}

/// SHA-256 of nothing at all.
const NOTHING: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// What `read` makes of git's output; `None` if git is missing, fails, or is not done in time.
fn git<T: Send + 'static>(
    directory: &Path,
    arguments: &[&str],
    until: Instant,
    read: impl FnOnce(std::process::ChildStdout) -> io::Result<T> + Send + 'static,
) -> Option<T> {
    let mut child = Command::new("git")
        // Without the repository's own helpers, and without a lock that another git would stumble over.
        .args(["-c", "core.fsmonitor=false", "-c", "core.quotePath=false"])
        .args(arguments)
        .current_dir(directory)
        .env("GIT_OPTIONAL_LOCKS", "0")
        // Which repository it is follows from the directory alone.
        .env_remove("GIT_DIR")
        .env_remove("GIT_WORK_TREE")
        .env_remove("GIT_INDEX_FILE")
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let output = child.stdout.take()?;
    let (sender, receiver) = mpsc::channel();
    let reader = thread::Builder::new().name("git".to_owned()).spawn(move || {
        let _ = sender.send(read(output)); // nobody waits for it any more if it was too slow
    });
    let result = match reader {
        Ok(_) => receiver.recv_timeout(until.saturating_duration_since(Instant::now())).ok(),
        Err(_) => None,
    };
    let ended = end(&mut child, until);
    result?.ok().filter(|_| ended)
}

/// Waits for a process whose output has ended, and makes sure that it does not stay. Whether it did well.
fn end(child: &mut Child, until: Instant) -> bool {
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return status.success(),
            Ok(None) if Instant::now() < until => thread::sleep(Duration::from_millis(1)),
            _ => {
                let _ = child.kill();
                let _ = child.wait();
                return false;
            }
        }
    }
}

fn read_text(mut from: impl Read) -> io::Result<String> {
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Bytes of a diff that are kept.
const LONGEST_DIFF: usize = 64 << 10;

/// SHA-256 in hex.
fn sha256(from: impl Read) -> io::Result<String> {
    hash_and_beginning(from).map(|(hash, _)| hash)
}

/// SHA-256 in hex, and the first bytes: one more than are kept, so that one sees whether there are more.
fn hash_and_beginning(mut from: impl Read) -> io::Result<(String, Vec<u8>)> {
    let mut hasher = Sha256::new();
    let mut beginning = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => {
                hasher.update(&buffer[..n]);
                let room = (LONGEST_DIFF + 1).saturating_sub(beginning.len());
                beginning.extend_from_slice(&buffer[..n.min(room)]);
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    let hash = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok((hash, beginning))
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

    fn run(directory: &Path, arguments: &[&str]) {
        let identity = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"];
        let status =
            Command::new("git").args(identity).args(arguments).current_dir(directory).output().unwrap();
        assert!(status.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&status.stderr));
    }

    #[test]
    fn a_work_tree_is_reported_by_commit_and_by_what_was_changed() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Git::of(dir.path()), None, "no repository");
        run(dir.path(), &["init", "-q"]);
        let sub = dir.path().join("experiments");
        fs::create_dir(&sub).unwrap();
        fs::write(sub.join("a.toml"), "x = 1\n").unwrap();
        assert_eq!(
            Git::of(&sub),
            Some(Git { commit: None, diff_sha256: None, diff: None, untracked_files: 1 })
        );
        run(dir.path(), &["add", "."]);
        run(dir.path(), &["commit", "-q", "-m", "a"]);
        let clean = Git::of(&sub).unwrap();
        assert_eq!(clean.commit.as_ref().unwrap().len(), 40);
        assert_eq!((clean.diff_sha256, clean.untracked_files), (None, 0));

        fs::write(sub.join("a.toml"), "x = 2\n").unwrap();
        fs::write(dir.path().join("new file\nname"), "").unwrap();
        let dirty = Git::of(&sub).unwrap();
        assert_eq!((dirty.commit.clone(), dirty.untracked_files), (clean.commit, 1));
        assert_eq!(dirty.diff_sha256.as_ref().unwrap().len(), 64);
        let diff = dirty.diff.as_ref().unwrap();
        assert!(diff.contains("-x = 1\n+x = 2\n"), "{diff}");
        fs::write(sub.join("a.toml"), "x = 4\n".repeat(20_000)).unwrap();
        let long = Git::of(&sub).unwrap();
        assert!(long.diff.is_none() && long.diff_sha256.is_some(), "of a long one the hash alone is kept");
        fs::write(sub.join("a.toml"), "x = 3\n").unwrap();
        let other = Git::of(&sub).unwrap();
        assert_ne!(dirty.diff_sha256, other.diff_sha256, "another change, another hash");
        run(dir.path(), &["add", "experiments"]);
        assert_eq!(
            Git::of(dir.path()).unwrap().diff_sha256,
            other.diff_sha256,
            "staged or not, seen from anywhere"
        );
    }

    #[test]
    fn a_git_that_takes_too_long_is_ended() {
        let dir = tempfile::tempdir().unwrap();
        run(dir.path(), &["init", "-q"]);
        let start = Instant::now();
        let nap = ["-c", "alias.nap=!exec sleep 3", "nap"];
        assert_eq!(git(dir.path(), &nap, start + Duration::from_millis(50), read_text), None);
        assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    }

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
            started: SystemTime::UNIX_EPOCH,
            plugins: vec![plugin(&file), plugin(&dir.path().join("gone.so"))],
            libtorch: "2.13.0".to_owned(),
            device: "cpu".to_owned(),
            threads: 2,
        });
        // The well known digest of "abc" (FIPS 180-4).
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(provenance.plugins[0].sha256.as_deref(), Some(abc));
        assert_eq!(provenance.plugins[1].sha256, None);
        assert_eq!(sha256(io::empty()).unwrap(), NOTHING);
        assert_eq!(provenance.started, "1970-01-01T00:00:00Z");
        assert_eq!(provenance.command[0], std::env::args().next().unwrap());
        assert!(
            provenance.machine.cores >= 1 && provenance.machine.kernel.len() > std::env::consts::OS.len()
        );
        let json = serde_json::to_string(&provenance).unwrap();
        assert_eq!(serde_json::from_str::<Provenance>(&json).unwrap(), provenance);
    }
}

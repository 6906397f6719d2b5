//! The version of the code around a spec, as git says it.
//!
//! A repository may be anybody's: what it says to run (filters, hooks, monitors, external diffs, textconv, fetching of what is
//! missing) is not run. git itself refuses one that another user owns (`safe.directory`).
use crate::hash::{NOTHING, hash_and_beginning};
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// A version in git.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Git {
    /// The commit that was checked out; absent before the first one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// SHA-256 of what `git diff HEAD` says, in hex, where no filter is run; absent if no tracked file was changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diff_sha256: Option<String>,
    /// What `git diff HEAD` says, if it is text of at most 64 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diff: Option<String>,
    /// Files that git neither tracks nor ignores, but for those of runs.
    pub untracked_files: usize,
}

/// All that git is given, so that a huge repository or a slow disk does not hold up the end of a short run.
const PATIENCE: Duration = Duration::from_millis(1_500);
/// Bytes of a diff that are recorded.
const LONGEST_DIFF: usize = 64 << 10;

impl Git {
    /// The version of the work tree that a directory is in; `None` if it is in none, git is not installed, or it
    /// takes too long. Files in the directory `runs` do not count as untracked.
    pub fn of(directory: &Path, runs: Option<&Path>) -> Option<Self> {
        let until = Instant::now() + PATIENCE;
        let ask = Asked { directory, until, settings: Vec::new() };
        let tree = ask.git(&["rev-parse", "--is-inside-work-tree", "--show-toplevel"], read_bytes)?;
        let root = tree.strip_prefix(b"true\n")?.strip_suffix(b"\n")?;
        let root = PathBuf::from(OsString::from_vec(root.to_vec()));
        let ask = Asked { settings: ask.without_filters()?, ..ask };
        // Fails before the first commit.
        let commit = ask.git(&["rev-parse", "--verify", "--quiet", "HEAD"], read_bytes);
        let commit = commit.map(|text| String::from_utf8_lossy(&text).trim().to_owned());
        let (diff_sha256, diff) = match &commit {
            Some(_) => {
                // Of a submodule the commit alone: to see more, git would start another in there.
                let diff = [
                    "diff",
                    "--binary",
                    "--no-ext-diff",
                    "--no-textconv",
                    "--ignore-submodules=dirty",
                    "HEAD",
                ];
                ask.git(&diff, |from| hash_and_beginning(from, LONGEST_DIFF + 1))?
            }
            None => (NOTHING.to_owned(), Vec::new()),
        };
        let others = ["ls-files", "--others", "--exclude-standard", "--full-name", "-z", ":/"];
        let untracked = ask.git(&others, read_bytes)?;
        let runs =
            runs.and_then(|runs| runs.canonicalize().ok()?.strip_prefix(&root).map(Path::to_owned).ok());
        let names = untracked.split(|byte| *byte == 0).filter(|name| !name.is_empty());
        let of_a_run = |name: &[u8]| {
            runs.as_ref().is_some_and(|runs| Path::new(std::ffi::OsStr::from_bytes(name)).starts_with(runs))
        };
        Some(Git {
            commit,
            diff_sha256: Some(diff_sha256).filter(|hash| hash != NOTHING),
            diff: Some(diff)
                .filter(|diff| (1..=LONGEST_DIFF).contains(&diff.len()))
                .and_then(|diff| String::from_utf8(diff).ok()),
            untracked_files: names.filter(|name| !of_a_run(name)).count(),
        })
    }
}

/// Questions to git.
struct Asked<'a> {
    directory: &'a Path,
    until: Instant,
    /// Settings that come before those of the repository, on top of those of [`Asked::git`].
    settings: Vec<(OsString, &'static str)>,
}

impl Asked<'_> {
    /// Settings that turn off all filters that are configured: attributes alone run none.
    fn without_filters(&self) -> Option<Vec<(OsString, &'static str)>> {
        let list = [
            "config",
            "--null",
            "--name-only",
            "--get-regexp",
            r"^filter\..*\.(clean|smudge|process|required)$",
        ];
        // Fails if there is none.
        let names = self.git_or(&list, read_bytes, |code| code == 1)?;
        let names = names.split(|byte| *byte == 0).filter(|name| !name.is_empty());
        let off = |name: &[u8]| if name.ends_with(b".required") { "false" } else { "" };
        // A name that git would not take for one can't be turned off: then git is asked nothing more.
        let off =
            |name: &[u8]| (!name.contains(&b'=')).then(|| (OsString::from_vec(name.to_vec()), off(name)));
        names.map(off).collect()
    }

    /// What `read` makes of git's output; `None` if git is missing, fails, or is not done in time.
    fn git<T: Send + 'static>(
        &self,
        arguments: &[&str],
        read: impl FnOnce(ChildStdout) -> io::Result<T> + Send + 'static,
    ) -> Option<T> {
        self.git_or(arguments, read, |_| false)
    }

    /// As [`git`](Self::git); statuses that are `fine` are no failure either.
    fn git_or<T: Send + 'static>(
        &self,
        arguments: &[&str],
        read: impl FnOnce(ChildStdout) -> io::Result<T> + Send + 'static,
        fine: impl Fn(i32) -> bool,
    ) -> Option<T> {
        let mut command = Command::new("git");
        // Which repository it is, and what is done with it, follows from the directory and the user's settings alone.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_bytes().starts_with(b"GIT_")) {
            command.env_remove(name);
        }
        let fixed = [
            ("core.fsmonitor", "false"),
            ("core.hooksPath", "/dev/null"),
            ("core.quotePath", "false"),
            ("diff.external", ""),
        ];
        let fixed = fixed.into_iter().map(|(name, value)| (OsString::from(name), value));
        let settings = fixed.chain(self.settings.iter().cloned());
        for (name, value) in settings {
            let mut setting = name;
            setting.push("=");
            setting.push(value);
            command.arg("-c").arg(setting);
        }
        let mut child = command
            .args(arguments)
            .current_dir(self.directory)
            // No lock that another git would stumble over, nothing fetched, nothing asked.
            .env("GIT_OPTIONAL_LOCKS", "0")
            .env("GIT_NO_LAZY_FETCH", "1")
            .env("GIT_ALLOW_PROTOCOL", "none")
            .env("GIT_TERMINAL_PROMPT", "0")
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
            Ok(_) => receiver.recv_timeout(self.until.saturating_duration_since(Instant::now())).ok(),
            Err(_) => None,
        };
        let status = end(&mut child, self.until);
        result?.ok().filter(|_| status.is_some_and(|code| code == 0 || fine(code)))
    }
}

/// Waits for a process whose output has ended, and makes sure that it does not stay. Its status, if it ended by itself.
fn end(child: &mut Child, until: Instant) -> Option<i32> {
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return status.code(),
            Ok(None) if Instant::now() < until => thread::sleep(Duration::from_millis(1)),
            _ => {
                let _ = child.kill();
                let _ = child.wait();
                return None;
            }
        }
    }
}

fn read_bytes(mut from: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn run(directory: &Path, arguments: &[&str]) {
        let identity = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"];
        let status =
            Command::new("git").args(identity).args(arguments).current_dir(directory).output().unwrap();
        assert!(status.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&status.stderr));
    }

    #[test]
    fn a_work_tree_is_reported_by_commit_and_by_what_was_changed() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Git::of(dir.path(), None), None, "no repository");
        run(dir.path(), &["init", "-q"]);
        let sub = dir.path().join("experiments");
        fs::create_dir(&sub).unwrap();
        fs::write(sub.join("a.toml"), "x = 1\n").unwrap();
        assert_eq!(
            Git::of(&sub, None),
            Some(Git { commit: None, diff_sha256: None, diff: None, untracked_files: 1 })
        );
        run(dir.path(), &["add", "."]);
        run(dir.path(), &["commit", "-q", "-m", "a"]);
        let clean = Git::of(&sub, None).unwrap();
        assert_eq!(clean.commit.as_ref().unwrap().len(), 40);
        assert_eq!((clean.diff_sha256, clean.untracked_files), (None, 0));

        fs::write(sub.join("a.toml"), "x = 2\n").unwrap();
        fs::write(dir.path().join("new file\nname"), "").unwrap();
        let dirty = Git::of(&sub, None).unwrap();
        assert_eq!((dirty.commit.clone(), dirty.untracked_files), (clean.commit, 1));
        assert_eq!(dirty.diff_sha256.as_ref().unwrap().len(), 64);
        let diff = dirty.diff.as_ref().unwrap();
        assert!(diff.contains("-x = 1\n+x = 2\n"), "{diff}");
        fs::write(sub.join("a.toml"), "x = 4\n".repeat(20_000)).unwrap();
        let long = Git::of(&sub, None).unwrap();
        assert!(long.diff.is_none() && long.diff_sha256.is_some(), "of a long one the hash alone is kept");
        fs::write(sub.join("a.toml"), "x = 3\n").unwrap();
        let other = Git::of(&sub, None).unwrap();
        assert_ne!(dirty.diff_sha256, other.diff_sha256, "another change, another hash");
        run(dir.path(), &["add", "experiments"]);
        assert_eq!(
            Git::of(dir.path(), None).unwrap().diff_sha256,
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
        let ask =
            Asked { directory: dir.path(), until: start + Duration::from_millis(50), settings: Vec::new() };
        assert_eq!(ask.git(&nap, read_bytes), None);
        assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    }

    #[test]
    fn runs_do_not_count_as_untracked() {
        let dir = tempfile::tempdir().unwrap();
        run(dir.path(), &["init", "-q"]);
        let runs = dir.path().join("sub/runs");
        fs::create_dir_all(runs.join("a")).unwrap();
        fs::write(runs.join("a/spec.toml"), "").unwrap();
        fs::write(dir.path().join("sub/runs.txt"), "").unwrap();
        assert_eq!(Git::of(dir.path(), None).unwrap().untracked_files, 2);
        assert_eq!(Git::of(dir.path(), Some(&runs)).unwrap().untracked_files, 1);
        assert_eq!(Git::of(dir.path(), Some(Path::new("/proc"))).unwrap().untracked_files, 2);
    }

    #[test]
    fn a_foreign_repository_runs_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let ran = dir.path().join("ran");
        let tree = dir.path().join("tree");
        fs::create_dir(&tree).unwrap();
        run(&tree, &["init", "-q"]);
        fs::write(tree.join("a.txt"), "x = 1\n").unwrap();
        run(&tree, &["add", "."]);
        run(&tree, &["commit", "-q", "-m", "a"]);
        // From here on everything that git can be made to run writes a file.
        let script = dir.path().join("script");
        fs::write(&script, format!("#!/bin/sh\necho \"$0 $@\" >> '{}'\ncat\n", ran.display())).unwrap();
        fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let script = script.to_str().unwrap();
        fs::write(tree.join(".gitattributes"), "*.txt filter=f diff=d\n").unwrap();
        for name in [
            "filter.f.clean",
            "filter.f.smudge",
            "filter.f.process",
            "diff.d.command",
            "diff.d.textconv",
            "diff.external",
            "core.fsmonitor",
            "core.pager",
            "core.editor",
            "core.sshCommand",
        ] {
            run(&tree, &["config", name, script]);
        }
        run(&tree, &["config", "filter.f.required", "true"]);
        for hook in ["post-index-change", "fsmonitor-watchman", "query-watchman"] {
            fs::copy(script, tree.join(".git/hooks").join(hook)).unwrap();
        }
        fs::write(tree.join("a.txt"), "x = 2\n").unwrap();
        assert!(!ran.exists(), "{}", fs::read_to_string(&ran).unwrap());
        let git = Git::of(&tree, None).unwrap();
        assert!(!ran.exists(), "{}", fs::read_to_string(&ran).unwrap());
        assert!(git.diff.unwrap().contains("-x = 1\n+x = 2\n"));
        assert_eq!(git.untracked_files, 1, ".gitattributes");
        // The same question in the usual way runs one: what is tested here can be seen.
        let status = Command::new("git").args(["diff", "HEAD"]).current_dir(&tree).output();
        assert!(ran.exists(), "{status:?}");

        // A name that can't be turned off.
        run(&tree, &["config", "filter.f=g.clean", script]);
        assert_eq!(Git::of(&tree, None), None);
    }

    #[test]
    fn whose_repository_it_is_follows_from_the_directory() {
        // Variables of this process are those of other tests too: so a process of its own is asked.
        let Some(directory) = std::env::var_os("TEST_GIT_OF") else {
            let dir = tempfile::tempdir().unwrap();
            let (own, other) = (dir.path().join("own"), dir.path().join("other"));
            for tree in [&own, &other] {
                fs::create_dir(tree).unwrap();
                run(tree, &["init", "-q"]);
                fs::write(tree.join("a"), tree.to_str().unwrap()).unwrap();
                run(tree, &["add", "."]);
                run(tree, &["commit", "-q", "-m", tree.to_str().unwrap()]);
            }
            let commit = Git::of(&own, None).unwrap().commit.unwrap();
            let this = std::env::current_exe().unwrap();
            let name = "git::tests::whose_repository_it_is_follows_from_the_directory";
            let output = Command::new(this)
                .args(["--exact", name, "--nocapture"])
                .env("TEST_GIT_OF", &own)
                .env("GIT_DIR", other.join(".git"))
                .env("GIT_WORK_TREE", &other)
                .env("GIT_INDEX_FILE", other.join(".git/index"))
                .env("GIT_OBJECT_DIRECTORY", other.join(".git/objects"))
                .env("GIT_COMMON_DIR", other.join(".git"))
                .env("GIT_CEILING_DIRECTORIES", dir.path())
                .env("GIT_CONFIG_PARAMETERS", "'core.bare=true'")
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(said.contains(&format!("commit={commit}.")), "{said}");
            return;
        };
        let git = Git::of(Path::new(&directory), None);
        eprintln!("{git:?}");
        #[expect(clippy::print_stdout, reason = "it is this process's reply")]
        {
            println!("commit={}.", git.and_then(|git| git.commit).unwrap_or_default());
        }
    }
}

//! How `efference` becomes `efference-engine`.
use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The name of the program that has libtorch.
pub const HOST: &str = "efference-engine";

/// Runs the host with the arguments of this program, in its place: the process stays the same, so signals, streams
/// and the exit status are the host's own. Comes back only where that fails, with a sentence that says why.
pub fn become_host() -> String {
    let own = match env::current_exe() {
        Ok(own) => own,
        Err(e) => return format!("cannot find {HOST}, which lies beside this program: {e}"),
    };
    let host = beside(&own);
    let mut words = env::args_os();
    let mut command = Command::new(&host);
    prepare(&mut command);
    // Its messages and the record of a run tell the command as it was typed.
    command.arg0(words.next().as_deref().unwrap_or(OsStr::new("efference"))).args(words);
    failure(&host, &command.exec())
}

/// Says to a program that will load libtorch, in its environment, how threads wait and what memory is made of, each
/// unless it is said already. Both are read when the libraries are loaded, so the program cannot say it itself.
/// Answers with whether there was something to say.
pub fn prepare(command: &mut Command) -> bool {
    let unsaid = unsaid(|name| env::var(name).ok());
    command.envs(unsaid.iter().map(|(name, value)| (name, value)));
    !unsaid.is_empty()
}

/// What is not said in an environment.
fn unsaid(said: impl Fn(&str) -> Option<String>) -> Vec<(&'static str, String)> {
    let mut unsaid = Vec::new();
    if said(SPIN_COUNT).or(said("OMP_WAIT_POLICY")).is_none() {
        unsaid.push((SPIN_COUNT, "6000".to_owned()));
    }
    let tunables = said(TUNABLES).unwrap_or_default();
    if !tunables.contains(LARGE_PAGES) {
        let before = if tunables.is_empty() { tunables } else { tunables + ":" };
        unsaid.push((TUNABLES, format!("{before}{LARGE_PAGES}=1")));
    }
    unsaid
}

/// What the GNU C library reads its settings from.
const TUNABLES: &str = "GLIBC_TUNABLES";

/// Whether it asks the system for large pages (1: it advises so). A step goes through tens of megabytes in strides:
/// with pages of 4 KiB, a fifth of the time of a large agent's step was spent looking up where they are.
const LARGE_PAGES: &str = "glibc.malloc.hugetlb";

/// How long libtorch's threads spin while they wait for work, in turns of a loop. GNU OpenMP reads it, as it does
/// `OMP_WAIT_POLICY`, which says the same in words.
/// By default a thread spins for milliseconds. On a machine with other work that takes the very core that the work
/// waited for needs: steps of 10 ms became ones of 1,000. 6,000 turns are nearly as quick on a quiet machine: with
/// fewer, threads fall asleep between one operation and the next.
const SPIN_COUNT: &str = "GOMP_SPINCOUNT";

/// The host beside this program.
fn beside(own: &Path) -> PathBuf {
    // A link to the program may lie anywhere; the host lies beside the program itself.
    own.canonicalize().as_deref().unwrap_or(own).with_file_name(HOST)
}

fn failure(host: &Path, error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::NotFound && !host.exists() {
        return format!(
            "{} is not there. It does what needs libtorch, and lies beside this program: build the workspace with \
             `cargo xtask build`",
            host.display()
        );
    }
    format!(
        "{} cannot be started: {error}. Build the workspace again with `cargo xtask build`",
        host.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_already_stays() {
        let unsaid_in = |environment: &[(&str, &str)]| {
            unsaid(|name| environment.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned()))
        };
        let spin = (SPIN_COUNT, "6000".to_owned());
        let pages = |value: &str| (TUNABLES, value.to_owned());
        assert_eq!(unsaid_in(&[]), [spin.clone(), pages("glibc.malloc.hugetlb=1")]);
        assert_eq!(unsaid_in(&[(SPIN_COUNT, "1")]), [pages("glibc.malloc.hugetlb=1")]);
        assert_eq!(unsaid_in(&[("OMP_WAIT_POLICY", "active"), (TUNABLES, "glibc.malloc.hugetlb=0")]), []);
        assert_eq!(
            unsaid_in(&[(TUNABLES, "glibc.malloc.check=1")]),
            [spin, pages("glibc.malloc.check=1:glibc.malloc.hugetlb=1")]
        );
    }
}

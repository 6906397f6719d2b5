//! How `efference` becomes `efference-host`.
use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The name of the program that has libtorch.
pub const HOST: &str = "efference-host";

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
    // Its messages and the record of a run tell the command as it was typed.
    prepare(&mut command);
    command.arg0(words.next().as_deref().unwrap_or(OsStr::new("efference"))).args(words);
    failure(&host, &command.exec())
}

/// Says to a program that will load libtorch, in its environment, how threads wait and what memory is made of, each
/// unless it is said already. Both are read when the libraries are loaded, so the program cannot say it itself.
/// Answers with whether there was something to say.
pub fn prepare(command: &mut Command) -> bool {
    let unsaid = [SPIN_COUNT, "OMP_WAIT_POLICY"].iter().all(|name| env::var_os(name).is_none());
    if unsaid {
        command.env(SPIN_COUNT, "6000");
    }
    let tunables = env::var(TUNABLES).unwrap_or_default();
    let small_pages = !tunables.contains(HUGE_PAGES);
    if small_pages {
        let before = if tunables.is_empty() { String::new() } else { tunables + ":" };
        command.env(TUNABLES, format!("{before}{HUGE_PAGES}=1"));
    }
    unsaid || small_pages
}

/// What the GNU C library reads its settings from.
const TUNABLES: &str = "GLIBC_TUNABLES";

/// Whether it asks the system for large pages (1: it advises so). A step goes through tens of megabytes in strides:
/// with pages of 4 KiB, a fifth of the time of a large agent's step was spent looking up where they are.
const HUGE_PAGES: &str = "glibc.malloc.hugetlb";

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
        let said = |command: &Command, name: &str| {
            let value = command.get_envs().find(|(n, _)| *n == name).and_then(|(_, v)| v);
            value.map(|v| v.to_string_lossy().into_owned())
        };
        let mut command = Command::new("true");
        let anything = prepare(&mut command);
        let (spin, tunables) = (said(&command, SPIN_COUNT), said(&command, TUNABLES));
        assert_eq!(anything, spin.is_some() || tunables.is_some());
        let has = |name| env::var_os(name).is_some();
        assert_eq!(spin.is_none(), has(SPIN_COUNT) || has("OMP_WAIT_POLICY"));
        let own = env::var(TUNABLES).unwrap_or_default();
        match tunables {
            Some(tunables) => {
                assert!(tunables.starts_with(&own) && tunables.ends_with("glibc.malloc.hugetlb=1"))
            }
            None => assert!(own.contains(HUGE_PAGES)),
        }
    }
}

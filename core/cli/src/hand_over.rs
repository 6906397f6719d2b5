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
    spin_briefly(&mut command);
    command.arg0(words.next().as_deref().unwrap_or(OsStr::new("efference"))).args(words);
    failure(&host, &command.exec())
}

/// Has libtorch's threads spin no longer than is good while they wait for work, unless the environment says how long.
/// Answers with whether it had to say it.
pub fn spin_briefly(command: &mut Command) -> bool {
    let unsaid = [SPIN_COUNT, "OMP_WAIT_POLICY"].iter().all(|name| env::var_os(name).is_none());
    if unsaid {
        command.env(SPIN_COUNT, "6000");
    }
    unsaid
}

/// How long libtorch's threads spin while they wait for work, in turns of a loop. GNU OpenMP reads it (as it does
/// `OMP_WAIT_POLICY`, which says the same in words) when it is loaded, so the host cannot say it itself.
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

//! `efference-engine`, the program beside this one that has libtorch: running it, and asking it about plugins.
use crate::output::say_note;
use crate::{fail, supervisor};
use efference_registry::{Describe, PluginLocation, Reply, Request};
use efference_view::page::Page;
use std::cell::RefCell;
use std::env;
use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// The name of the program that has libtorch.
pub const ENGINE: &str = "efference-engine";

/// Runs the engine with the arguments of this program, and waits for its end. Its streams are those of this process; returns
/// the exit status, which is the engine's own if it ended by itself.
///
/// To be called by the main thread.
pub fn run() -> u8 {
    run_shown(None)
}

/// As [`run`], and shows the run on a page until it has ended.
pub fn run_shown(page: Option<Page>) -> u8 {
    let mut command = match command() {
        Ok(command) => command,
        Err(why) => return fail(why),
    };
    let mut words = env::args_os();
    // Its messages and the record of a run show the command as it was typed.
    command.arg0(words.next().as_deref().unwrap_or(OsStr::new("efference"))).args(words);
    start_and_wait(command, page)
}

/// As [`run`], with a command of [`command`].
pub fn run_command(command: Command) -> u8 {
    start_and_wait(command, None)
}

fn start_and_wait(mut command: Command, page: Option<Page>) -> u8 {
    match supervisor::run(&mut command, page) {
        Ok(status) => status,
        Err(error) => fail(failure(Path::new(command.get_program()), &error)),
    }
}

/// A command that runs the engine, without arguments yet.
///
/// # Errors
/// If nobody knows where it is, in a sentence.
pub fn command() -> Result<Command, String> {
    let mut command = Command::new(path()?);
    prepare(&mut command);
    Ok(command)
}

/// The engine, to be asked about plugins. It is started with the first request, and ends when this is dropped.
#[derive(Default)]
pub struct Engine {
    state: RefCell<State>,
}

#[derive(Default)]
enum State {
    #[default]
    NotStarted,
    Running {
        child: Child,
        requests: ChildStdin,
        replies: BufReader<ChildStdout>,
    },
    /// It can't be started.
    Failed(String),
}

impl Engine {
    /// Why the engine can't be started, if it was to be started and can't be.
    pub fn failure(&self) -> Option<String> {
        match &*self.state.borrow() {
            State::Failed(why) => Some(why.clone()),
            _ => None,
        }
    }
}

impl Describe for Engine {
    fn announce(&self, plugin: &PluginLocation) {
        plugin.announcement().iter().for_each(say_note);
    }

    fn ask(&self, request: &Request) -> Result<Reply, String> {
        let mut state = self.state.borrow_mut();
        if let State::NotStarted = *state {
            *state = start().unwrap_or_else(State::Failed);
        }
        let State::Running { child, requests, replies } = &mut *state else {
            return Err(match &*state {
                State::Failed(why) => why.clone(),
                _ => format!("{ENGINE} was not started"),
            });
        };
        match exchange(request, requests, replies) {
            Ok(reply) => Ok(reply),
            Err(e) => {
                // Loading a library runs code of its author's, which may end the process.
                let _ = child.kill();
                let how = child.wait().map_or_else(|e| e.to_string(), |status| status.to_string());
                *state = State::NotStarted;
                Err(format!("{} ended the engine that loaded it ({how}: {e})", request.file().display()))
            }
        }
    }
}

fn exchange(
    request: &Request,
    requests: &mut ChildStdin,
    replies: &mut BufReader<ChildStdout>,
) -> io::Result<Reply> {
    let mut line = serde_json::to_string(request)?;
    line.push('\n');
    requests.write_all(line.as_bytes())?;
    line.clear();
    if replies.read_line(&mut line)? == 0 {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it did not reply"));
    }
    Ok(serde_json::from_str(&line)?)
}

fn start() -> Result<State, String> {
    let engine = path()?;
    let mut command = Command::new(&engine);
    prepare(&mut command);
    command.arg("describe").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().map_err(|e| failure(&engine, &e))?;
    match (child.stdin.take(), child.stdout.take()) {
        (Some(requests), Some(replies)) => {
            Ok(State::Running { child, requests, replies: BufReader::new(replies) })
        }
        _ => Err(format!("{ENGINE} has no pipes")),
    }
}

/// Its process does not stay as a zombie while this one goes on.
impl Drop for Engine {
    fn drop(&mut self) {
        if let State::Running { mut child, requests, .. } = self.state.take() {
            drop(requests);
            let _ = child.wait();
        }
    }
}

/// Sets, in the environment of a program that will load libtorch, how threads wait and what memory is made of, each
/// unless it is set already. Both are read when the libraries are loaded, so the program cannot set them itself.
/// Returns whether there was something to set.
pub fn prepare(command: &mut Command) -> bool {
    let unset = unset(|name| env::var(name).ok());
    command.envs(unset.iter().map(|(name, value)| (name, value)));
    !unset.is_empty()
}

/// What is not set in an environment.
fn unset(set: impl Fn(&str) -> Option<String>) -> Vec<(&'static str, String)> {
    let mut unset = Vec::new();
    if set(SPIN_COUNT).or(set("OMP_WAIT_POLICY")).is_none() {
        unset.push((SPIN_COUNT, "6000".to_owned()));
    }
    let mut tunables = set(TUNABLES).unwrap_or_default();
    let before = tunables.len();
    for (name, value) in [(LARGE_PAGES, 1), (KEPT_BLOCKS, 200)] {
        if !tunables.contains(name) {
            let colon = if tunables.is_empty() { "" } else { ":" };
            tunables += &format!("{colon}{name}={value}");
        }
    }
    if tunables.len() > before {
        unset.push((TUNABLES, tunables));
    }
    unset
}

/// What the GNU C library reads its settings from.
const TUNABLES: &str = "GLIBC_TUNABLES";

/// Whether it asks the system for large pages (1: it advises so). A step goes through tens of megabytes in strides:
/// with pages of 4 KiB, a fifth of the time of a large agent's step was spent looking up where they are.
const LARGE_PAGES: &str = "glibc.malloc.hugetlb";

/// How many freed blocks of each small size a thread keeps for itself (7 without it). A step frees some hundred objects of few
/// sizes, and makes them again: a small agent's step was 829,000 instructions with this and 880,000 without.
const KEPT_BLOCKS: &str = "glibc.malloc.tcache_count";

/// How long libtorch's threads spin while they wait for work, in turns of a loop. GNU OpenMP reads it, as it does
/// `OMP_WAIT_POLICY`, which says the same in words.
/// By default a thread spins for milliseconds. On a machine with other work that takes the very core that the work
/// waited for needs: steps of 10 ms became ones of 1,000. 6,000 turns are nearly as quick on a quiet machine: with
/// fewer, threads fall asleep between one operation and the next.
const SPIN_COUNT: &str = "GOMP_SPINCOUNT";

/// This very program, to be started again: it starts the engine if its arguments ask for that.
pub(crate) fn this_program() -> Result<PathBuf, String> {
    let own = env::current_exe().map_err(|e| format!("cannot find this program: {e}"))?;
    Ok(own.canonicalize().unwrap_or(own))
}

/// The engine beside this program. A link to the program may lie anywhere; the engine lies beside the program itself.
fn path() -> Result<PathBuf, String> {
    let own = env::current_exe()
        .map_err(|e| format!("cannot find {ENGINE}, which lies beside this program: {e}"))?;
    Ok(own.canonicalize().as_deref().unwrap_or(&own).with_file_name(ENGINE))
}

fn failure(engine: &Path, error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::NotFound && !engine.exists() {
        return format!(
            "{} is not there. It does what needs libtorch, and lies beside this program: build the workspace with \
             `cargo xtask build`",
            engine.display()
        );
    }
    format!(
        "{} cannot be started: {error}. Build the workspace again with `cargo xtask build`",
        engine.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_already_stays() {
        let unset_in = |environment: &[(&str, &str)]| {
            unset(|name| environment.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned()))
        };
        let spin = (SPIN_COUNT, "6000".to_owned());
        let malloc = |value: &str| (TUNABLES, value.to_owned());
        let both = "glibc.malloc.hugetlb=1:glibc.malloc.tcache_count=200";
        assert_eq!(unset_in(&[]), [spin.clone(), malloc(both)]);
        assert_eq!(unset_in(&[(SPIN_COUNT, "1")]), [malloc(both)]);
        let all = "glibc.malloc.tcache_count=9:glibc.malloc.hugetlb=0";
        assert_eq!(unset_in(&[("OMP_WAIT_POLICY", "active"), (TUNABLES, all)]), []);
        assert_eq!(
            unset_in(&[(TUNABLES, "glibc.malloc.check=1")]),
            [spin, malloc(&format!("glibc.malloc.check=1:{both}"))]
        );
    }
}

//! What each command does, in order.

use crate::browser::{self, Browser};
use crate::error::{Error, Result};
use crate::libtorch::{self, Flavour, Wish};
use crate::packages::{GYMNASIUM, MINIWOB, TENSORBOARD};
use crate::places::Places;
use crate::report::{duration, say};
use crate::{cargo, plugins};
use std::ffi::OsString;
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

pub(crate) fn set_up(places: &Places, cuda: bool, cpu: bool, force: bool) -> Result<ExitCode> {
    let flavour = if cuda { Some(Flavour::Cuda) } else { cpu.then_some(Flavour::Cpu) };
    let libtorch = libtorch::set_up(places, &Wish { flavour, again: force })?;
    let real = libtorch.canonicalize().unwrap_or(libtorch);
    say(format!("libtorch: {}; `cargo build --release` works now", real.display()));
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn build(places: &Places) -> Result<ExitCode> {
    built(places)?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn run(places: &Places, spec: &Path, rest: &[OsString]) -> Result<ExitCode> {
    let plugins = plugins::needed(places, spec, rest);
    built_with(places, Some(&plugins))?;
    if let Some(browser) = browser::asked_for(spec) {
        browser::ensure(browser)?;
    }
    become_program(Command::new(places.program("efference")).arg("run").arg(spec).args(rest))
}

pub(crate) fn parity(places: &Places, folder: Option<PathBuf>) -> Result<ExitCode> {
    built(places)?;
    become_program(&mut parity_command(places, folder))
}

/// Builds everything and becomes one of the workspace's own programs, such as `efference-bench`.
pub(crate) fn program(places: &Places, name: &str, rest: &[OsString]) -> Result<ExitCode> {
    built(places)?;
    become_program(Command::new(places.program(name)).args(rest))
}

pub(crate) fn docs(places: &Places) -> Result<ExitCode> {
    let libtorch = libtorch::set_up(places, &Wish::default())?;
    let mut doc = cargo::command(places, &libtorch, "doc");
    Ok(cargo::code(cargo::status(doc.arg("--no-deps").env("RUSTDOCFLAGS", "-D warnings"))?))
}

pub(crate) fn test(places: &Places, filter: Option<&str>) -> Result<ExitCode> {
    let start = Instant::now();
    let libtorch = built(places)?;
    let mut tests = cargo::command(places, &libtorch, "test");
    tests.arg("--no-fail-fast");
    let (python, tensorboard) = match TENSORBOARD.python() {
        Ok(python) => (Some(python), "TensorBoard"),
        Err(error) => {
            say(format!("SKIPPED: event files are not read back with TensorBoard's own reader: {error}"));
            (None, "no TensorBoard (see SKIPPED)")
        }
    };
    let gymnasium = match GYMNASIUM.python() {
        Ok(python) => {
            tests.env(GYMNASIUM.variable, python);
            "Gymnasium"
        }
        Err(error) => {
            say(format!("SKIPPED: nothing is tested with real Gymnasium environments: {error}"));
            "no Gymnasium (see SKIPPED)"
        }
    };
    let miniwob = match MINIWOB.python() {
        Ok(python) => {
            tests.env(MINIWOB.variable, python);
            "MiniWoB"
        }
        Err(error) => {
            say(format!("SKIPPED: nothing is tested with MiniWoB's pages: {error}"));
            "no MiniWoB (see SKIPPED)"
        }
    };
    let browser = match browser::ensure(Browser::Chromium) {
        Ok(()) => "Chromium",
        Err(error) => {
            say(format!("SKIPPED: nothing is tested with a real browser: {error}"));
            "no Chromium (see SKIPPED)"
        }
    };
    let shell = match browser::ensure(Browser::Shell) {
        Ok(()) => "its headless shell",
        Err(error) => {
            say(format!("SKIPPED: nothing is tested in lock-step: {error}"));
            "no headless shell (see SKIPPED)"
        }
    };
    if let Some(filter) = filter {
        tests.args(["--", filter]);
    }
    let mut counts = Counts::default();
    let mut good = counts.follow(&mut tests)?;
    if filter.is_none() {
        if let Some(python) = python {
            // Of the whole workspace, as above: a package alone has other features of its dependencies, which are then built
            // again.
            let mut reading = cargo::command(places, &libtorch, "test");
            reading
                .args(["--lib", "--test", "comparison", "--", "--ignored", "tensorboard"])
                .env(TENSORBOARD.variable, &python);
            good &= counts.follow(&mut reading)?;
        }
        good &= counts.follow(&mut parity_command(places, None))?;
        say(format!("the tests had: {browser}, {shell}, {tensorboard}, {gymnasium}, {miniwob}"));
    } else if counts.passed + counts.failed == 0 {
        good = false;
        say("no test has such a name");
    }
    say(format!("{} after {}", if good { "all good" } else { "FAILED" }, duration(start.elapsed())));
    counts.print();
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Set-up and build of everything: what comes before most commands.
fn built(places: &Places) -> Result<PathBuf> {
    built_with(places, None)
}

/// Set-up and build of the host with these plugins, or of everything.
fn built_with(places: &Places, plugins: Option<&[String]>) -> Result<PathBuf> {
    let libtorch = libtorch::set_up(places, &Wish::default())?;
    if !places.program("efference").is_file() {
        let (what, minutes) = match plugins {
            Some(_) => ("the host and the plugins of this experiment", 6),
            None => ("everything", 9),
        };
        say(format!("building {what}; the first time this takes about {minutes} minutes on two cores"));
    }
    cargo::build(places, &libtorch, plugins)?;
    seal(places)?;
    Ok(libtorch)
}

/// Puts checksums behind the libraries that were built, so that one that is damaged later is refused.
fn seal(places: &Places) -> Result<()> {
    let directory = places.target.join("release");
    let entries = fs::read_dir(&directory)
        .map_err(|e| Error::new(format!("cannot list {}: {e}", directory.display())))?;
    let is_plugin = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("libefference_") && name.ends_with(".so")
    };
    let libraries: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(is_plugin).collect();
    if libraries.is_empty() {
        return Ok(());
    }
    let mut command = Command::new(places.program("efference"));
    match cargo::status(command.args(["plugins", "seal"]).args(libraries).stdout(Stdio::null()))? {
        status if status.success() => Ok(()),
        _ => Err(Error::new("the plugins could not be sealed; the message above says why")),
    }
}

fn parity_command(places: &Places, folder: Option<PathBuf>) -> Command {
    let mut command = Command::new(places.program("efference-parity"));
    command.arg(folder.unwrap_or_else(|| places.root.join("tests/parity")));
    command
}

/// Hands this process over, so that signals and the exit code are the program's own.
fn become_program(command: &mut Command) -> Result<ExitCode> {
    let error = command.exec();
    Err(Error::new(format!("cannot start {}: {error}", command.get_program().to_string_lossy())))
}

/// What the closing lines of all test programs add up to.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    passed: u64,
    failed: u64,
    ignored: u64,
}

impl Counts {
    /// Runs a program, passes its output on line by line and counts; says whether the program succeeded.
    fn follow(&mut self, command: &mut Command) -> Result<bool> {
        let name = command.get_program().to_string_lossy().into_owned();
        let failed = |e: io::Error| Error::new(format!("cannot run {name}: {e}"));
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().map_err(failed)?;
        if let Some(pipe) = child.stdout.take() {
            let mut out = io::stdout();
            for line in BufReader::new(pipe).split(b'\n') {
                let line = line.map_err(failed)?;
                self.add(&String::from_utf8_lossy(&line));
                // A reader that went away does not stop the tests.
                let _ = out.write_all(&line).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush());
            }
        }
        Ok(child.wait().map_err(failed)?.success())
    }

    /// `test result: ok. 3 passed; 0 failed; 1 ignored; …` of cargo's tests, `41 passed, 0 failed` of the
    /// parity cases.
    fn add(&mut self, line: &str) {
        let closing = match line.strip_prefix("test result: ") {
            Some(rest) => rest.split_once(". ").map_or(rest, |(_, counts)| counts),
            None if line.starts_with(|c: char| c.is_ascii_digit()) => line,
            None => return,
        };
        let count = |word: &str| {
            let part = closing.split([';', ',']).find_map(|part| part.trim().strip_suffix(word));
            part.and_then(|n| n.trim().parse::<u64>().ok())
        };
        if let (Some(passed), Some(failed)) = (count(" passed"), count(" failed")) {
            self.passed += passed;
            self.failed += failed;
            self.ignored += count(" ignored").or(count(" skipped")).unwrap_or(0);
        }
    }

    fn print(&self) {
        let Self { passed, failed, ignored } = self;
        let _ = writeln!(io::stdout(), "total: {passed} passed, {failed} failed, {ignored} skipped");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_add_up() {
        let mut counts = Counts::default();
        for line in [
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.05s",
            "test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0s",
            "41 passed, 1 failed",
            "running 7 tests",
            "5 passed the ball, none failed",
        ] {
            counts.add(line);
        }
        assert_eq!(counts, Counts { passed: 45, failed: 3, ignored: 1 });
    }
}

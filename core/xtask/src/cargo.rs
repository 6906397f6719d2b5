//! Cargo, always in the one profile that libtorch's bindings are compiled in.

use crate::error::{Error, Result};
use crate::places::Places;
use std::env;
use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, ExitCode, ExitStatus, Stdio};

/// The packages of the programs that run experiments.
pub(crate) const HOST: [&str; 2] = ["efference-cli", "efference-engine"];

/// Cargo in the workspace with the libtorch of the set-up, in the release profile.
pub(crate) fn command(places: &Places, libtorch: &Path, task: &str) -> Command {
    let mut command = released(places, libtorch, task);
    command.arg("--workspace");
    command
}

fn released(places: &Places, libtorch: &Path, task: &str) -> Command {
    let mut command = bare(places);
    command.args([task, "--release"]).env("LIBTORCH", libtorch);
    command
}

/// Builds everything, or the host and these plugins. `cargo test` alone would not do: it does not refresh the plugins'
/// libraries.
pub(crate) fn build(places: &Places, libtorch: &Path, plugins: Option<&[String]>) -> Result<()> {
    let mut build = match plugins {
        None => command(places, libtorch, "build"),
        Some(plugins) => {
            let mut build = released(places, libtorch, "build");
            build.args(
                HOST.into_iter().chain(plugins.iter().map(String::as_str)).flat_map(|p| ["--package", p]),
            );
            build
        }
    };
    match status(&mut build)? {
        status if status.success() => Ok(()),
        _ => Err(Error::new("the build failed; cargo's messages above say where")),
    }
}

/// Makes cargo build these packages again.
pub(crate) fn forget(places: &Places, packages: &[&str]) -> Result<()> {
    if !places.target.join("release").is_dir() {
        return Ok(());
    }
    let mut clean = bare(places);
    clean.args(["clean", "--quiet", "--release"]).args(packages.iter().flat_map(|p| ["--package", p]));
    match status(&mut clean)? {
        status if status.success() => Ok(()),
        _ => Err(Error::new("`cargo clean` failed; cargo's message above says why")),
    }
}

fn bare(places: &Places) -> Command {
    let mut command = Command::new(env::var_os("CARGO").as_deref().unwrap_or(OsStr::new("cargo")));
    command.current_dir(&places.root).env("CARGO_TARGET_DIR", &places.target).stdin(Stdio::null());
    command
}

/// Runs a program to its end, with its output where ours goes.
pub(crate) fn status(command: &mut Command) -> Result<ExitStatus> {
    let name = command.get_program().to_string_lossy().into_owned();
    command.status().map_err(|e| Error::new(format!("cannot start {name}: {e}")))
}

/// The exit code of a child as our own; a child that a signal ended is a failure.
pub(crate) fn code(status: ExitStatus) -> ExitCode {
    status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from)
}

//! A Python with the `tensorboard` package, for the test that reads our event files back with the real
//! reader.

use crate::error::{Error, Result};
use crate::places;
use crate::python::{Python, last_lines};
use crate::report::say;
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};
use std::{fs, io};

/// The variable that tells the test which Python has `tensorboard`; the test says that it skips if it is not
/// set.
pub(crate) const VARIABLE: &str = "EFFERENCE_TENSORBOARD_PYTHON";

const REQUIREMENT: &str = "tensorboard==2.20.0";
const FOLDER: &str = "tensorboard-2.20.0";

/// The environment's Python, made in the user's cache if it is not there or no longer works.
pub(crate) fn python() -> Result<PathBuf> {
    let cache = places::cache()?;
    let place = cache.join(FOLDER);
    let program = place.join("bin/python");
    if works(&program) {
        return Ok(program);
    }
    let python = Python::with_pip()?;
    say(format!("preparing a Python with TensorBoard in {}, once", place.display()));
    // Made beside its place and renamed, so that one that was stopped halfway is never taken for whole.
    let new = cache.join(format!("{FOLDER}.part-{}", process::id()));
    let made = make(&python, &new).and_then(|()| put(&new, &place));
    if made.is_err() {
        let _ = fs::remove_dir_all(&new);
    }
    made.map(|()| program)
}

fn make(python: &Python, folder: &Path) -> Result<()> {
    // Without pip of its own: Debian keeps the module that would bring it in another package.
    finish(python.command().args(["-m", "venv", "--without-pip"]).arg(folder), "make a virtual environment")?;
    let ask = "import sysconfig; print(sysconfig.get_path('purelib'))";
    let packages =
        Command::new(folder.join("bin/python")).args(["-I", "-c", ask]).stdin(Stdio::null()).output();
    let packages = packages.map_err(|e| Error::file("start", &folder.join("bin/python"), &e))?.stdout;
    let packages = PathBuf::from(String::from_utf8_lossy(&packages).trim());
    let mut install = python.pip();
    install.args(["install", "--quiet", "--only-binary=:all:", REQUIREMENT, "--target"]).arg(&packages);
    finish(&mut install, "install tensorboard")?;
    if works(&folder.join("bin/python")) {
        return Ok(());
    }
    Err(Error::new("tensorboard was installed, but it cannot be imported"))
}

fn put(new: &Path, place: &Path) -> Result<()> {
    match fs::rename(new, place) {
        Err(error)
            if matches!(error.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists) =>
        {
            if works(&place.join("bin/python")) {
                let _ = fs::remove_dir_all(new); // another `cargo xtask test` was quicker
                return Ok(());
            }
            fs::remove_dir_all(place)
                .and_then(|()| fs::rename(new, place))
                .map_err(|e| Error::file("replace", place, &e))
        }
        other => other.map_err(|e| Error::file("write", place, &e)),
    }
}

fn works(python: &Path) -> bool {
    let import = "import tensorboard.backend.event_processing.event_accumulator";
    let mut command = Command::new(python);
    command.args(["-I", "-c", import]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn finish(command: &mut Command, what: &str) -> Result<()> {
    let out = command.output().map_err(|e| Error::new(format!("cannot {what}: {e}")))?;
    if out.status.success() {
        return Ok(());
    }
    Err(Error::new(format!("cannot {what}: {}", last_lines(&String::from_utf8_lossy(&out.stderr), 1))))
}

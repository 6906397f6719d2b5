//! Pythons with packages, for tests that need the real thing: TensorBoard's own reader of event files, the environments of
//! Gymnasium, and the pages of MiniWoB.

use crate::error::{Error, Result};
use crate::places;
use crate::python::{Python, last_lines};
use crate::report::say;
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};
use std::{fs, io};

/// What a test needs of Python.
pub(crate) struct Packages {
    name: &'static str,
    /// The variable that tells the test which Python has them; the test says that it skips if it is not set.
    pub(crate) variable: &'static str,
    requirements: &'static [&'static str],
    folder: &'static str,
    /// Whether what they themselves need is left out.
    alone: bool,
    /// What runs without an error if they are whole.
    proof: &'static str,
}

pub(crate) const TENSORBOARD: Packages = Packages {
    name: "TensorBoard",
    variable: "EFFERENCE_TENSORBOARD_PYTHON",
    requirements: &["tensorboard==2.20.0"],
    folder: "tensorboard-2.20.0",
    alone: false,
    proof: "import tensorboard.backend.event_processing.event_accumulator",
};

/// ALE comes with its games. Other packages that register environments are large; tests use them where they are.
pub(crate) const GYMNASIUM: Packages = Packages {
    name: "Gymnasium",
    variable: "EFFERENCE_GYMNASIUM_PYTHON",
    requirements: &["gymnasium==1.4.0", "ale-py==0.12.1"],
    folder: "gymnasium-1.4.0",
    alone: false,
    proof: "import gymnasium, ale_py",
};

/// Of this package its pages alone are used.
pub(crate) const MINIWOB: Packages = Packages {
    name: "MiniWoB",
    variable: "EFFERENCE_MINIWOB_PYTHON",
    requirements: &["miniwob==1.1.0"],
    folder: "miniwob-1.1.0",
    alone: true,
    proof: "import importlib.util, os; \
            os.stat(importlib.util.find_spec('miniwob').submodule_search_locations[0] + '/html/core/core.js')",
};

impl Packages {
    /// A Python that has them, made in the user's cache if it is not there or no longer works.
    pub(crate) fn python(&self) -> Result<PathBuf> {
        let cache = places::cache()?;
        let place = cache.join(self.folder);
        let program = place.join("bin/python");
        if self.work(&program) {
            return Ok(program);
        }
        let python = Python::with_pip()?;
        say(format!("preparing a Python with {} in {}, once", self.name, place.display()));
        // Made beside its place and renamed, so that one that was stopped halfway is never taken for whole.
        let new = cache.join(format!("{}.part-{}", self.folder, process::id()));
        let made = self.make(&python, &new).and_then(|()| self.put(&new, &place));
        if made.is_err() {
            let _ = fs::remove_dir_all(&new);
        }
        made.map(|()| program)
    }

    fn make(&self, python: &Python, folder: &Path) -> Result<()> {
        // Without pip of its own: Debian keeps the module that would bring it in another package.
        finish(
            python.command().args(["-m", "venv", "--without-pip"]).arg(folder),
            "make a virtual environment",
        )?;
        let ask = "import sysconfig; print(sysconfig.get_path('purelib'))";
        let packages =
            Command::new(folder.join("bin/python")).args(["-I", "-c", ask]).stdin(Stdio::null()).output();
        let packages = packages.map_err(|e| Error::file("start", &folder.join("bin/python"), &e))?.stdout;
        let packages = PathBuf::from(String::from_utf8_lossy(&packages).trim());
        let mut install = python.pip();
        install.args(["install", "--quiet", "--only-binary=:all:"]).args(self.requirements);
        if self.alone {
            install.arg("--no-deps");
        }
        finish(install.arg("--target").arg(&packages), &format!("install {}", self.name))?;
        if self.work(&folder.join("bin/python")) {
            return Ok(());
        }
        Err(Error::new(format!("{} was installed, but it does not work", self.name)))
    }

    fn put(&self, new: &Path, place: &Path) -> Result<()> {
        match fs::rename(new, place) {
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists
                ) =>
            {
                if self.work(&place.join("bin/python")) {
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

    fn work(&self, python: &Path) -> bool {
        let mut command = Command::new(python);
        command.args(["-I", "-c", self.proof]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }
}

fn finish(command: &mut Command, what: &str) -> Result<()> {
    let out = command.output().map_err(|e| Error::new(format!("cannot {what}: {e}")))?;
    if out.status.success() {
        return Ok(());
    }
    Err(Error::new(format!("cannot {what}: {}", last_lines(&String::from_utf8_lossy(&out.stderr), 1))))
}

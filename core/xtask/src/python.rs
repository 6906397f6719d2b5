//! The Python that pip belongs to. It fetches and unpacks wheels; no Python runs beside an experiment.

use crate::error::{Error, Result};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const INSTALL: &str =
    "Install it: on Debian or Ubuntu `apt-get install python3-pip`, on Fedora `dnf install python3-pip`.";

pub(crate) struct Python {
    program: PathBuf,
}

impl Python {
    /// The first Python on `PATH` that has pip.
    pub(crate) fn with_pip() -> Result<Self> {
        let mut without_pip = None;
        for name in ["python3", "python"] {
            let python = Self { program: name.into() };
            match python.command().args(["-m", "pip", "--version"]).output() {
                Ok(out) if out.status.success() => return Ok(python),
                Ok(_) if without_pip.is_none() => without_pip = Some(name),
                _ => {}
            }
        }
        Err(match without_pip {
            Some(name) => Error::new(format!("`{name}` is here, but it has no pip (`{name} -m pip` fails)"))
                .help(INSTALL),
            None => Error::new("there is no Python (`python3`) on PATH; its pip fetches libtorch")
                .help(format!("{INSTALL} Or set LIBTORCH to a libtorch that you have.")),
        })
    }

    /// This Python, with nothing to read, and away from the current folder, whose files could hide its
    /// modules.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.stdin(Stdio::null()).current_dir("/");
        command
    }

    /// This Python's pip: no questions, no bars that only a terminal can show, no second copy of half a
    /// gigabyte.
    pub(crate) fn pip(&self) -> Command {
        let mut command = self.command();
        command.args(["-m", "pip", "--no-input", "--disable-pip-version-check", "--no-cache-dir"]);
        command
    }

    /// Runs a short program given as text and returns what it printed.
    pub(crate) fn eval(&self, program: &str, arguments: &[&OsStr]) -> Result<String> {
        let out = self.command().args(["-I", "-c", program]).args(arguments).output();
        let out = out.map_err(|e| Error::new(format!("cannot start {}: {e}", self.program.display())))?;
        if out.status.success() {
            Ok(String::from_utf8_lossy(&out.stdout).into_owned())
        } else {
            Err(Error::new(last_lines(&String::from_utf8_lossy(&out.stderr), 1)))
        }
    }

    /// Bytes that this user may still write to the disk that holds `folder`.
    pub(crate) fn free_space(&self, folder: &Path) -> Result<u64> {
        let program = "import shutil, sys; print(shutil.disk_usage(sys.argv[1]).free)";
        let free = self.eval(program, &[folder.as_os_str()])?;
        free.trim()
            .parse()
            .map_err(|_| Error::new(format!("cannot tell the free space of {}", folder.display())))
    }
}

/// The last `n` lines of `text` that are not empty.
pub(crate) fn last_lines(text: &str, n: usize) -> String {
    let lines: Vec<_> = text.lines().map(str::trim_end).filter(|l| !l.is_empty()).collect();
    lines[lines.len().saturating_sub(n)..].join("\n")
}

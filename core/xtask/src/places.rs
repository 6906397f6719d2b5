//! Where things are: this clone, cargo's target folder, the user's cache.

use crate::error::{Error, Result};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::{env, fs};

pub(crate) struct Places {
    /// The root of the workspace.
    pub(crate) root: PathBuf,
    /// Where cargo puts what it builds, `…/target`.
    pub(crate) target: PathBuf,
}

impl Places {
    pub(crate) fn find() -> Result<Self> {
        // Cargo says where this package is; started by hand, it is where it was built.
        let package =
            env::var_os("CARGO_MANIFEST_DIR").map_or(env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
        let root = package.join("../..");
        let root = root.canonicalize().map_err(|e| Error::file("find the workspace", &root, &e))?;
        // This program is TARGET/debug/xtask, wherever the user has cargo put TARGET.
        let program = env::current_exe().ok();
        let target = program.as_deref().and_then(target_of).unwrap_or_else(|| root.join("target"));
        Ok(Self { root, target })
    }

    /// The link in the workspace that cargo's configuration gives to the build as `LIBTORCH`.
    pub(crate) fn libtorch_link(&self) -> PathBuf {
        self.root.join(".libtorch")
    }

    /// A program that the workspace builds.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.target.join("release").join(name)
    }
}

fn target_of(program: &Path) -> Option<PathBuf> {
    let profile = program.parent()?;
    (profile.file_name()? == "debug").then(|| profile.parent().map(Path::to_path_buf))?
}

/// The folder of this project in the user's cache, made if it is not there.
pub(crate) fn cache() -> Result<PathBuf> {
    let folder = cache_of(env::var_os("XDG_CACHE_HOME"), env::var_os("HOME")).ok_or_else(|| {
        Error::new("there is no cache folder: neither XDG_CACHE_HOME nor HOME is set to an absolute path")
            .help("Set XDG_CACHE_HOME to a folder that you can write to, with 3 GB of free space.")
    })?;
    fs::create_dir_all(&folder).map_err(|e| unwritable(&folder, &e))?;
    Ok(folder)
}

/// The error for a cache folder that cannot be written to.
pub(crate) fn unwritable(path: &Path, error: &std::io::Error) -> Error {
    Error::new(format!("cannot write to the cache folder: {}: {error}", path.display())).help(
        "Set XDG_CACHE_HOME to a folder that you can write to, or set LIBTORCH to a libtorch that you have.",
    )
}

fn cache_of(xdg: Option<OsString>, home: Option<OsString>) -> Option<PathBuf> {
    let absolute = |path: OsString| Some(PathBuf::from(path)).filter(|p| p.is_absolute());
    // The XDG rules: a relative path is to be ignored.
    let base = xdg.and_then(absolute).or_else(|| Some(home.and_then(absolute)?.join(".cache")))?;
    Some(base.join("efference"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_follows_the_xdg_rules() {
        let of = |xdg: Option<&str>, home: Option<&str>| cache_of(xdg.map(Into::into), home.map(Into::into));
        assert_eq!(of(Some("/c"), Some("/h")), Some("/c/efference".into()));
        assert_eq!(of(Some("relative"), Some("/h")), Some("/h/.cache/efference".into()));
        assert_eq!(of(Some(""), Some("/h")), Some("/h/.cache/efference".into()));
        assert_eq!(of(None, Some("")), None);
    }

    #[test]
    fn the_target_folder_is_the_one_this_program_lies_in() {
        assert_eq!(target_of(Path::new("/elsewhere/t/debug/xtask")), Some("/elsewhere/t".into()));
        assert_eq!(target_of(Path::new("/usr/local/bin/xtask")), None);
    }
}

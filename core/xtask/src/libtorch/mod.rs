//! Finds libtorch, or fetches it, and points this clone at it.
//!
//! The clone has a link `.libtorch` that git ignores; `.cargo/config.toml` gives it to every build as
//! `LIBTORCH`, unless that variable is set. So a plain `cargo build` works after the first set-up.

mod fetch;
mod version;
mod wheels;

use crate::cargo;
use crate::error::{Error, Result};
use crate::places::{self, Places};
use crate::report::say;
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};
use std::{env, fs, io};
use version::{VERSION, check_users, fault};
pub(crate) use wheels::Flavour;

/// What the user asked for.
#[derive(Default)]
pub(crate) struct Wish {
    pub(crate) flavour: Option<Flavour>,
    /// Fetch it even if the cache has it.
    pub(crate) again: bool,
}

/// Where the libtorch of a build comes from.
#[derive(Debug, PartialEq, Eq)]
enum Source {
    /// The variable `LIBTORCH`, which wins for cargo as well.
    Variable(PathBuf),
    /// What `.libtorch` leads to already.
    Link,
    /// The cache, fetched if it is not there.
    Cache(Flavour),
}

/// Makes sure that there is a libtorch to build with, and returns what is to be in `LIBTORCH` for that build.
pub(crate) fn set_up(places: &Places, wish: &Wish) -> Result<PathBuf> {
    check_compiler()?;
    let link = places.libtorch_link();
    // Cargo itself sets LIBTORCH to the link, for this program too.
    let variable =
        env::var_os("LIBTORCH").filter(|v| !v.is_empty()).map(PathBuf::from).filter(|v| *v != link);
    let linked = fs::canonicalize(&link).ok();
    let usable = linked.as_deref().is_some_and(|folder| fault(folder).is_none());
    let found = || linked.as_deref().and_then(flavour_of).unwrap_or_else(suitable);
    let (folder, value) = match choose(variable, usable, wish, found) {
        Source::Variable(folder) => {
            if wish.again || wish.flavour.is_some() {
                say("LIBTORCH is set, and it wins over --cuda, --cpu and --force; unset it to use those");
            }
            let folder = std::path::absolute(&folder).unwrap_or(folder);
            check_users(&folder)?;
            // The same text as in the environment, or cargo would compile tch again when it is started by
            // hand.
            (folder.clone(), folder)
        }
        Source::Link => return Ok(link),
        Source::Cache(flavour) => {
            check_machine()?;
            (fetch::into_cache(&places::cache()?, flavour, wish.again)?, link.clone())
        }
    };
    let folder = folder.canonicalize().map_err(|e| Error::file("find", &folder, &e))?;
    point(&link, &folder)?;
    if linked.is_some_and(|old| old != folder) {
        // Cargo sees the same LIBTORCH as before, and does not see that what is behind it has changed.
        say("this clone now uses another libtorch: the bindings to it will be compiled again");
        cargo::forget(places, &["torch-sys", "efference-sdk", "efference-cli"])?;
    }
    Ok(value)
}

fn choose(
    variable: Option<PathBuf>,
    link_is_usable: bool,
    wish: &Wish,
    found: impl Fn() -> Flavour,
) -> Source {
    match (variable, wish.flavour) {
        (Some(folder), _) => Source::Variable(folder),
        (None, Some(flavour)) => Source::Cache(flavour),
        (None, None) if link_is_usable && !wish.again => Source::Link,
        (None, None) => Source::Cache(found()),
    }
}

/// Which of the cache's folders this one is, if any.
fn flavour_of(torch: &Path) -> Option<Flavour> {
    let name = torch.parent()?.file_name()?;
    [Flavour::Cpu, Flavour::Cuda].into_iter().find(|f| *name == *f.folder())
}

/// What suits this machine.
fn suitable() -> Flavour {
    if has_nvidia_driver() { Flavour::Cuda } else { Flavour::Cpu }
}

/// Makes `.libtorch` lead to `folder`, at once or not at all.
fn point(link: &Path, folder: &Path) -> Result<()> {
    if fs::read_link(link).is_ok_and(|old| old == folder) {
        return Ok(());
    }
    let new = link.with_extension(format!("new-{}", process::id()));
    let made = std::os::unix::fs::symlink(folder, &new).and_then(|()| fs::rename(&new, link));
    made.map_err(|error| {
        let _ = fs::remove_file(&new);
        let error = Error::file("make the link", link, &error);
        if link.is_dir() && !link.is_symlink() {
            error.help("Move that folder away; a link has to be there.")
        } else {
            error
        }
    })
}

/// The NVIDIA driver shows itself there while it is loaded.
fn has_nvidia_driver() -> bool {
    Path::new("/proc/driver/nvidia/version").exists() || Path::new("/dev/nvidiactl").exists()
}

/// Looked for first: half a gigabyte is of no use without it.
fn check_compiler() -> Result<()> {
    let compiler = env::var("CXX").unwrap_or_else(|_| "c++".into());
    let mut words = compiler.split_whitespace();
    let program = words.next().unwrap_or("c++");
    let answer = Command::new(program).arg("--version").stdin(Stdio::null()).output();
    match answer {
        Ok(out) if out.status.success() => Ok(()),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Ok(()), // let the build find out
        _ => Err(Error::new(format!("there is no working C++ compiler: `{program} --version` fails")).help(
            "Install one: on Debian or Ubuntu `apt-get install g++`, on Fedora `dnf install gcc-c++`; or set \
             CXX to yours.",
        )),
    }
}

fn check_machine() -> Result<()> {
    if cfg!(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu")) {
        return Ok(());
    }
    Err(Error::new(
        "libtorch can be fetched for Linux on x86-64 with glibc only, and this is another kind of machine",
    )
    .help(format!("Set LIBTORCH to a libtorch {VERSION} made for this machine.")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(variable: Option<&str>, link: bool, flavour: Option<Flavour>, again: bool) -> Source {
        choose(variable.map(Into::into), link, &Wish { flavour, again }, || Flavour::Cpu)
    }

    #[test]
    fn the_variable_comes_first_then_the_link_then_the_cache() {
        assert_eq!(chosen(Some("/mine"), true, Some(Flavour::Cuda), true), Source::Variable("/mine".into()));
        assert_eq!(chosen(None, true, None, false), Source::Link);
        assert_eq!(chosen(None, false, None, false), Source::Cache(Flavour::Cpu));
    }

    #[test]
    fn options_pass_over_the_link() {
        assert_eq!(chosen(None, true, Some(Flavour::Cuda), false), Source::Cache(Flavour::Cuda));
        assert_eq!(chosen(None, true, None, true), Source::Cache(Flavour::Cpu));
    }

    #[test]
    fn a_folder_of_the_cache_tells_what_it_can_use() {
        assert_eq!(flavour_of(Path::new("/c/efference/libtorch-2.13.0-cuda/torch")), Some(Flavour::Cuda));
        assert_eq!(flavour_of(Path::new("/opt/libtorch")), None);
    }

    #[test]
    fn the_link_is_replaced_and_never_a_folder_of_the_users() {
        let folder = env::temp_dir().join(format!("efference-xtask-link-{}", process::id()));
        fs::create_dir_all(folder.join("a")).unwrap();
        let link = folder.join(".libtorch");
        for target in ["a", "b", "b"].map(|n| folder.join(n)) {
            point(&link, &target).unwrap();
            assert_eq!(fs::read_link(&link).unwrap(), target);
        }
        let error = point(&folder.join("a"), &folder.join("b")).unwrap_err().to_string();
        assert!(error.contains("Move that folder away"), "{error}");
        fs::remove_dir_all(&folder).unwrap();
    }
}

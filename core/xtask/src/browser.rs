//! Chromium, which the environment `browser` starts: is it here, and if not, may we install it?

use crate::error::{Error, Result};
use crate::report::say;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

/// Whether an experiment, or one that it extends, has `browser` as its environment and names no Chromium of
/// its own. A spec that cannot be read is not our concern: `efference` says what is wrong with it.
pub(crate) fn is_asked_for(spec: &Path) -> bool {
    let says = |key| environment(spec, key, 8).unwrap_or_default();
    says("plugin") == "browser" && says("chromium").is_empty()
}

/// What a spec, or one that it extends, says for a key of `[environment]`.
fn environment(spec: &Path, key: &str, depth: usize) -> Option<String> {
    let text = fs::read_to_string(spec).ok()?;
    let table: toml::Table = toml::from_str(&text).ok()?;
    if let Some(value) = table.get("environment").and_then(|e| e.get(key)).and_then(|v| v.as_str()) {
        return Some(value.to_owned());
    }
    let bases = match table.get("extends")? {
        toml::Value::String(base) => vec![base.as_str()],
        toml::Value::Array(bases) => bases.iter().filter_map(|b| b.as_str()).collect(),
        _ => return None,
    };
    let folder = spec.parent().unwrap_or(Path::new(""));
    // The last one wins. The depth ends a circle of specs that extend each other.
    let depth = depth.checked_sub(1)?;
    bases.into_iter().rev().find_map(|base| environment(&folder.join(base), key, depth))
}

/// Makes sure that there is a Chromium: installs Debian's package as root, else says which one to install.
pub(crate) fn ensure() -> Result<()> {
    if found() {
        return Ok(());
    }
    let missing = Error::new("there is no Chromium on this machine");
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    match System::of(&release) {
        System::Debian if is_root() && program("apt-get").is_some() => {
            say("installing Debian's package `chromium` (apt-get install chromium), once");
            install()?;
            if found() {
                Ok(())
            } else {
                Err(missing.help("`apt-get install chromium` worked, but left no `chromium`."))
            }
        }
        System::Debian => Err(missing.help("Install it: `sudo apt-get install chromium`.")),
        // Its package `chromium` is an empty one that asks for a snap.
        System::Ubuntu => {
            Err(missing.help("Install it: `sudo snap install chromium`, or Google Chrome from its website."))
        }
        System::Fedora => Err(missing.help("Install it: `sudo dnf install chromium`.")),
        System::Other => {
            Err(missing.help("Install the package of your system that has `chromium`, or Google Chrome."))
        }
    }
}

fn install() -> Result<()> {
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command.args(["-qq", "-y"]).args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
        command.stdin(Stdio::null()).stdout(Stdio::null()).status().is_ok_and(|status| status.success())
    };
    // The list of packages may be missing or old; it is only asked for if the first try fails.
    let wanted = ["install", "--no-install-recommends", "chromium"];
    if apt(&wanted) || (apt(&["update"]) && apt(&wanted)) {
        return Ok(());
    }
    Err(Error::new("apt-get could not install the package `chromium`; its message is above"))
}

/// Names under which Chromium is known.
fn found() -> bool {
    ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]
        .iter()
        .any(|n| program(n).is_some())
}

fn program(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|folder| folder.join(name)).find(|path| path.is_file())
}

fn is_root() -> bool {
    // The owner of a process's own entry is its effective user.
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self").is_ok_and(|entry| entry.uid() == 0)
}

#[derive(Debug, PartialEq, Eq)]
enum System {
    Debian,
    Ubuntu,
    Fedora,
    Other,
}

impl System {
    /// From the text of /etc/os-release.
    fn of(release: &str) -> Self {
        let words = |key: &str| {
            let value = release.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
            value.unwrap_or_default().trim_matches('"').split(' ').map(str::to_owned).collect::<Vec<_>>()
        };
        let names = [words("ID"), words("ID_LIKE")].concat();
        let is = |name: &str| names.iter().any(|n| n == name);
        match () {
            () if is("ubuntu") => Self::Ubuntu,
            () if is("debian") => Self::Debian,
            () if is("fedora") => Self::Fedora,
            () => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systems_are_told_apart() {
        assert_eq!(System::of("PRETTY_NAME=\"Debian 12\"\nID=debian\n"), System::Debian);
        assert_eq!(System::of("ID=ubuntu\nID_LIKE=debian\n"), System::Ubuntu);
        assert_eq!(System::of("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n"), System::Ubuntu);
        assert_eq!(System::of("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n"), System::Fedora);
        assert_eq!(System::of(""), System::Other);
    }

    #[test]
    fn the_environment_is_found_through_extends() {
        let folder = env::temp_dir().join(format!("efference-xtask-spec-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let write = |name: &str, text: &str| fs::write(folder.join(name), text).unwrap();
        write("base.toml", "[environment]\nplugin = \"browser\"\n");
        write("child.toml", "extends = \"base.toml\"\nsteps = 10\n");
        write("other.toml", "extends = [\"base.toml\"]\n[environment]\nplugin = \"worlds\"\n");
        write("mine.toml", "extends = \"base.toml\"\n[environment]\nchromium = \"/opt/mine\"\n");
        write("circle.toml", "extends = \"circle.toml\"\n");
        write("broken.toml", "[environment\n");
        let asked = ["base", "child", "other", "mine", "circle", "broken", "missing"]
            .map(|name| is_asked_for(&folder.join(format!("{name}.toml"))));
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(asked, [true, true, false, false, false, false, false]);
    }
}

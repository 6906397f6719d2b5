//! Chromium, which the environment `browser` starts: is it here, and if not, may we install it? In lock-step it is its headless
//! shell, a program of its own.

use crate::error::{Error, Result};
use crate::report::say;
use crate::spec;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

/// One of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Browser {
    /// The whole of it.
    Chromium,
    /// What draws step by step.
    Shell,
}

/// What an experiment, or one that it extends, needs: nothing, if `browser` is not its environment or it names a Chromium of
/// its own.
pub(crate) fn asked_for(spec: &Path) -> Option<Browser> {
    let tables = spec::tables(spec);
    let says = |key| {
        let value = |table: &toml::Table| Some(table.get("environment")?.get(key)?.as_str()?.to_owned());
        tables.iter().find_map(value).unwrap_or_default()
    };
    let any = says("plugin") == "browser" && says("chromium").is_empty();
    any.then(|| if says("pace") == "lock-step" { Browser::Shell } else { Browser::Chromium })
}

/// Makes sure that it is there: installs Debian's package as root, else says which one to install.
pub(crate) fn ensure(browser: Browser) -> Result<()> {
    if browser.found() {
        return Ok(());
    }
    let package = browser.package();
    let missing = Error::new(match browser {
        Browser::Chromium => "there is no Chromium on this machine",
        Browser::Shell => "there is no headless shell of Chromium on this machine, which lock-step needs",
    });
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    match System::of(&release) {
        System::Debian if is_root() && program("apt-get").is_some() => {
            say(format!("installing Debian's package `{package}` (apt-get install {package}), once"));
            install(package)?;
            if browser.found() {
                Ok(())
            } else {
                Err(missing.help(format!("`apt-get install {package}` worked, but left no `{package}`.")))
            }
        }
        System::Debian => Err(missing.help(format!("Install it: `sudo apt-get install {package}`."))),
        _ if browser == Browser::Shell => Err(missing.help(
            "Download `chrome-headless-shell` (`npx @puppeteer/browsers install chrome-headless-shell`) and put it on the PATH.",
        )),
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

fn install(package: &str) -> Result<()> {
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command.args(["-qq", "-y"]).args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
        command.stdin(Stdio::null()).stdout(Stdio::null()).status().is_ok_and(|status| status.success())
    };
    // The list of packages may be missing or old; it is only asked for if the first try fails.
    let wanted = ["install", "--no-install-recommends", package];
    if apt(&wanted) || (apt(&["update"]) && apt(&wanted)) {
        return Ok(());
    }
    Err(Error::new(format!("apt-get could not install the package `{package}`; its message is above")))
}

impl Browser {
    /// Debian's.
    fn package(self) -> &'static str {
        match self {
            Browser::Chromium => "chromium",
            Browser::Shell => "chromium-headless-shell",
        }
    }

    /// Names under which it is known.
    fn programs(self) -> &'static [&'static str] {
        match self {
            Browser::Chromium => &["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"],
            Browser::Shell => &["chromium-headless-shell", "chrome-headless-shell"],
        }
    }

    fn found(self) -> bool {
        self.programs().iter().any(|name| program(name).is_some())
    }
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
        write("stepped.toml", "extends = \"base.toml\"\n[environment]\npace = \"lock-step\"\n");
        write("circle.toml", "extends = \"circle.toml\"\n");
        write("broken.toml", "[environment\n");
        let asked = ["base", "child", "stepped", "other", "mine", "circle", "broken", "missing"]
            .map(|name| asked_for(&folder.join(format!("{name}.toml"))));
        fs::remove_dir_all(&folder).unwrap();
        let (chromium, shell) = (Some(Browser::Chromium), Some(Browser::Shell));
        assert_eq!(asked, [chromium, chromium, shell, None, None, None, None, None]);
    }
}

//! What a plugin is built with: the SDK's sources, and the libtorch of this very program.
//!
//! Cargo reads it from the crate's `.cargo/config.toml`, so that no variable has to be set. The C++ part of `tch`, which takes
//! minutes to compile, is the one that this program was built with: cargo reads there where it is, in place of running the build script
//! that would compile it (a "links override"). All else that plugins need is built once for all of them, in one folder of the
//! user's cache.
use super::kind::NewKind;
use efference_registry::user_directory;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use std::{env, fs};

/// What was found.
pub(super) struct Building {
    /// The clone of efference.
    sources: PathBuf,
    libtorch: PathBuf,
    /// The folder that all plugins of the user share; `None` without a cache.
    shared: Option<PathBuf>,
    glue: Option<Glue>,
}

/// The C++ part of `tch`.
struct Glue {
    archive: PathBuf,
    /// What is linked with it, as the build script that made it said.
    link: Vec<String>,
}

/// A crate of efference's that a plugin needs.
pub(super) struct Package {
    name: &'static str,
    folder: PathBuf,
    pub(super) for_tests: bool,
}

impl Package {
    /// As it stands in `Cargo.toml`.
    pub(super) fn line(&self) -> String {
        format!("{} = {{ path = {} }}", self.name, quoted(&self.folder.to_string_lossy()))
    }
}

/// Where this program was built.
const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
/// The libtorch that it was built with.
const LIBTORCH: &str = env!("EFFERENCE_LIBTORCH");

impl Building {
    /// # Errors
    /// What is missing, and how to get it.
    pub(super) fn find(sources: Option<&Path>) -> Result<Building, String> {
        let said = sources.unwrap_or(Path::new(SOURCES));
        let sources =
            fs::canonicalize(said).ok().filter(|sources| sources.join("core/sdk/Cargo.toml").is_file());
        let sources = sources.ok_or_else(|| {
            format!(
                "the SDK is not in {}, where it belongs: name a clone of efference by --sources DIR",
                said.join("core/sdk").display()
            )
        })?;
        if sources.to_str().is_none() {
            return Err(format!(
                "cargo takes no path that is no text: move {} to another one",
                sources.display()
            ));
        }
        let libtorch = libtorch(&sources)?;
        let version = env!("EFFERENCE_LIBTORCH_VERSION");
        let shared = user_directory().map(|cache| cache.join(format!("plugin-builds/libtorch-{version}")));
        let shared = shared.filter(|shared| shared.to_str().is_some());
        let glue = shared.as_deref().and_then(|shared| Glue::find(&libtorch)?.copied_to(shared));
        Ok(Building { sources, libtorch, shared, glue })
    }

    /// What a plugin of this kind depends on.
    pub(super) fn packages(&self, kind: NewKind) -> Vec<Package> {
        let package =
            |name, folder, for_tests| Package { name, folder: self.sources.join(folder), for_tests };
        let mut packages = vec![package("efference-sdk", "core/sdk", false)];
        if kind == NewKind::Trainer {
            packages.push(package("efference-stream-states", "plugins/support/stream-states", false));
        }
        packages.push(package("efference-testkit", "core/testkit", true));
        packages
    }

    /// `.cargo/config.toml`
    pub(super) fn config(&self) -> Result<String, String> {
        let text = |path: &Path| quoted(&path.to_string_lossy());
        let mut config =
            "# Made by `efference plugins new` for this machine; not for version control.\n".to_owned();
        if let Some(shared) = &self.shared {
            config += "\n# What plugins need is built once for all of them. What is built of this one lies in `target`.\n";
            config += &format!("[build]\nbuild-dir = {}\n", text(&shared.join("build")));
        }
        config += "\n# The libtorch of the efference that made this.\n";
        config += &format!("[env]\nLIBTORCH = {{ value = {}, force = true }}\n", text(&self.libtorch));
        let target = env!("EFFERENCE_TARGET");
        let rpath = format!("link-arg=-Wl,-rpath,{}", self.libtorch.join("lib").display());
        config += "\n# So that `cargo test` finds it.\n";
        config += &format!("[target.{target}]\nrustflags = [\"-C\", {}]\n", quoted(&rpath));
        if let Some(glue) = &self.glue {
            let folder = glue.archive.parent().unwrap_or(Path::new("/"));
            let native = |folder: &Path| quoted(&format!("native={}", folder.display()));
            let lib = self.libtorch.join("lib");
            let link: Vec<String> = glue.link.iter().map(|library| quoted(library)).collect();
            config += "\n# The C++ part of `tch`, as it was built with that efference: so it is not compiled again.\n";
            config += &format!("[target.{target}.tch]\n");
            config += &format!("rustc-link-search = [{}, {}]\n", native(folder), native(&lib));
            config += &format!("rustc-link-lib = [{}]\nlibtorch_lib = {}\n", link.join(", "), text(&lib));
        }
        Ok(config)
    }

    /// The same versions of what it needs as efference has; cargo drops those that it does not need.
    pub(super) fn copy_lockfile(&self, folder: &Path) -> Result<(), String> {
        let (from, to) = (self.sources.join("Cargo.lock"), folder.join("Cargo.lock"));
        fs::copy(&from, &to).map(drop).map_err(|e| format!("{} cannot be copied: {e}", from.display()))
    }
}

/// The libtorch that this program was built with.
fn libtorch(sources: &Path) -> Result<PathBuf, String> {
    let libtorch = PathBuf::from(LIBTORCH);
    if libtorch.join("lib").is_dir() {
        return Ok(libtorch);
    }
    Err(format!(
        "libtorch is not in {LIBTORCH} any more, where it was when this program was built. Run `cargo xtask setup` in {}: \
         it finds or fetches one; then build efference again with `cargo xtask build`",
        sources.display()
    ))
}

/// What a plugin in C++ is made with, for its Makefile.
///
/// # Errors
/// There is no such libtorch, or make could not read where it is.
pub(super) fn libtorch_for_make() -> Result<String, String> {
    let libtorch = libtorch(Path::new(SOURCES))?;
    if LIBTORCH.contains(|c: char| c.is_whitespace() || "#$:".contains(c)) {
        return Err(format!(
            "make cannot read a path such as {LIBTORCH}: build efference with a libtorch in a folder without spaces"
        ));
    }
    Ok(format!(
        "# Made by `efference plugins new` for this machine; not for version control.\nLIBTORCH = {}\n",
        libtorch.display()
    ))
}

impl Glue {
    /// Beside this program lies what its build scripts made; the newest that was made with this libtorch counts. `None` where a
    /// program was moved: then a plugin's first build compiles its own.
    fn find(libtorch: &Path) -> Option<Glue> {
        let own = env::current_exe().ok()?.canonicalize().ok()?;
        let libraries = libtorch.join("lib").canonicalize().ok()?;
        let made = |folder: PathBuf| -> Option<(SystemTime, Glue)> {
            let archive = folder.join("out/libtch.a");
            let time = fs::metadata(&archive).ok()?.modified().ok()?;
            let said = fs::read_to_string(folder.join("output")).ok()?;
            let of = |key: &str| -> Vec<String> {
                let lines = said.lines().filter_map(|line| line.strip_prefix("cargo:")?.strip_prefix(key));
                lines.map(str::to_owned).collect()
            };
            let its_own = of("libtorch_lib=").first().and_then(|lib| fs::canonicalize(lib).ok());
            (its_own? == libraries).then(|| (time, Glue { archive, link: of("rustc-link-lib=") }))
        };
        let folders = fs::read_dir(own.parent()?.join("build")).ok()?.flatten();
        let folders = folders.filter(|entry| entry.file_name().to_string_lossy().starts_with("torch-sys-"));
        folders.filter_map(|entry| made(entry.path())).max_by_key(|(time, _)| *time).map(|(_, glue)| glue)
    }

    /// The same where `cargo clean` does not reach it.
    fn copied_to(self, folder: &Path) -> Option<Glue> {
        let to = folder.join("libtch.a");
        let is_same = || fs::read(&self.archive).ok() == fs::read(&to).ok();
        if !is_same() {
            fs::create_dir_all(folder).ok()?;
            let new = folder.join(format!("libtch.a.{}.new", std::process::id()));
            fs::copy(&self.archive, &new).and_then(|_| fs::rename(&new, &to)).ok()?;
        }
        Some(Glue { archive: to, ..self })
    }
}

/// A text in TOML, which JSON's are too.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

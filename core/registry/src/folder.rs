//! The libraries of one folder; of a crate's folder, those that cargo built of it.
use std::collections::HashSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use std::{fmt, fs};

/// A folder in which plugins are looked for.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    path: PathBuf,
    /// Whether it is that of a crate: it has a `Cargo.toml`.
    is_crate: bool,
    /// The libraries, ….so: its own first.
    pub(crate) libraries: Vec<PathBuf>,
}

impl Folder {
    pub(crate) fn read(path: PathBuf) -> Folder {
        let is_crate = path.join("Cargo.toml").is_file();
        let mut libraries = libraries_in(&path);
        if is_crate {
            libraries.extend(built_of(&path));
        }
        Folder { path, is_crate, libraries }
    }

    /// What to do about a crate of which there is no library.
    pub(crate) fn not_built(&self) -> Option<String> {
        (self.is_crate && self.libraries.is_empty()).then(|| {
            format!(
                "{} is the folder of a crate that was not built yet: run `cargo build` in it",
                self.path.display()
            )
        })
    }
}

/// As it stands in the list of what was searched.
impl fmt::Display for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        match self.is_crate && self.libraries.is_empty() {
            true => write!(f, " (a crate that was not built yet: run `cargo build` in it)"),
            false => Ok(()),
        }
    }
}

/// What cargo built of a crate, in whichever profile it did so last. A member of a workspace has its libraries in the folder
/// of the workspace.
fn built_of(package: &Path) -> Vec<PathBuf> {
    let package = std::path::absolute(package).unwrap_or(package.to_owned());
    let crates = package.ancestors().filter(|folder| folder.join("Cargo.toml").is_file());
    let target = crates.map(|folder| folder.join("target")).find(|target| target.is_dir());
    let Some(target) = target else { return Vec::new() };
    let mut newest: Vec<(PathBuf, SystemTime)> = Vec::new();
    for file in ["release", "debug"].iter().flat_map(|profile| libraries_in(&target.join(profile))) {
        let built = fs::metadata(&file).and_then(|data| data.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
        match newest.iter_mut().find(|(other, _)| other.file_name() == file.file_name()) {
            Some(other) if other.1 < built => *other = (file, built),
            Some(_) => {}
            None => newest.push((file, built)),
        }
    }
    newest.into_iter().map(|(file, _)| file).collect()
}

fn libraries_in(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut files: Vec<_> =
        entries.map(|e| e.path()).filter(|p| p.extension() == Some(OsStr::new("so"))).collect();
    files.sort();
    let all: HashSet<PathBuf> = files.iter().cloned().collect();
    files.retain(|file| !without_hash(file).is_some_and(|newest| all.contains(&newest)));
    files
}

/// `libx.so` for `libx-0123456789abcdef.so`: so cargo calls earlier builds of an example, beside the newest one.
fn without_hash(file: &Path) -> Option<PathBuf> {
    let (name, hash) = file.file_stem()?.to_str()?.rsplit_once('-')?;
    let is_hash = hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hash.then(|| file.with_file_name(format!("{name}.so")))
}

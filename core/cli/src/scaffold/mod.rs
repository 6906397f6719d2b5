//! `efference plugins new`: a folder with a plugin, its test and an experiment, that builds at once.
//!
//! `templates` is what is written, `building` what it is built with: the SDK and the libtorch of this very program.
mod building;
mod kind;
mod name;
mod templates;

use crate::engine_identity;
use crate::output::print;
use building::{Building, libtorch_for_make};
use clap::Args;
use efference_registry::PluginFiles;
pub use kind::{Language, NewKind};
use name::Name;
use std::fs;
use std::path::{Path, PathBuf};
use templates::{Template, cpp, python, rust};

/// What is to be made.
#[derive(Debug, Args)]
pub struct NewArgs {
    /// The kind of plugin.
    pub kind: NewKind,
    /// Its name, as specs say it: small letters, digits and hyphens. It is the name of the folder too.
    pub name: String,
    /// The language. C++ is for layers; an environment in Python is a program of its own, which the plugin `process` talks to.
    #[arg(long, value_name = "LANGUAGE", default_value = "rust")]
    pub lang: Language,
    /// The folder in which its folder is made; without, the current one.
    #[arg(long, value_name = "DIR", value_parser = crate::paths::path())]
    pub into: Option<PathBuf>,
    /// The clone of efference with the SDK to build against; without, the one that this program was built from.
    #[arg(long, value_name = "DIR", value_parser = crate::paths::path())]
    pub sources: Option<PathBuf>,
}

/// Makes it, and says what to do next.
///
/// # Errors
/// A sentence. Of a folder that could not be filled, what was written stays.
pub fn make(arguments: &NewArgs) -> Result<(), String> {
    let name = Name::read(&arguments.name)?;
    let template = match (arguments.lang, arguments.kind) {
        (Language::Rust, kind) => rust(kind),
        (Language::Cpp, NewKind::Layer) => cpp(),
        (Language::Cpp, _) => {
            return Err("only a layer can be made in C++: leave `--lang cpp` out, and it is made in Rust. Other kinds are \
                        written against the same header, core/abi/include/efference.h"
                .to_owned());
        }
        (Language::Python, NewKind::Environment) => python(),
        (Language::Python, _) => {
            return Err("only an environment can be written in Python: leave `--lang python` out, and it is made in Rust"
                .to_owned());
        }
    };
    let (kind, plugin) = (arguments.kind.of_plugins(), &arguments.name);
    if arguments.lang != Language::Python
        && PluginFiles::scan(&[], &engine_identity()).find(kind, plugin).is_ok()
    {
        return Err(format!(
            "there is a {} plugin '{plugin}' already, and experiments with yours beside it could not tell them apart: choose \
             another name",
            kind.name()
        ));
    }
    let folder = arguments.into.as_deref().unwrap_or(Path::new("")).join(name.kebab());
    if folder.exists() {
        return Err(format!(
            "{} is there already: choose another name, or another folder by --into",
            folder.display()
        ));
    }
    // Before anything is written: what it would be built with is there.
    let building = match arguments.lang {
        Language::Rust => Some(Building::find(arguments.sources.as_deref())?),
        Language::Cpp | Language::Python => None,
    };
    let for_make = if arguments.lang == Language::Cpp { Some(libtorch_for_make()?) } else { None };
    write(&folder, &template, &name)?;
    if let Some(building) = building {
        let manifest = templates::manifest(&name, &building.packages(arguments.kind));
        write_file(&folder.join("Cargo.toml"), &manifest)?;
        write_file(&folder.join(".cargo/config.toml"), &building.config()?)?;
        write_file(&folder.join(".gitignore"), "/target\n/runs\n/.cargo\n")?;
        building.copy_lockfile(&folder)?;
    }
    if let Some(libtorch) = for_make {
        write_file(&folder.join("libtorch.mk"), &libtorch)?;
        write_file(&folder.join(".gitignore"), "*.so\n/runs\n/libtorch.mk\n")?;
    }
    if arguments.lang == Language::Python {
        write_file(&folder.join(".gitignore"), "__pycache__/\n/runs\n")?;
    }
    print(&next(&folder, &template, &name));
    Ok(())
}

fn write(folder: &Path, template: &Template, name: &Name) -> Result<(), String> {
    template.files.iter().try_for_each(|file| write_file(&folder.join(name.put(file.path)), &file.text(name)))
}

fn write_file(path: &Path, text: &str) -> Result<(), String> {
    let written = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(path, text));
    written.map_err(|e| format!("{} cannot be written: {e}", path.display()))
}

/// What was made, and what to type.
fn next(folder: &Path, template: &Template, name: &Name) -> String {
    let mut text = format!("{}:\n", folder.display());
    for file in template.files {
        text += &format!("  {:<24}  {}\n", name.put(file.path), file.what);
    }
    text += &format!("\n  cd {}\n", folder.display());
    for line in template.next {
        text += &format!("  {}\n", name.put(line));
    }
    text
}

//! Paths on the command line.
use clap::builder::{OsStringValueParser, TypedValueParser};
use efference_spec::expand_home;
use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Component, Path, PathBuf};

/// Reads a path. The shell puts the home directory in place of a `~` at the beginning of a word, but not behind the `=` of
/// `--runs=~/runs`, where it would make a directory of this name.
pub(crate) fn path() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().try_map(|word| read(&word))
}

/// As [`path`], for what reads text.
pub(crate) fn path_of(word: &str) -> Result<PathBuf, String> {
    read(&OsString::from(word))
}

fn read(word: &OsStr) -> Result<PathBuf, String> {
    if word.is_empty() {
        return Err("a path cannot be empty".to_owned());
    }
    let path = Path::new(word);
    let first = match path.components().next() {
        Some(Component::Normal(first)) => first.to_string_lossy(),
        _ => return Ok(path.to_owned()),
    };
    if first == "~" {
        return match env::home_dir().is_some_and(|home| home.is_absolute()) {
            true => Ok(expand_home(path)),
            false => {
                Err("nobody knows what `~` is: the variable HOME is not set. Write the path out".to_owned())
            }
        };
    }
    if first.starts_with('~') && !Path::new(&*first).exists() {
        let why = "only a shell knows another user's home directory, and not behind `=`";
        return Err(format!(
            "`{first}` was left as it is: {why}. Write the path out, or `./{first}` for this name"
        ));
    }
    Ok(path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tilde_is_the_home_directory() {
        let home = env::home_dir().filter(|home| home.is_absolute());
        let Some(home) = home else { return eprintln!("SKIPPED: this user has no home directory") };
        assert_eq!(path_of("~/runs").unwrap(), home.join("runs"));
        assert_eq!(path_of("~").unwrap(), home);
        for same in ["runs", "./~/runs", "/a/~", "a~b", "../~x"] {
            assert_eq!(path_of(same).unwrap(), PathBuf::from(same));
        }
        assert!(path_of("~nobody-has-this-name/x").unwrap_err().contains("Write the path out"));
        assert!(path_of("").is_err());
    }
}

//! What a target of the fuzzer is.
use std::path::{Path, PathBuf};
use std::{fmt, fs};

/// What reads inputs, and must stay true of it.
pub trait Target {
    /// Inputs to begin with, beside those in `corpus/<name>/`.
    fn seeds(&self) -> Vec<Vec<u8>> {
        Vec::new()
    }

    /// Words that the format is made of.
    fn words(&self) -> &'static [&'static [u8]] {
        &[]
    }

    /// How many bytes of memory one input may take at once.
    fn memory(&self) -> usize {
        64 << 20
    }

    /// Reads an input; returns whether it was accepted.
    ///
    /// # Errors
    /// What is not true of the reader.
    fn check(&mut self, input: &[u8]) -> Result<bool, Failure>;
}

/// Makes a target, once a process. An error is a sentence that says why it can't be tried here.
pub type Make = fn(&Scratch) -> Result<Box<dyn Target>, String>;

/// A target in the table.
pub struct Entry {
    /// Its name on the command line, and of its folder of inputs.
    pub name: &'static str,
    /// What it reads, for the list.
    pub reads: &'static str,
    /// What makes it.
    pub made: Made,
}

/// What makes a target.
pub enum Made {
    /// This program.
    Here(Make),
    /// The program of this name beside it.
    By(&'static str),
}

/// A target that this program makes.
pub const fn entry(name: &'static str, reads: &'static str, make: Make) -> Entry {
    Entry { name, reads, made: Made::Here(make) }
}

/// What is not true of a reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The same for each input that shows the same fault.
    pub what: String,
    /// What differs from one input to the next.
    pub detail: String,
}

impl Failure {
    /// A failure; see the fields.
    pub fn new(what: impl Into<String>, detail: impl Into<String>) -> Self {
        Failure { what: what.into(), detail: detail.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.detail.is_empty() {
            true => f.write_str(&self.what),
            false => write!(f, "{}: {}", self.what, self.detail),
        }
    }
}

/// Fails unless both are equal.
pub fn equal<T: PartialEq + fmt::Debug>(what: &str, one: &T, other: &T) -> Result<(), Failure> {
    if one == other {
        return Ok(());
    }
    let cut = |value: &T| format!("{value:?}").chars().take(2_000).collect::<String>();
    Err(Failure::new(what, format!("{} is not {}", cut(one), cut(other))))
}

/// Fails unless it is true.
pub fn holds(what: &str, truth: bool, detail: impl FnOnce() -> String) -> Result<(), Failure> {
    if truth { Ok(()) } else { Err(Failure::new(what, detail())) }
}

/// Fails if a text that is shown to people could do more than be read: control characters move the cursor, set the title
/// of the window, or worse.
pub fn is_plain(what: &str, text: &str) -> Result<(), Failure> {
    let bad = text.chars().find(|c| c.is_control() && !matches!(c, '\n' | '\t'));
    holds(what, bad.is_none(), || format!("{bad:?} in {}", text.escape_debug()))
}

/// The directory that a target may write into.
pub struct Scratch(PathBuf);

impl Scratch {
    pub(super) fn new(path: PathBuf) -> Self {
        Scratch(path)
    }

    /// A file or directory in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// A directory in it, made if it is not there.
    pub fn directory(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        make_directory(&path);
        path
    }
}

/// The file systems of tests have room: without it nothing here can go on.
pub fn make_directory(path: &Path) {
    fs::create_dir_all(path).unwrap_or_else(|e| panic!("cannot make {}: {e}", path.display()));
}

/// As [`make_directory`].
pub fn write(path: &Path, bytes: impl AsRef<[u8]>) {
    fs::write(path, bytes).unwrap_or_else(|e| panic!("cannot write {}: {e}", path.display()));
}

/// The files of an input that is several: each begins with a line `=== name`, and a name is one of these.
pub fn files<'a>(input: &'a [u8], names: &'static [&'static str]) -> Vec<(&'static str, &'a [u8])> {
    let mut files: Vec<(&'static str, usize, usize)> = Vec::new();
    let mut at = 0;
    for line in input.split_inclusive(|b| *b == b'\n') {
        let said = line.strip_prefix(b"=== ").map(<[u8]>::trim_ascii_end);
        if let Some(name) = names.iter().find(|name| said == Some(name.as_bytes())) {
            files.push((name, at + line.len(), at + line.len()));
        } else if let Some((.., end)) = files.last_mut() {
            *end = at + line.len();
        }
        at += line.len();
    }
    files.into_iter().map(|(name, start, end)| (name, &input[start..end])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_of_several_files_is_taken_apart() {
        let input = b"lost\n=== a\none\ntwo\n=== c\n=== b\n\xffthree";
        let expected: Vec<(&str, &[u8])> = vec![("a", b"one\ntwo\n=== c\n"), ("b", b"\xffthree")];
        assert_eq!(files(input, &["a", "b"]), expected);
        assert!(is_plain("x", "a\nb").is_ok() && is_plain("x", "a\u{1b}[2J").is_err());
    }
}

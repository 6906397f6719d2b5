//! Reading spec files: their text, what they extend, and where in them each value stands.
use super::diagnostic::Diagnostic;
use super::key_path::KeyPath;
use super::layer::{ConfigLayer, Source};
use super::nearest::nearest;
use super::source::{Place, SourceFile};
use super::values::{Converter, Spans};
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use toml::de::{DeTable, DeValue};

/// No spec is larger, in bytes; what is larger is another file by diagnostic.
const LARGEST: u64 = 16 << 20;

/// What came of reading a spec and all that it extends.
#[derive(Default)]
pub(super) struct ExtendsLoader {
    /// The values of each file, the most basic one first.
    pub(super) layers: Vec<ConfigLayer>,
    pub(super) diagnostics: Vec<Diagnostic>,
    /// Whether so little could be read that looking at the values would only find diagnostics that nobody made.
    pub(super) broken: bool,
    opened: usize,
    /// The files being read, from the one that was asked for to the one that is read now.
    open: Vec<(PathBuf, String)>,
}

impl ExtendsLoader {
    /// Reads the file, and before it those that it extends.
    pub(super) fn read(path: &Path) -> ExtendsLoader {
        let mut chain = ExtendsLoader::default();
        chain.add(path, None);
        chain
    }

    /// `from` is the place that asks for the file; `None` for the first one.
    fn add(&mut self, path: &Path, from: Option<Place>) {
        let place = from.unwrap_or(Place::Nowhere);
        let name = path.display().to_string();
        let real = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        if let Some(at) = self.open.iter().position(|(open, _)| *open == real) {
            let names: Vec<&str> =
                self.open[at..].iter().map(|(_, name)| name.as_str()).chain([name.as_str()]).collect();
            let message = format!("`{}` extends itself: {}", names[0], names.join(" → "));
            self.fail(Diagnostic::new(
                place,
                message,
                "this closes the circle",
                Some("take one `extends` of the circle out".into()),
            ));
            return;
        }
        let text = match read_text(path) {
            Ok(text) => text,
            Err((message, help)) => return self.fail(Diagnostic::new(place, message, "said here", help)),
        };
        let file = Arc::new(SourceFile::new(self.opened, path, text));
        self.opened += 1;
        self.open.push((real, name));
        let (table, errors) = DeTable::parse_recoverable(file.text().inner());
        for error in &errors {
            let length = file.text().inner().len();
            let span = error.span().unwrap_or(0..0);
            let span = span.start.min(length)..span.end.min(length);
            let (diagnostic, rest_is_readable) = syntax_error(&file, error.message(), span);
            self.diagnostics.push(diagnostic);
            self.broken |= !rest_is_readable;
        }
        let mut spans = Spans::new();
        let mut converter = Converter::new(Some(&mut spans));
        let mut values = converter.table(table.get_ref(), &KeyPath::default());
        for (span, message, label) in converter.refused {
            let on_bad_line = |e: &toml::de::Error| {
                e.span().is_some_and(|s| file.position(s.start).0 == file.position(span.start).0)
            };
            if !errors.iter().any(on_bad_line) {
                self.diagnostics.push(Diagnostic::new(
                    Place::InFile { file: file.clone(), span },
                    message,
                    label,
                    None,
                ));
            }
        }
        values.remove("extends");
        for (base, span) in self.bases(&file, table.get_ref()) {
            let path = file.directory().join(&base);
            self.add(&path, Some(Place::InFile { file: file.clone(), span }));
        }
        self.open.pop();
        self.layers.push(ConfigLayer { source: Source::File(file), values, spans });
    }

    fn fail(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
        self.broken = true;
    }

    /// The files that `extends` names, the most basic one first, each with where it does so.
    fn bases(&mut self, file: &Arc<SourceFile>, table: &DeTable<'_>) -> Vec<(String, Range<usize>)> {
        let Some((_, value)) = table.iter().find(|(key, _)| key.get_ref() == "extends") else {
            return Vec::new();
        };
        let said = match value.get_ref() {
            DeValue::Array(list) => list.iter().collect(),
            _ => vec![value],
        };
        let mut bases = Vec::new();
        for item in said {
            match item.get_ref() {
                DeValue::String(base) => bases.push((base.to_string(), item.span())),
                _ => self.diagnostics.push(Diagnostic::new(
                    Place::InFile { file: file.clone(), span: item.span() },
                    "`extends` must be the path of a spec, or a list of such paths",
                    "expected text",
                    Some("write it like this: extends = \"base.toml\"".into()),
                )),
            }
        }
        bases
    }
}

/// The bytes of the value that an error is about, if it is about one value on one line: that spoils the value
/// alone, while a broken header spoils where the lines after it belong, and a broken list where it ends.
fn spoilt_value(text: &str, at: usize) -> Option<Range<usize>> {
    let start = text.get(..at)?.rfind('\n').map_or(0, |newline| newline + 1);
    let line = text.get(start..)?.lines().next()?;
    let (key, value) = line.split_once('=')?;
    KeyPath::parse(key.trim().trim_start_matches('\u{feff}'))?;
    let value = value.split('#').next().unwrap_or_default();
    let from = start + key.len() + 1 + (value.len() - value.trim_start().len());
    let value = value.trim();
    (at > start + key.len() && !value.starts_with(['[', '{', '"', '\''])).then_some(from..from + value.len())
}

/// What is wrong, and whether the rest of the file can be trusted all the same.
fn syntax_error(file: &Arc<SourceFile>, message: &str, span: Range<usize>) -> (Diagnostic, bool) {
    let whole = file.text().inner();
    let place = |span| Place::InFile { file: file.clone(), span };
    if message == "duplicate key" {
        let key = whole.get(span.clone()).unwrap_or_default();
        let help = "keep one of them; a second table of the same name goes into the first".to_owned();
        return (
            Diagnostic::new(place(span), format!("`{key}` is said twice"), "said before", Some(help)),
            true,
        );
    }
    let Some(value) = spoilt_value(whole, span.start) else {
        return (Diagnostic::new(place(span), format!("this is not TOML: {message}"), message, None), false);
    };
    let text = whole.get(value.clone()).unwrap_or_default();
    if text.is_empty() {
        return (Diagnostic::new(place(span), "a value is missing", "expected a value", None), true);
    }
    let is_word = text.starts_with(|c: char| c.is_alphabetic());
    let label = if is_word { "not a value" } else { message };
    let help = is_word.then(|| format!("if it is text, put it in quotes: \"{text}\""));
    (Diagnostic::new(place(value), format!("`{text}` is no value of TOML"), label, help), true)
}

/// The text of the file, or what is wrong with it and what may help.
fn read_text(path: &Path) -> Result<String, (String, Option<String>)> {
    let name = path.display();
    let cant = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => {
            (format!("there is no file `{name}`"), name_nearby(path))
        }
        _ => (format!("can't read `{name}`: {error}"), None),
    };
    if path.is_dir() {
        return Err((format!("`{name}` is a directory, not a spec"), specs_within(path)));
    }
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes))
        .map_err(cant)?;
    let help = || Some("a spec is a TOML file: plain text, in UTF-8".to_owned());
    if bytes.len() as u64 > LARGEST {
        return Err((format!("`{name}` is no spec: it is larger than {} MiB", LARGEST >> 20), help()));
    }
    let line = |bytes: &[u8]| bytes.iter().filter(|byte| **byte == b'\n').count() + 1;
    if let Some(at) = bytes.iter().position(|byte| *byte == 0) {
        return Err((
            format!("`{name}` is not text: there is a zero byte in line {}", line(&bytes[..at])),
            help(),
        ));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let (byte, line) = (error.as_bytes()[at], line(&error.as_bytes()[..at]));
        (format!("`{name}` is not text: the byte 0x{byte:02X} in line {line} is not UTF-8"), help())
    })
}

/// For a file that is not there: the name in the same directory that was meant, perhaps.
fn name_nearby(path: &Path) -> Option<String> {
    let said = path.file_name()?.to_string_lossy().into_owned();
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Ok(entries) = std::fs::read_dir(directory) else {
        return Some(format!("there is no directory `{}` either", directory.display()));
    };
    let mut names: Vec<String> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    let specs = names.iter().filter(|name| name.ends_with(".toml"));
    let found = nearest(&said, specs.map(String::as_str))
        .or_else(|| nearest(&said, names.iter().map(String::as_str)))?;
    Some(format!("did you mean `{}`?", path.with_file_name(found).display()))
}

/// For a directory: the specs in it.
fn specs_within(directory: &Path) -> Option<String> {
    let is_spec = |path: &PathBuf| path.extension().is_some_and(|e| e == "toml") && path.is_file();
    let mut specs: Vec<PathBuf> =
        std::fs::read_dir(directory).ok()?.flatten().map(|e| e.path()).filter(is_spec).collect();
    specs.sort();
    let names: Vec<String> = specs.iter().take(8).map(|path| format!("`{}`", path.display())).collect();
    let more = if specs.len() > names.len() { ", …" } else { "" };
    if names.is_empty() { None } else { Some(format!("specs in it: {}{more}", names.join(", "))) }
}

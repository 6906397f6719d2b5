//! Reading spec files: their text, what they extend, and where in them each value stands.
use super::diagnostic::Diagnostic;
use super::key_path::KeyPath;
use super::layer::{ConfigLayer, Source};
use super::read_text::{LARGEST, read_text};
use super::source::{Place, SourceFile};
use super::syntax::syntax_error;
use super::values::{Converter, Spans};
use std::collections::HashSet;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use toml::de::{DeTable, DeValue};

/// Values that a spec has at most, with all that it extends: each is remembered with its place.
const MOST_VALUES: usize = 100_000;
/// Files that a spec extends at most, directly and through others.
const MOST_FILES: usize = 256;
/// How many files extend one another in a row at most.
const LONGEST_CHAIN: usize = 64;

/// What came of reading a spec and all that it extends.
#[derive(Default)]
pub(super) struct ExtendsLoader {
    /// The values of each file, the most basic one first.
    pub(super) layers: Vec<ConfigLayer>,
    pub(super) diagnostics: Vec<Diagnostic>,
    /// Whether so little could be read that looking at the values would only find diagnostics that nobody made.
    pub(super) broken: bool,
    opened: usize,
    /// How many bytes were read.
    bytes: u64,
    /// How many values were read.
    values: usize,
    /// The files being read, from the one that was asked for to the one that is read now.
    open: Vec<(PathBuf, String)>,
    /// The files that were read to the end. What two bases extend both lies under both of them, once.
    done: HashSet<PathBuf>,
    /// Whether there were too many files, which is said once.
    too_many: bool,
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
        if self.done.contains(&real) {
            return;
        }
        if self.open.len() == LONGEST_CHAIN || self.opened == MOST_FILES {
            if !std::mem::replace(&mut self.too_many, true) {
                let message = match self.opened == MOST_FILES {
                    true => format!("the spec extends more than {MOST_FILES} files"),
                    false => format!("more than {LONGEST_CHAIN} files extend one another in a row"),
                };
                let help = Some("take some `extends` out: put into one file what several say".to_owned());
                self.fail(Diagnostic::new(place, message, "one more", help));
            }
            return;
        }
        let text = match read_text(path, LARGEST - self.bytes.min(LARGEST)) {
            Ok(text) => text,
            Err((message, help)) => return self.fail(Diagnostic::new(place, message, "said here", help)),
        };
        self.bytes += text.len() as u64;
        let file = Arc::new(SourceFile::new(self.opened, path, text));
        self.opened += 1;
        self.open.push((real.clone(), name));
        let (table, errors) = DeTable::parse_recoverable(file.text());
        for error in &errors {
            let length = file.text().len();
            let span = error.span().unwrap_or(0..0);
            let span = span.start.min(length)..span.end.min(length);
            let (diagnostic, rest_is_readable) = syntax_error(&file, error.message(), span);
            self.diagnostics.push(diagnostic);
            self.broken |= !rest_is_readable;
        }
        match count_values(table.get_ref(), MOST_VALUES - self.values) {
            Ok(count) => self.values += count,
            Err((span, message, label)) => {
                self.fail(Diagnostic::new(Place::InFile { file, span }, message, label, None));
                self.open.pop();
                return;
            }
        }
        let bad_lines: HashSet<usize> =
            errors.iter().filter_map(|e| Some(file.line_of(e.span()?.start))).collect();
        let mut spans = Spans::new();
        let mut converter = Converter::new(Some(&mut spans));
        let mut values = converter.table(table.get_ref(), &KeyPath::default());
        for (span, message, label) in converter.refused {
            if !bad_lines.contains(&file.line_of(span.start)) {
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
            let path = file.beside(Path::new(&base));
            self.add(&path, Some(Place::InFile { file: file.clone(), span }));
        }
        self.open.pop();
        self.done.insert(real);
        self.layers.push(ConfigLayer { source: Source::File(file), values, spans, said: None });
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

/// How deep tables and lists of a spec are nested at most; the deepest that is of use is 6.
const DEEPEST: usize = 32;

/// How many values there are; or where there are more than `room`, or one is nested too deep. The parser bounds brackets and
/// the parts of a key one by one, which multiplied make more than a stack holds.
fn count_values(table: &DeTable<'_>, room: usize) -> Result<usize, (Range<usize>, String, &'static str)> {
    let mut left: Vec<_> = table.iter().map(|(_, value)| (value, 1)).collect();
    let mut count = 0;
    while let Some((value, depth)) = left.pop() {
        count += 1;
        if depth > DEEPEST {
            let message = format!("tables and lists are nested more than {DEEPEST} deep");
            return Err((value.span(), message, "one more"));
        }
        if count > room {
            let message = format!("a spec has more than {MOST_VALUES} values: it is another file by mistake");
            return Err((value.span(), message, "one of them"));
        }
        match value.get_ref() {
            DeValue::Table(table) => left.extend(table.iter().map(|(_, value)| (value, depth + 1))),
            DeValue::Array(list) => left.extend(list.iter().map(|value| (value, depth + 1))),
            _ => {}
        }
    }
    Ok(count)
}

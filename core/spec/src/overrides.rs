//! What is said beside the files: `EFFERENCE_…` variables and `--set key=value`.
use super::diagnostic::Diagnostic;
use super::key_path::{KeyPath, Step};
use super::layer::{ConfigLayer, Said, Source};
use super::schema::Schema;
use super::source::Place;
use super::values::{Converter, Span, Spans};
use super::wanted::Wanted;
use figment::value::{Dict, Tag, Value};
use toml::Spanned;
use toml::de::DeValue;

const PREFIX: &str = "EFFERENCE_";

/// Keys that lead to a value, at most; no key of a spec lies so deep.
const MOST_KEYS: usize = 32;

/// Variables of efference that are no keys of a spec.
const RESERVED: [&str; 4] =
    ["EFFERENCE_PLUGIN_PATH", "EFFERENCE_LOG", "EFFERENCE_TENSORBOARD_PYTHON", "EFFERENCE_ACTIVITY"];

/// The `EFFERENCE_…` variables of this process, for [`load`](super::load). What is not UTF-8 in them is replaced,
/// and then refused like any other text that is no valid value.
pub fn variables() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| {
        let name = name.into_string().ok().filter(|name| has_prefix(name))?;
        Some((name, value.to_string_lossy().into_owned()))
    })
}

/// Whether a variable of this name sets a key of a spec.
pub fn sets_a_key(variable: &str) -> bool {
    has_prefix(variable) && !RESERVED.iter().any(|reserved| reserved.eq_ignore_ascii_case(variable))
}

fn has_prefix(name: &str) -> bool {
    name.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
}

/// Reads the variables that are keys of a spec, in the order of their names.
pub(super) fn of_variables(
    variables: impl Iterator<Item = (String, String)>,
) -> (Vec<ConfigLayer>, Vec<Diagnostic>) {
    let mut variables: Vec<_> = variables.filter(|(name, _)| has_prefix(name)).collect();
    variables.sort();
    let (mut layers, mut diagnostics) = (Vec::new(), Vec::new());
    for (name, value) in variables {
        if !sets_a_key(&name) {
            continue;
        }
        let lower = name[PREFIX.len()..].to_lowercase();
        let keys: Vec<&str> = lower.split("__").collect();
        if keys.iter().any(|key| key.is_empty()) || keys.len() > MOST_KEYS {
            let help = "write the keys with two underscores between them: EFFERENCE_TRAINER__UNROLL_LENGTH";
            diagnostics.push(Diagnostic::new(
                Place::Named(name),
                "this names no key of a spec",
                "",
                Some(help.into()),
            ));
            continue;
        }
        let path = KeyPath::of(&keys);
        add(Source::Variable(name), &path, &value, &mut layers, &mut diagnostics);
    }
    (layers, diagnostics)
}

/// Reads `key=value` texts, in their order.
pub(super) fn of_sets(sets: &[String]) -> (Vec<ConfigLayer>, Vec<Diagnostic>) {
    let (mut layers, mut diagnostics) = (Vec::new(), Vec::new());
    for text in sets {
        let read = text.split_once('=').and_then(|(key, value)| Some((KeyPath::parse(key.trim())?, value)));
        match read {
            Some((path, value)) => {
                add(Source::Set(text.clone()), &path, value, &mut layers, &mut diagnostics)
            }
            None => diagnostics.push(Diagnostic::new(
                Place::Named(format!("--set {text}")),
                "this is not `key=value`",
                "",
                Some("write the key with its section, and no spaces: --set trainer.unroll_length=1".into()),
            )),
        }
    }
    (layers, diagnostics)
}

fn add(
    source: Source,
    path: &KeyPath,
    text: &str,
    layers: &mut Vec<ConfigLayer>,
    diagnostics: &mut Vec<Diagnostic>,
) {
    if path.first_key() == Some("extends") {
        let help =
            Some("write `extends` in the spec; its path is relative to the file that says it".to_owned());
        let message = "`extends` can be said by a file only";
        diagnostics.push(Diagnostic::new(source.place(), message, "", help));
        return;
    }
    let said = Said { path: path.clone(), words: text.trim().to_owned() };
    // What is no value is said once it is known whether text is wanted.
    let (values, _) = said.values(&Wanted::Anything);
    layers.push(ConfigLayer { source, values, spans: Spans::new(), said: Some(said) });
}

impl ConfigLayer {
    /// Reads what a variable or a `--set` says by what its key takes: where that is text, the words are the value. Whether
    /// that made another value of it; what is wrong with it goes to `diagnostics`.
    pub(super) fn read_by(&mut self, whole: Schema<'_>, diagnostics: &mut Vec<Diagnostic>) -> bool {
        let Some(said) = &mut self.said else { return false };
        let is_variable = matches!(self.source, Source::Variable(_));
        let mut wanted = Wanted::Value(whole);
        let mut path = KeyPath::default();
        for step in said.path.steps() {
            let Step::Key(key) = step else { continue };
            // Variables don't tell capitals from small letters.
            let key = if is_variable { wanted.as_written(key) } else { key.clone() };
            wanted = wanted.key(&key);
            path = path.key(&key);
        }
        said.path = path;
        let (mut values, refused) = said.values(&wanted);
        if is_variable {
            as_the_schema_writes(&mut values, whole);
        }
        let place = self.source.place();
        diagnostics.extend(
            refused.into_iter().map(|(message, label)| Diagnostic::new(place.clone(), message, label, None)),
        );
        let is_new = values != self.values;
        self.values = values;
        is_new
    }
}

impl Said {
    /// The values, from the top of a spec, and what was refused.
    fn values(&self, wanted: &Wanted<'_>) -> (Dict, Vec<(String, &'static str)>) {
        let mut converter = Converter::new(None);
        let mut value = match DeValue::parse(&self.words) {
            Ok(value) => read(&value, &self.words, &self.path, wanted, &mut converter),
            Err(_) => self.words.as_str().into(),
        };
        let refused = converter.refused.into_iter().map(|(_, message, label)| (message, label)).collect();
        let mut values = Dict::new();
        for (depth, step) in self.path.steps().iter().enumerate().rev() {
            let Step::Key(key) = step else { continue };
            let table = Dict::from([(key.clone(), value)]);
            if depth == 0 {
                values = table;
                break;
            }
            value = Value::Dict(Tag::Default, table);
        }
        (values, refused)
    }
}

/// The value of a part of some words that are TOML.
fn read(
    value: &Spanned<DeValue<'_>>,
    all: &str,
    path: &KeyPath,
    wanted: &Wanted<'_>,
    converter: &mut Converter<'_>,
) -> Value {
    let words = all.get(value.span()).unwrap_or(all).trim();
    match value.get_ref() {
        DeValue::Array(items) => {
            let items = items.iter().enumerate();
            let items = items.map(|(i, item)| read(item, all, &path.index(i), &wanted.index(i), converter));
            Value::Array(Tag::Default, items.collect())
        }
        DeValue::Table(table) => {
            let entries = table.iter().map(|(key, value)| {
                let key = key.get_ref();
                (key.to_string(), read(value, all, &path.key(key), &wanted.key(key), converter))
            });
            Value::Dict(Tag::Default, entries.collect())
        }
        DeValue::String(text) => text.as_ref().into(),
        // A date is never meant as one, since no key takes any.
        DeValue::Datetime(_) => words.into(),
        scalar if wanted.schema().is_some_and(|schema| schema.wants_words(scalar, words)) => words.into(),
        scalar => converter.value(scalar, path, Span { key: 0..0, value: 0..0, is_table: false }),
    }
}

/// Writes the keys of a variable as the schema does: variables don't tell capitals from small letters.
fn as_the_schema_writes(values: &mut Dict, schema: Schema<'_>) {
    for written in schema.keys() {
        let said = values.keys().find(|key| key.eq_ignore_ascii_case(written) && *key != written).cloned();
        if let Some(value) = said.and_then(|said| values.remove(&said)) {
            values.insert(written.to_owned(), value);
        }
    }
    for (key, value) in values {
        if let (Value::Dict(_, inner), Some(schema)) = (value, schema.property(key)) {
            as_the_schema_writes(inner, schema);
        }
    }
}

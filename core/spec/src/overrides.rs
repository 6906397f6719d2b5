//! What is said beside the files: `EFFERENCE_…` variables and `--set key=value`.
use super::diagnostic::Diagnostic;
use super::key_path::{KeyPath, Step};
use super::layer::{ConfigLayer, Source};
use super::schema::Schema;
use super::source::Place;
use super::values::{Converter, Span, Spans};
use figment::value::{Dict, Tag, Value};
use toml::de::DeValue;

const PREFIX: &str = "EFFERENCE_";

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
        if keys.iter().any(|key| key.is_empty()) {
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
    let place = || match &source {
        Source::Set(text) => Place::Named(format!("--set {text}")),
        Source::Variable(name) => Place::Named(name.clone()),
        Source::File(_) => Place::Nowhere,
    };
    if path.first_key() == Some("extends") {
        let help =
            Some("write `extends` in the spec; its path is relative to the file that says it".to_owned());
        diagnostics.push(Diagnostic::new(place(), "`extends` can be said by a file only", "", help));
        return;
    }
    let mut converter = Converter::new(None);
    let text = text.trim();
    let mut value = match DeValue::parse(text) {
        // A date is never meant as one, since no key takes any.
        Ok(value) if !matches!(value.get_ref(), DeValue::Datetime(_)) => {
            converter.value(value.get_ref(), path, Span { key: 0..0, value: 0..0 })
        }
        _ => text.into(),
    };
    diagnostics.extend(
        converter
            .refused
            .into_iter()
            .map(|(_, message, label)| Diagnostic::new(place(), message, label, None)),
    );
    let mut values = Dict::new();
    for (depth, step) in path.steps().iter().enumerate().rev() {
        let Step::Key(key) = step else { continue };
        let table = Dict::from([(key.clone(), value)]);
        if depth == 0 {
            values = table;
            break;
        }
        value = Value::Dict(Tag::Default, table);
    }
    layers.push(ConfigLayer { source, values, spans: Spans::new() });
}

/// Writes the keys of a variable as the schema does: variables don't tell capitals from small letters.
pub(super) fn as_the_schema_writes(values: &mut Dict, schema: Schema<'_>) {
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

//! Reads the axes of a `[sweep]`.
use super::axis::{PAIRED, Setting, SweepAxis, SweepPoint, VARIANTS};
use super::range;
use crate::key_path::KeyPath;
use crate::schema::NONE;
use crate::validate::{KeyDiagnostic, shown};
use crate::write::to_toml_value;
use serde_json::{Map, Value};

/// A key with its values, and where they are said.
struct Listed {
    key: KeyPath,
    at: KeyPath,
    values: Vec<(Value, KeyPath)>,
}

/// The axes of a sweep.
pub(super) fn axes(table: &Map<String, Value>, diagnostics: &mut Vec<KeyDiagnostic>) -> Vec<SweepAxis> {
    let at = KeyPath::of(&["sweep"]);
    let mut axes = Vec::new();
    let mut keys = table.clone();
    if let Some(paired) = keys.shift_remove(PAIRED).filter(|paired| paired != NONE) {
        let at = at.key(PAIRED);
        match &paired {
            Value::Object(one) => axes.extend(together(one, &at, diagnostics)),
            Value::Array(many) if many.iter().all(Value::is_object) => {
                for (index, one) in many.iter().enumerate() {
                    axes.extend(one.as_object().and_then(|one| together(one, &at.index(index), diagnostics)));
                }
            }
            other => {
                let help =
                    "write `[[sweep.paired]]`, and under it the keys that vary together, each with a list";
                refuse(diagnostics, &at, "a table of lists", &shown(other), help);
            }
        }
    }
    if let Some(all) = keys.shift_remove(VARIANTS).filter(|all| all != NONE) {
        axes.extend(variants(&all, &at.key(VARIANTS), diagnostics));
    }
    let mut listed = Vec::new();
    collect(&keys, &at, &KeyPath::default(), &mut listed, diagnostics);
    axes.extend(listed.into_iter().map(|Listed { key, at, values }| {
        SweepAxis {
            name: key.to_string(),
            points: values
                .into_iter()
                .map(|(value, value_at)| SweepPoint {
                    label: label(&value),
                    at: value_at.clone(),
                    settings: vec![Setting { key: key.clone(), value, key_at: at.clone(), value_at }],
                })
                .collect(),
            at,
        }
    }));
    axes
}

/// A value in few words.
fn label(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        // As it is read, and not grouped: `65536`.
        Value::Number(number) => number.to_string(),
        other => to_toml_value(other),
    }
}

/// Keys that vary together: the lists are of one length.
fn together(
    table: &Map<String, Value>,
    at: &KeyPath,
    diagnostics: &mut Vec<KeyDiagnostic>,
) -> Option<SweepAxis> {
    let mut listed = Vec::new();
    collect(table, at, &KeyPath::default(), &mut listed, diagnostics);
    listed.sort_by(|a, b| a.key.cmp(&b.key));
    let first = listed.first()?;
    for other in &listed[1..] {
        let (ours, theirs) = (other.values.len(), first.values.len());
        if ours != theirs {
            let message = format!("`{}` has {theirs} values and `{}` {ours}", first.key, other.key);
            let label = format!("{ours}, not {theirs}");
            let help = "lists under [[sweep.paired]] vary together, and are of one length".to_owned();
            diagnostics.push(KeyDiagnostic::in_value(&other.at, message, label, Some(help)));
        }
    }
    let point = |index: usize| {
        let settings = listed.iter().filter_map(|one| {
            let (value, value_at) = one.values.get(index)?.clone();
            Some(Setting { key: one.key.clone(), value, key_at: one.at.clone(), value_at })
        });
        let settings: Vec<Setting> = settings.collect();
        let labels: Vec<String> = settings.iter().map(|setting| label(&setting.value)).collect();
        SweepPoint { label: labels.join("-"), settings, at: at.clone() }
    };
    Some(SweepAxis {
        name: listed.iter().map(|one| one.key.to_string()).collect::<Vec<_>>().join(" + "),
        points: (0..first.values.len()).map(point).collect(),
        at: at.clone(),
    })
}

/// Tables of settings, each under a name.
fn variants(all: &Value, at: &KeyPath, diagnostics: &mut Vec<KeyDiagnostic>) -> Option<SweepAxis> {
    const HELP: &str =
        "write `[sweep.variants.NAME]`, and under it what this variant sets: \"layer.plugin\" = \"dense\"";
    let Value::Object(all) = all else {
        refuse(diagnostics, at, "a table of variants", &shown(all), HELP);
        return None;
    };
    let mut points = Vec::new();
    for (name, table) in all {
        let at = at.key(name);
        match table {
            Value::Object(table) => {
                let mut settings = Vec::new();
                set(table, &at, &KeyPath::default(), &mut settings, diagnostics);
                points.push(SweepPoint { label: name.clone(), settings, at });
            }
            other => refuse(diagnostics, &at, "a table of settings", &shown(other), HELP),
        }
    }
    let axis = SweepAxis { name: VARIANTS.to_owned(), points, at: at.clone() };
    (!axis.points.is_empty()).then_some(axis)
}

/// Gathers settings: keys may be one text, `"trainer.unroll_length"`, or a path of tables.
fn set(
    table: &Map<String, Value>,
    at: &KeyPath,
    to: &KeyPath,
    settings: &mut Vec<Setting>,
    diagnostics: &mut Vec<KeyDiagnostic>,
) {
    for (key, value) in table {
        let at = at.key(key);
        let Some(key) = parsed(key, &at, to, diagnostics) else { continue };
        match value {
            Value::Object(inner) => set(inner, &at, &key, settings, diagnostics),
            Value::Null => {}
            _ => {
                settings.push(Setting { key, value: value.clone(), key_at: at.clone(), value_at: at });
            }
        }
    }
}

/// Gathers lists and ranges: keys may be one text, `"trainer.unroll_length"`, or a path of tables.
fn collect(
    table: &Map<String, Value>,
    at: &KeyPath,
    to: &KeyPath,
    listed: &mut Vec<Listed>,
    diagnostics: &mut Vec<KeyDiagnostic>,
) {
    for (key, value) in table {
        let at = at.key(key);
        let Some(key) = parsed(key, &at, to, diagnostics) else { continue };
        let values: Vec<(Value, KeyPath)> = match value {
            Value::Object(inner) if range::is_range(inner) => match range::values(inner, &at, diagnostics) {
                Some(values) => values.into_iter().map(|value| (value, at.clone())).collect(),
                None => continue,
            },
            Value::Object(inner) => {
                collect(inner, &at, &key, listed, diagnostics);
                continue;
            }
            Value::Array(values) if !values.is_empty() => {
                values.iter().enumerate().map(|(index, value)| (value.clone(), at.index(index))).collect()
            }
            Value::Null => continue,
            // Takes back what a spec below says.
            Value::String(text) if text == NONE => continue,
            _ => {
                let found = if value.is_array() { "an empty list".to_owned() } else { shown(value) };
                let help = format!(
                    "write the values of `{key}` in brackets, such as [1, 2], or a range: {{ from = 1, to = 10 }}"
                );
                refuse(diagnostics, &at, "a list of values", &found, &help);
                continue;
            }
        };
        if listed.iter().any(|one| one.key == key) {
            let message = format!("`{key}` is swept twice");
            diagnostics.push(KeyDiagnostic::in_key(&at, message, "said before".into(), None));
        } else {
            listed.push(Listed { key, at, values });
        }
    }
}

/// A key of a sweep, under the tables that lead to it.
fn parsed(key: &str, at: &KeyPath, to: &KeyPath, diagnostics: &mut Vec<KeyDiagnostic>) -> Option<KeyPath> {
    let path = KeyPath::parse(key).map(|key| to.join(&key));
    if path.is_none() {
        let message = format!("{key:?} is no key of a spec");
        diagnostics.push(KeyDiagnostic::in_key(at, message, "not a key".into(), None));
    }
    path
}

fn refuse(diagnostics: &mut Vec<KeyDiagnostic>, at: &KeyPath, expected: &str, found: &str, help: &str) {
    let message = format!("`{at}`: expected {expected}, found {found}");
    let help = Some(help.to_owned());
    diagnostics.push(KeyDiagnostic::in_value(at, message, format!("expected {expected}"), help));
}

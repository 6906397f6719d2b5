//! `[sweep]`: each of its values must be one that the spec could have.
use super::check::{Checked, check};
use super::key_path::KeyPath;
use super::merge::Origins;
use super::registry::Cached;
use super::schema::Schema;
use super::source::Place;
use super::validate::{KeyDiagnostic, shown};
use serde_json::{Map, Value};

/// A key and the values that it takes in the runs of a sweep.
#[derive(Debug, Clone, PartialEq)]
pub struct SweepAxis {
    /// The key.
    pub key: KeyPath,
    /// Its values, in the order of the spec; never empty.
    pub values: Vec<Value>,
}

/// Keys that say where a spec is from, and not what runs.
const NEVER_SWEPT: [&str; 3] = ["extends", "plugins", "sweep"];

/// Reads the sweep of a merged spec, in the order in which it is written, and finds what is wrong with it.
pub(super) fn sweep(
    tree: &Value,
    origins: &Origins,
    checked: &Checked,
    registry: &Cached<'_>,
) -> (Vec<SweepAxis>, Vec<KeyDiagnostic>) {
    let (mut swept, mut diagnostics) = (Vec::new(), Vec::new());
    let at = KeyPath::of(&["sweep"]);
    if let Some(Value::Object(table)) = tree.get("sweep") {
        collect(table, &at, &KeyPath::default(), &mut swept, &mut diagnostics);
    }
    swept.sort_by_key(|(at, _)| match origins.get(at).map(|origin| origin.place(true)) {
        Some(Place::InFile { file, span }) => (file.rank(), span.start),
        _ => (usize::MAX, 0),
    });
    let mut bare = tree.clone();
    if let Some(table) = bare.as_object_mut() {
        table.shift_remove("sweep");
    }
    for (at, one) in &swept {
        let first = one.key.first_key().unwrap_or_default();
        if NEVER_SWEPT.contains(&first) && Schema::new(&checked.schema).keys().contains(&first) {
            diagnostics.push(KeyDiagnostic::in_key(
                at,
                format!("`{}` can't be swept", one.key),
                "the same for all runs".into(),
                None,
            ));
            continue;
        }
        for (index, value) in one.values.iter().enumerate() {
            let mut tree = bare.clone();
            put(&mut tree, &one.key, value);
            // What is wrong with the spec itself was found already.
            let known = |diagnostic: &KeyDiagnostic| {
                let same =
                    |old: &KeyDiagnostic| old.path == diagnostic.path && old.missing == diagnostic.missing;
                !diagnostic.path.starts_with(&one.key) && checked.diagnostics.iter().any(same)
            };
            // What is missing here may be there in the runs, since the sweep says it too.
            let comes = |diagnostic: &KeyDiagnostic| {
                diagnostic.missing.as_ref().is_some_and(|key| swept.iter().any(|(_, s)| s.key == *key))
            };
            for mut diagnostic in check(&tree, registry).diagnostics {
                if known(&diagnostic) || comes(&diagnostic) {
                    continue;
                }
                let in_key = diagnostic.in_key && diagnostic.missing.is_none();
                diagnostic.path = if in_key { at.clone() } else { at.index(index) };
                diagnostics.push(diagnostic);
            }
        }
    }
    (swept.into_iter().map(|(_, one)| one).collect(), diagnostics)
}

/// Gathers the lists: keys may be one text, `"trainer.unroll_length"`, or a path of tables.
fn collect(
    table: &Map<String, Value>,
    at: &KeyPath,
    to: &KeyPath,
    swept: &mut Vec<(KeyPath, SweepAxis)>,
    diagnostics: &mut Vec<KeyDiagnostic>,
) {
    for (key, value) in table {
        let at = at.key(key);
        let Some(key) = KeyPath::parse(key) else {
            diagnostics.push(KeyDiagnostic::in_key(
                &at,
                format!("{key:?} is no key of a spec"),
                "not a key".into(),
                None,
            ));
            continue;
        };
        let key = to.join(&key);
        match value {
            Value::Object(inner) => collect(inner, &at, &key, swept, diagnostics),
            Value::Array(values) if !values.is_empty() => {
                if swept.iter().any(|(_, one)| one.key == key) {
                    diagnostics.push(KeyDiagnostic::in_key(
                        &at,
                        format!("`{key}` is swept twice"),
                        "said before".into(),
                        None,
                    ));
                }
                swept.push((at, SweepAxis { key, values: values.clone() }));
            }
            Value::Null => {}
            _ => {
                let found = if value.is_array() { "an empty list".to_owned() } else { shown(value) };
                let message = format!("`{at}`: expected a list of values, found {found}");
                let help = format!("write the values of `{key}` in brackets, such as [1, 2]");
                diagnostics.push(KeyDiagnostic::in_value(
                    &at,
                    message,
                    "expected a list of values".into(),
                    Some(help),
                ));
            }
        }
    }
}

/// Puts a value into a spec, and makes the tables that lead to it.
fn put(tree: &mut Value, key: &KeyPath, value: &Value) {
    let mut at = tree;
    for step in key.steps() {
        let super::key_path::Step::Key(key) = step else { return };
        if !at.is_object() {
            *at = Value::Object(Map::new());
        }
        at = &mut at[key.as_str()];
    }
    *at = value.clone();
}

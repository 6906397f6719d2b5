//! Old names of keys, which are read as the new ones, with a warning.
//!
//! A key says what it was called before in its schema: `#[schemars(extend("x-old-names" = ["unrolls"]))]`.
use super::key_path::KeyPath;
use super::layer::ConfigLayer;
use super::schema::Schema;
use super::sweep::{PAIRED, VARIANTS};
use super::validate::KeyDiagnostic;
use figment::value::{Dict, Value};
use serde_json::Value as Json;

/// What is said at such a key.
pub(super) const LABEL: &str = "old name";

/// A key that was said by an old name.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Renamed {
    old: KeyPath,
    new: KeyPath,
}

impl Renamed {
    /// What there is to say about it.
    pub(super) fn note(&self) -> KeyDiagnostic {
        let message = format!("`{}` is the old name of `{}`, which was set", self.old, self.new);
        let help = format!("write `{}`: the old name may go", self.new);
        KeyDiagnostic::in_key(&self.new, message, LABEL.into(), Some(help))
    }
}

impl ConfigLayer {
    /// Gives keys with old names their new ones, where that is not said as well; returns which had one.
    pub(super) fn rename(&mut self, whole: Schema<'_>) -> Vec<Renamed> {
        let mut found = Vec::new();
        rename(&mut self.values, whole, &KeyPath::default(), &mut found);
        for Renamed { old, new } in &found {
            let at: Vec<KeyPath> = self.spans.keys().filter(|path| path.starts_with(old)).cloned().collect();
            for path in at {
                let span = self.spans.remove(&path);
                self.spans.extend(span.map(|span| (path.moved(old, new), span)));
            }
            if let Some(said) = self.said.as_mut().filter(|said| said.path.starts_with(old)) {
                said.path = said.path.moved(old, new);
            }
        }
        found
    }
}

fn rename(values: &mut Dict, schema: Schema<'_>, path: &KeyPath, found: &mut Vec<Renamed>) {
    let old_names = schema.old_names();
    for key in values.keys().cloned().collect::<Vec<_>>() {
        if schema.is_whole_spec() && key == "sweep" {
            if let Some(Value::Dict(_, swept)) = values.get_mut(&key) {
                rename_swept(swept, schema, schema, &path.key(&key), found);
            }
            continue;
        }
        let name = new_name(&old_names, &key).to_owned();
        let name = put(values, key, name, path, found);
        if let (Some(schema), Some(Value::Dict(_, inner))) = (schema.property(&name), values.get_mut(&name)) {
            rename(inner, schema, &path.key(&name), found);
        }
    }
}

/// The same in `[sweep]`, whose keys are those of the spec, with points between them or as tables.
fn rename_swept(
    values: &mut Dict,
    whole: Schema<'_>,
    schema: Schema<'_>,
    path: &KeyPath,
    found: &mut Vec<Renamed>,
) {
    for key in values.keys().cloned().collect::<Vec<_>>() {
        let at = path.key(&key);
        match (key.as_str(), values.get_mut(&key)) {
            (PAIRED, Some(Value::Array(_, tables))) if schema.is_whole_spec() => {
                for (index, table) in tables.iter_mut().enumerate() {
                    if let Value::Dict(_, settings) = table {
                        rename_swept(settings, whole, whole, &at.index(index), found);
                    }
                }
                continue;
            }
            (VARIANTS, Some(Value::Dict(_, variants))) if schema.is_whole_spec() => {
                for (name, settings) in variants {
                    if let Value::Dict(_, settings) = settings {
                        rename_swept(settings, whole, whole, &at.key(name), found);
                    }
                }
                continue;
            }
            _ => {}
        }
        let Some(said) = KeyPath::parse(&key) else { continue };
        let (mut schema, mut new) = (Some(schema), KeyPath::default());
        for part in said.keys() {
            let name = new_name(&schema.map(Schema::old_names).unwrap_or_default(), part);
            schema = schema.and_then(|schema| schema.property(name));
            new = new.key(name);
        }
        let name = if new == said { key.clone() } else { new.to_string() };
        let name = put(values, key, name, path, found);
        if let (Some(schema), Some(Value::Dict(_, inner))) =
            (schema.filter(|s| s.is_table()), values.get_mut(&name))
        {
            rename_swept(inner, whole, schema, &path.key(&name), found);
        }
    }
}

/// The same in a part of a spec that was read already; whether there was an old name in it.
pub(super) fn rename_in_tree(tree: &mut Json, schema: Schema<'_>) -> bool {
    let Some(table) = tree.as_object_mut() else { return false };
    let old_names = schema.old_names();
    let mut found = false;
    for key in table.keys().cloned().collect::<Vec<_>>() {
        let name = new_name(&old_names, &key).to_owned();
        if name != key
            && !table.contains_key(&name)
            && let Some(value) = table.shift_remove(&key)
        {
            table.insert(name.clone(), value);
            found = true;
        }
        if let (Some(schema), Some(inner)) = (schema.property(&name), table.get_mut(&name)) {
            found |= rename_in_tree(inner, schema);
        }
    }
    found
}

/// What a key is called now.
fn new_name<'n>(old_names: &[(&'n str, &'n str)], key: &'n str) -> &'n str {
    old_names.iter().find(|(old, _)| *old == key).map_or(key, |(_, new)| new)
}

/// Puts a value under another name, unless there is one; returns under which name it is.
fn put(values: &mut Dict, key: String, name: String, path: &KeyPath, found: &mut Vec<Renamed>) -> String {
    if key == name || values.contains_key(&name) {
        return key;
    }
    if let Some(value) = values.remove(&key) {
        found.push(Renamed { old: path.key(&key), new: path.key(&name) });
        values.insert(name.clone(), value);
    }
    name
}

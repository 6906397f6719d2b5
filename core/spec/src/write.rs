//! Writing a resolved spec: as a spec that makes the same run, with a comment on where each value came from.
use super::key_path::{KeyPath, quoted_key};
use super::layer::Origin;
use super::resolved::Spec;
use super::schema::{NONE, Schema, grouped};
use serde_json::{Map, Value};
use std::fmt::Write;

/// Comments stand in one column, unless values reach over it.
const COMMENT_COLUMN: usize = 40;

impl Spec {
    /// The whole spec as TOML: every key with its value, and a comment that says where the value came from.
    /// Reading it again makes the same spec (without its sweep). A setting that is none is written `"none"`.
    pub fn to_toml(&self) -> String {
        let mut text = String::from("# A resolved spec: each value, and where it came from.\n");
        if let Value::Object(tree) = &self.tree {
            self.write_table(&mut text, tree, Schema::new(&self.schema), &KeyPath::default());
        }
        text
    }

    fn write_table(&self, text: &mut String, table: &Map<String, Value>, schema: Schema<'_>, path: &KeyPath) {
        let declared = schema.keys();
        let rest = table.keys().map(String::as_str).filter(|key| !declared.contains(key));
        let keys = declared.iter().copied().filter(|key| table.contains_key(*key)).chain(rest);
        let (tables, values): (Vec<&str>, Vec<&str>) = keys.partition(|key| table[*key].is_object());
        // An empty table says something only if somebody wrote it.
        let empty_but_said =
            tables.is_empty() && !matches!(self.origins.get(path), None | Some(Origin::Default));
        if !path.is_top() && (!values.is_empty() || empty_but_said) {
            // Writing to a String can't fail.
            let _ = writeln!(text, "\n[{path}]");
        }
        for key in values {
            let path = path.key(key);
            let none = Value::from(NONE);
            let value = match &table[key] {
                Value::Null => {
                    // Text could not be distinguished from "none"; leaving such a key out says the same, as its default.
                    if schema.property(key).is_none_or(|schema| schema.allows_text() || !schema.may_be_none())
                    {
                        continue;
                    }
                    &none
                }
                value => value,
            };
            let line = format!("{} = {}", quoted_key(key), to_toml_value(value));
            let origin = match self.origins.get(&path) {
                Some(Origin::Default) | None if path == KeyPath::of(&["name"]) => "the file's name".into(),
                Some(origin) => origin.to_string(),
                None => Origin::Default.to_string(),
            };
            let origin: String = origin.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            let _ = writeln!(text, "{line:COMMENT_COLUMN$} # {origin}");
        }
        for key in tables {
            if let (Value::Object(inner), Some(schema)) = (&table[key], schema.property(key)) {
                self.write_table(text, inner, schema, &path.key(key));
            }
        }
    }
}

/// A value as TOML writes it, on one line; `key=` before it makes a `--set`.
pub fn to_toml_value(value: &Value) -> String {
    match value {
        // The text of JSON is a basic string of TOML, but for the one control character that JSON leaves as it is.
        Value::String(_) => value.to_string().replace('\u{7f}', "\\u007F"),
        Value::Null => format!("\"{NONE}\""),
        Value::Bool(truth) => truth.to_string(),
        Value::Number(number) if number.is_f64() => {
            // `{:?}` is the shortest text that reads as the same number, and has a point or an exponent.
            number.as_f64().map_or_else(String::new, |number| format!("{number:?}"))
        }
        Value::Number(number) => grouped(&number.to_string()),
        Value::Array(items) => {
            format!("[{}]", items.iter().map(to_toml_value).collect::<Vec<_>>().join(", "))
        }
        Value::Object(table) => {
            let entries = table.iter().filter(|(_, value)| !value.is_null());
            let entries: Vec<String> =
                entries.map(|(k, v)| format!("{} = {}", quoted_key(k), to_toml_value(v))).collect();
            if entries.is_empty() { "{}".into() } else { format!("{{ {} }}", entries.join(", ")) }
        }
    }
}

//! Values of TOML, of figment and of JSON, one as the other.
use super::key_path::KeyPath;
use figment::value::{Dict, Empty, Num, Tag, Value};
use std::collections::BTreeMap;
use std::ops::Range;
use toml::de::{DeTable, DeValue};

/// Where a value stands in its file, in bytes.
#[derive(Debug, Clone)]
pub(super) struct Span {
    /// Of the key, or of the table's header; that of the value for an item of a list.
    pub(super) key: Range<usize>,
    /// Of the value; of its header for a table that has one.
    pub(super) value: Range<usize>,
    /// Whether the value is a table.
    pub(super) is_table: bool,
}

/// Where each value of a file stands.
pub(super) type Spans = BTreeMap<KeyPath, Span>;

/// Turns parsed TOML into figment's values, and remembers where they stood.
///
/// Dates, numbers that are not finite and whole numbers beyond 64 bits have no use in a spec and no place in
/// JSON: they are refused, and an empty value stands for them, which nothing complains about a second time.
pub(super) struct Converter<'a> {
    spans: Option<&'a mut Spans>,
    /// What was refused: where, why, and in few words.
    pub(super) refused: Vec<(Range<usize>, String, &'static str)>,
}

impl<'a> Converter<'a> {
    pub(super) fn new(spans: Option<&'a mut Spans>) -> Self {
        Converter { spans, refused: Vec::new() }
    }

    pub(super) fn table(&mut self, table: &DeTable<'_>, path: &KeyPath) -> Dict {
        let mut dict = Dict::new();
        for (key, value) in table {
            let path = path.key(key.get_ref());
            let is_table = value.get_ref().is_table();
            let span = Span { key: key.span(), value: value.span(), is_table };
            dict.insert(key.get_ref().to_string(), self.value(value.get_ref(), &path, span));
        }
        dict
    }

    pub(super) fn value(&mut self, value: &DeValue<'_>, path: &KeyPath, span: Span) -> Value {
        let at = span.value.clone();
        if let Some(spans) = &mut self.spans {
            spans.insert(path.clone(), span);
        }
        match value {
            DeValue::String(text) => text.as_ref().into(),
            DeValue::Boolean(truth) => (*truth).into(),
            DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => number.into(),
                Err(_) => self.refuse(at, path, "can't be a number beyond 64 bits", "too large"),
            },
            DeValue::Float(number) => match number.as_str().parse::<f64>() {
                Ok(number) if number.is_finite() => number.into(),
                _ => self.refuse(at, path, "must be a finite number", "not finite"),
            },
            DeValue::Datetime(_) => {
                self.refuse(at, path, "can't be a date; if it is text, put it in quotes", "a date")
            }
            DeValue::Array(list) => {
                let items = list.iter().enumerate().map(|(i, item)| {
                    let is_table = item.get_ref().is_table();
                    let span = Span { key: item.span(), value: item.span(), is_table };
                    self.value(item.get_ref(), &path.index(i), span)
                });
                Value::Array(Tag::Default, items.collect())
            }
            DeValue::Table(table) => Value::Dict(Tag::Default, self.table(table, path)),
        }
    }

    fn refuse(&mut self, at: Range<usize>, path: &KeyPath, why: &str, label: &'static str) -> Value {
        self.refused.push((at, format!("`{path}` {why}"), label));
        Value::Empty(Tag::Default, Empty::Unit)
    }
}

/// The same value for figment.
pub(super) fn from_json(value: &serde_json::Value) -> Value {
    use serde_json::Value as Json;
    match value {
        Json::Null => Value::Empty(Tag::Default, Empty::Unit),
        Json::Bool(truth) => (*truth).into(),
        Json::String(text) => text.as_str().into(),
        Json::Array(list) => Value::Array(Tag::Default, list.iter().map(from_json).collect()),
        Json::Object(map) => Value::Dict(
            Tag::Default,
            map.iter().map(|(key, value)| (key.clone(), from_json(value))).collect(),
        ),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => number.into(),
            (None, Some(number)) => number.into(),
            (None, None) => number.as_f64().unwrap_or_default().into(),
        },
    }
}

/// The same value for JSON; `seen` is called for the value, and for each within it.
pub(super) fn to_json(
    value: &Value,
    path: &KeyPath,
    seen: &mut dyn FnMut(&KeyPath, &Value),
) -> serde_json::Value {
    seen(path, value);
    match value {
        Value::String(_, text) => text.as_str().into(),
        Value::Char(_, letter) => letter.to_string().into(),
        Value::Bool(_, truth) => (*truth).into(),
        Value::Num(_, Num::F32(number)) => f64::from(*number).into(),
        Value::Num(_, Num::F64(number)) => (*number).into(),
        Value::Num(_, number) => {
            match (number.to_i128().and_then(|n| i64::try_from(n).ok()), number.to_u128()) {
                (Some(number), _) => number.into(),
                (None, number) => number.and_then(|n| u64::try_from(n).ok()).into(),
            }
        }
        Value::Empty(..) => serde_json::Value::Null,
        Value::Dict(_, dict) => {
            dict.iter().map(|(key, value)| (key.clone(), to_json(value, &path.key(key), seen))).collect()
        }
        Value::Array(_, list) => {
            list.iter().enumerate().map(|(i, value)| to_json(value, &path.index(i), seen)).collect()
        }
    }
}

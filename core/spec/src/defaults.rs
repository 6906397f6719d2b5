//! The defaults that a schema declares, and settings that are said to be none.
use super::schema::{NONE, Schema};
use serde_json::{Map, Value};

/// The defaults of a value that is said (or not) by the user: what is to be merged under it. Those of a table that
/// is absent unless the user says it are there only if the user does.
pub(super) fn defaults(schema: Schema<'_>, said: Option<&Value>) -> Option<Value> {
    let alternatives = schema.alternatives();
    if !alternatives.is_empty() && schema.constants().is_none() {
        return match (said, &alternatives[..]) {
            (None, _) => schema.default().cloned(),
            (Some(Value::Object(_)), [only]) => {
                let mut own = defaults(*only, said)?;
                if let Some(default) = schema.default().filter(|default| default.is_object()) {
                    lay_over(&mut own, default);
                }
                Some(own)
            }
            // One form's defaults have no place in another form.
            (Some(_), _) => None,
        };
    }
    if !schema.is_table() {
        return schema.default().cloned();
    }
    let default = schema.default();
    if said.is_none() && default.is_some_and(|default| !default.is_object()) {
        return default.cloned();
    }
    let mut table = Map::new();
    for key in schema.keys() {
        if let Some(schema) = schema.property(key)
            && let Some(value) = defaults(schema, said.and_then(|said| said.get(key)))
        {
            table.insert(key.to_owned(), value);
        }
    }
    if let (Some(schema), Some(Value::Object(said))) = (schema.any_value(), said) {
        for (key, value) in said {
            if let Some(value) = defaults(schema, Some(value)) {
                table.insert(key.clone(), value);
            }
        }
    }
    let mut table = Value::Object(table);
    if let Some(default) = default.filter(|default| default.is_object()) {
        let mut default = default.clone();
        if let (Some(default), Some(Value::Object(said))) = (default.as_object_mut(), said) {
            // The default of one form has no place in another form that the user chose.
            let chosen = |key: &str| schema.property(key).is_some_and(|one| one.alternatives().len() > 1);
            default.retain(|key, _| !said.contains_key(key) || !chosen(key));
        }
        lay_over(&mut table, &default);
    }
    // A table without a default of its own, in which nothing has one, is absent until somebody says it.
    let empty = table.as_object().is_some_and(Map::is_empty);
    if empty && said.is_none() && default.is_none() { None } else { Some(table) }
}

/// Puts the values of `top` over those of `base`, tables key by key.
pub(super) fn lay_over(base: &mut Value, top: &Value) {
    match (base, top) {
        (Value::Object(base), Value::Object(top)) => {
            for (key, value) in top {
                match base.get_mut(key) {
                    Some(below) => lay_over(below, value),
                    None => {
                        base.insert(key.clone(), value.clone());
                    }
                }
            }
        }
        (base, top) => *base = top.clone(),
    }
}

/// Turns `"none"` into no value, where a setting may have none.
pub(super) fn unset(schema: Schema<'_>, value: &mut Value) {
    match value {
        Value::String(text) if text == NONE && schema.may_be_none() && !schema.allows_text() => {
            *value = Value::Null
        }
        Value::Object(table) => {
            for (key, value) in table {
                if let Some(schema) = schema.property(key) {
                    unset(schema, value);
                }
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                if let Some(schema) = schema.item(index) {
                    unset(schema, item);
                }
            }
        }
        _ => {}
    }
}

//! The reference of options, as text: made from the same declaration that checks them.
use super::key_path::KeyPath;
use super::schema::Schema;
use super::write::to_toml_value;
use serde_json::Value;
use std::fmt::Write;

/// Letters in a line.
const WIDTH: usize = 100;
/// Where the columns of type, default and range begin, unless what is before them is wider.
const COLUMNS: [usize; 3] = [36, 64, 78];

/// The options that a plugin's JSON Schema declares: name, type, default, range and doc of each; those of tables
/// within them as dotted keys, further in. Plain text of up to 100 columns (but for a word that is longer).
pub fn options_table(schema: &Value) -> String {
    let mut text = String::new();
    write_options(&mut text, Schema::new(schema), &KeyPath::default(), 0);
    if text.is_empty() {
        return "It has no options.\n".into();
    }
    format!("{}{text}", row(0, ["OPTION", "TYPE", "DEFAULT", "RANGE"]))
}

/// As [`options_table`], for the keys of a spec that belong to the host.
#[cfg(test)]
pub(crate) fn host_keys_table() -> String {
    options_table(&crate::check::whole_schema(Vec::new()))
}

fn write_options(text: &mut String, schema: Schema<'_>, path: &KeyPath, depth: usize) {
    // A type that holds itself would go on for ever.
    if depth > 8 {
        return;
    }
    match schema.forms() {
        Some((key, forms)) => write_forms(text, key, &forms, path, depth),
        None => write_keys(text, schema, path, depth, None),
    }
}

/// The options of a table, but for one that was written already.
fn write_keys(text: &mut String, schema: Schema<'_>, path: &KeyPath, depth: usize, written: Option<&str>) {
    for key in schema.keys().into_iter().filter(|key| Some(*key) != written) {
        let Some(option) = schema.property(key) else { continue };
        let path = path.key(key);
        let none = option.may_be_none();
        let expected = option.expected();
        let mut kind = expected.strip_prefix("a ").unwrap_or(&expected).to_owned();
        if kind.is_empty() {
            kind = "anything".into();
        }
        if none && !option.allows_text() {
            kind = format!("{} or \"none\"", kind.replace(" or ", ", "));
        }
        let default = match option.default() {
            // The defaults of a table stand with its keys.
            Some(Value::Object(_)) => "as below".into(),
            Some(Value::Null) => "none".into(),
            Some(value) => to_toml_value(value),
            None if none => "none".into(),
            None if schema.required().any(|required| required == key) => "(required)".into(),
            None => String::new(),
        };
        let name = path.to_string().replace("[0]", "[…]");
        text.push_str(&row(depth * 2, [&name, &kind, &default, &option.range()]));
        if let Some(doc) = option.doc() {
            wrap(text, depth * 2 + 4, depth * 2 + 4, &doc);
        }
        for (value, doc) in option.constants().unwrap_or_default() {
            if let Some(doc) = doc {
                let value = to_toml_value(value);
                wrap(text, depth * 2 + 6, depth * 2 + 8, &format!("{value}: {doc}"));
            }
        }
        write_options(text, option, &path, depth + 1);
        if let Some(each) = option.any_value().filter(|each| each.is_table()) {
            write_options(text, each, &path.key("NAME"), depth + 1);
        }
        if let Some(item) = option.item(0).filter(|item| item.is_table()) {
            write_options(text, item, &path.index(0), depth + 1);
        }
    }
}

/// A table of one of several forms: after the key that says which, each form with its options.
fn write_forms(text: &mut String, key: &str, forms: &[(&Value, Schema<'_>)], path: &KeyPath, depth: usize) {
    let dotted = |key: &str| path.key(key).to_string().replace("[0]", "[…]");
    text.push_str(&row(depth * 2, [&dotted(key), "one of these", "(required)", ""]));
    for (constant, form) in forms {
        let name = format!("{key} = {}", to_toml_value(constant));
        let doc = form.doc().map_or(name.clone(), |doc| format!("{name}: {doc}"));
        wrap(text, depth * 2 + 2, depth * 2 + 6, &doc);
        write_keys(text, *form, path, depth + 2, Some(key));
    }
}

/// One line of the table, or two if the columns are too narrow for what is in them.
fn row(indent: usize, cells: [&str; 4]) -> String {
    let mut line = " ".repeat(indent);
    line.push_str(cells[0]);
    let mut text = String::new();
    for (cell, column) in cells[1..].iter().zip(COLUMNS).filter(|(cell, _)| !cell.is_empty()) {
        let length = line.chars().count();
        let after = length.max(column.saturating_sub(2)) + 2;
        if after + cell.chars().count() > WIDTH && length > indent + 4 {
            let _ = writeln!(text, "{}", line.trim_end());
            line = " ".repeat(indent + 4);
        } else {
            line.push_str(&" ".repeat(after - length));
        }
        line.push_str(cell);
    }
    let _ = writeln!(text, "{}", line.trim_end());
    text
}

/// Breaks lines between words.
fn wrap(text: &mut String, first_indent: usize, indent: usize, words: &str) {
    let mut line = " ".repeat(first_indent);
    let mut empty = true;
    for word in words.split_whitespace() {
        if !empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            let _ = writeln!(text, "{line}");
            line = " ".repeat(indent);
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(word);
        empty = false;
    }
    let _ = writeln!(text, "{line}");
}

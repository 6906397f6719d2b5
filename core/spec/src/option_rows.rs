//! What a schema declares, key by key in its order: what references of options are written from.
use super::key_path::KeyPath;
use super::schema::Schema;
use super::write::to_toml_value;
use serde_json::Value;

/// A line of a reference.
pub(super) enum OptionItem {
    /// A key.
    Option(OptionRow),
    /// One of the forms of the table whose key came before: what follows is in it.
    Form {
        /// How deep it lies.
        depth: usize,
        /// What says that it is this form, such as `kind = "noise"`.
        said: String,
        /// What it is.
        doc: Option<String>,
    },
}

/// A key and what is to be known of it.
pub(super) struct OptionRow {
    /// How deep it lies.
    pub(super) depth: usize,
    /// The key, with those of the tables that it lies in.
    pub(super) key: String,
    /// What it takes.
    pub(super) takes: String,
    /// Its default; empty where there is none to be said.
    pub(super) default: String,
    /// Between what it lies; empty where there is nothing to be said.
    pub(super) range: String,
    /// What it means.
    pub(super) doc: Option<String>,
    /// What single values mean.
    pub(super) constants: Vec<(String, String)>,
}

/// All keys of a table; those of tables within it as dotted keys, deeper.
pub(super) fn option_rows(schema: Schema<'_>) -> Vec<OptionItem> {
    let mut rows = Vec::new();
    add_options(&mut rows, schema, &KeyPath::default(), 0);
    rows
}

fn add_options(rows: &mut Vec<OptionItem>, schema: Schema<'_>, path: &KeyPath, depth: usize) {
    // A type that holds itself would go on for ever.
    if depth > 8 {
        return;
    }
    match schema.forms() {
        Some((key, forms)) => add_forms(rows, key, &forms, path, depth),
        None => add_keys(rows, schema, path, depth, None),
    }
}

/// The options of a table, but for one that was added already.
fn add_keys(
    rows: &mut Vec<OptionItem>,
    schema: Schema<'_>,
    path: &KeyPath,
    depth: usize,
    added: Option<&str>,
) {
    for key in schema.keys().into_iter().filter(|key| Some(*key) != added) {
        let Some(option) = schema.property(key) else { continue };
        let path = path.key(key);
        let none = option.may_be_none();
        let expected = option.expected();
        let mut takes = expected.strip_prefix("a ").unwrap_or(&expected).to_owned();
        if takes.is_empty() {
            takes = "anything".into();
        }
        if none && !option.allows_text() {
            takes = format!("{} or \"none\"", takes.replace(" or ", ", "));
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
        let constants = option.constants().unwrap_or_default().into_iter();
        rows.push(OptionItem::Option(OptionRow {
            depth,
            key: dotted(&path),
            takes,
            default,
            range: option.range(),
            doc: option.doc(),
            constants: constants.filter_map(|(value, doc)| Some((to_toml_value(value), doc?))).collect(),
        }));
        add_options(rows, option, &path, depth + 1);
        if let Some(each) = option.any_value().filter(|each| each.is_table()) {
            add_options(rows, each, &path.key("NAME"), depth + 1);
        }
        if let Some(item) = option.item(0).filter(|item| item.is_table()) {
            add_options(rows, item, &path.index(0), depth + 1);
        }
    }
}

/// A table of one of several forms: after the key that says which, each form with its options.
fn add_forms(
    rows: &mut Vec<OptionItem>,
    key: &str,
    forms: &[(&Value, Schema<'_>)],
    path: &KeyPath,
    depth: usize,
) {
    rows.push(OptionItem::Option(OptionRow {
        depth,
        key: dotted(&path.key(key)),
        takes: "one of these".into(),
        default: "(required)".into(),
        range: String::new(),
        doc: None,
        constants: Vec::new(),
    }));
    for (constant, form) in forms {
        let said = format!("{key} = {}", to_toml_value(constant));
        rows.push(OptionItem::Form { depth, said, doc: form.doc() });
        add_keys(rows, *form, path, depth + 2, Some(key));
    }
}

fn dotted(path: &KeyPath) -> String {
    path.to_string().replace("[0]", "[…]")
}

//! Checks values against a schema, and finds all that is wrong with them.
use super::key_path::KeyPath;
use super::nearest::nearest;
use super::schema::{NONE, Schema, either, grouped};
use super::visible::visible_in_line;
use serde_json::{Map, Value};
use std::borrow::Cow;

/// Something wrong with the value of a path. Where that was written is found out later.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct KeyDiagnostic {
    pub(super) path: KeyPath,
    /// Whether the key is at fault, and not the value.
    pub(super) in_key: bool,
    pub(super) message: String,
    pub(super) label: String,
    pub(super) help: Option<String>,
    /// Of a missing key: the key.
    pub(super) missing: Option<KeyPath>,
    /// Of an unknown key: the one that was meant, it seems.
    pub(super) meant: Option<KeyPath>,
}

impl KeyDiagnostic {
    pub(super) fn in_value(path: &KeyPath, message: String, label: String, help: Option<String>) -> Self {
        KeyDiagnostic { path: path.clone(), in_key: false, message, label, help, missing: None, meant: None }
    }

    pub(super) fn in_key(path: &KeyPath, message: String, label: String, help: Option<String>) -> Self {
        KeyDiagnostic { in_key: true, ..KeyDiagnostic::in_value(path, message, label, help) }
    }

    pub(super) fn missing(table: &KeyPath, key: &str, help: Option<String>) -> Self {
        let path = table.key(key);
        let message = format!("`{path}` is missing");
        KeyDiagnostic {
            missing: Some(path),
            ..KeyDiagnostic::in_key(table, message, format!("needs `{key}`"), help)
        }
    }
}

/// Finds what is wrong with a value, which is a part of a spec or all of it.
pub(super) fn validate(
    whole: Schema<'_>,
    schema: Schema<'_>,
    value: &Value,
    path: &KeyPath,
) -> Vec<KeyDiagnostic> {
    let mut validator = Validator { whole, diagnostics: Vec::new() };
    validator.check(schema, value, path);
    validator.diagnostics
}

/// Unknown keys for which it is looked what was meant.
const MOST_HELPED: usize = 200;

struct Validator<'a> {
    whole: Schema<'a>,
    diagnostics: Vec<KeyDiagnostic>,
}

impl Validator<'_> {
    fn check(&mut self, schema: Schema<'_>, value: &Value, path: &KeyPath) {
        // TOML has no null: it stands for a value that was refused already.
        if value.is_null() || value == NONE && schema.may_be_none() && !schema.allows_text() {
            return;
        }
        if let Some(constants) = schema.constants() {
            let valid: Vec<&Value> = constants.into_iter().map(|(value, _)| value).collect();
            if !valid.contains(&value) {
                self.not_listed(Some(schema), &valid, value, path);
            }
            return;
        }
        let alternatives = schema.alternatives();
        if !alternatives.is_empty() {
            return self.check_alternatives(schema, &alternatives, value, path);
        }
        let types = schema.types();
        if !types.is_empty() && !types.iter().any(|name| is_of_type(value, name)) {
            return self.wrong_type(schema, value, path);
        }
        match value {
            Value::Number(number) => {
                let found = shown(value);
                self.check_bounds(
                    schema,
                    number.as_f64().unwrap_or_default(),
                    &found,
                    path,
                    ["minimum", "maximum"],
                    "",
                );
            }
            Value::String(text) => {
                let (length, found) = (text.chars().count() as f64, shown(value));
                self.check_bounds(schema, length, &found, path, ["minLength", "maxLength"], " letters");
            }
            Value::Array(items) => {
                let found = format!("a list of {}", items.len());
                self.check_bounds(
                    schema,
                    items.len() as f64,
                    &found,
                    path,
                    ["minItems", "maxItems"],
                    " items",
                );
                for (index, item) in items.iter().enumerate() {
                    if let Some(schema) = schema.item(index) {
                        self.check(schema, item, &path.index(index));
                    }
                }
            }
            Value::Object(table) => self.check_table(schema, table, path),
            Value::Null | Value::Bool(_) => {}
        }
    }

    /// The value must fit one of them; what is reported is what is wrong with the one that it fits best.
    fn check_alternatives(&mut self, schema: Schema<'_>, all: &[Schema<'_>], value: &Value, path: &KeyPath) {
        if let (Some((key, forms)), Value::Object(table)) = (schema.forms(), value) {
            return self.check_forms(key, &forms, table, path);
        }
        let fits = |one: &&Schema<'_>| {
            let types = one.types();
            let listed = one.constants().is_none_or(|list| list.iter().any(|(allowed, _)| *allowed == value));
            listed && (types.is_empty() || types.iter().any(|name| is_of_type(value, name)))
        };
        let candidates: Vec<&Schema<'_>> =
            if all.len() == 1 { all.iter().collect() } else { all.iter().filter(fits).collect() };
        let results = candidates.into_iter().map(|one| {
            let mut validator = Validator { whole: self.whole, diagnostics: Vec::new() };
            validator.check(*one, value, path);
            validator.diagnostics
        });
        match results.min_by_key(Vec::len) {
            Some(diagnostics) => self.diagnostics.extend(diagnostics),
            None => self.wrong_type(schema, value, path),
        }
    }

    /// A table of one of several forms: the value of one key says of which.
    fn check_forms(
        &mut self,
        key: &str,
        forms: &[(&Value, Schema<'_>)],
        table: &Map<String, Value>,
        path: &KeyPath,
    ) {
        let valid: Vec<&Value> = forms.iter().map(|(constant, _)| *constant).collect();
        let Some(said) = table.get(key) else {
            let help = format!("`{key}` is {}", either(valid.iter().map(|value| value.to_string())));
            return self.diagnostics.push(KeyDiagnostic::missing(path, key, Some(help)));
        };
        match forms.iter().find(|(constant, _)| *constant == said) {
            Some((_, form)) => self.check_table(*form, table, path),
            // The doc of any one form would explain nothing.
            None => self.not_listed(None, &valid, said, &path.key(key)),
        }
    }

    fn check_table(&mut self, schema: Schema<'_>, table: &Map<String, Value>, path: &KeyPath) {
        for (key, value) in table {
            match schema.property(key) {
                Some(schema) => self.check(schema, value, &path.key(key)),
                None if schema.is_closed() => self.unknown_key(schema, key, table, path),
                None => {}
            }
        }
        for key in schema.required().filter(|key| !table.contains_key(*key)) {
            let help = schema.property(key).map(|property| {
                let expected = property.expected();
                let doc = property.doc().map_or(String::new(), |doc| format!(": {doc}"));
                format!("`{key}` is {expected}{doc}")
            });
            self.diagnostics.push(KeyDiagnostic::missing(path, key, help));
        }
    }

    fn unknown_key(&mut self, schema: Schema<'_>, key: &str, table: &Map<String, Value>, path: &KeyPath) {
        let place = match (path.is_top(), self.plugin(path)) {
            (true, _) => "at the top of a spec".to_owned(),
            (false, Some((_, plugin))) if !plugin.is_empty() => format!("in [{path}] (plugin `{plugin}`)"),
            (false, _) => format!("in [{path}]"),
        };
        // Who made so many mistakes made one, which the first of them show.
        let (near, help) = match self.diagnostics.len() < MOST_HELPED {
            true => self.meant_by(schema, key, table),
            false => (None, None),
        };
        let message = format!("there is no key `{}` {place}", shortened(&visible_in_line(key)));
        let meant = near.map(|near| path.key(near));
        let diagnostic = KeyDiagnostic::in_key(&path.key(key), message, "unknown key".into(), help);
        self.diagnostics.push(KeyDiagnostic { meant, ..diagnostic });
    }

    /// The key that was meant by one that there is not, perhaps, and what helps.
    fn meant_by<'b>(
        &self,
        schema: Schema<'b>,
        key: &str,
        table: &Map<String, Value>,
    ) -> (Option<&'b str>, Option<String>) {
        let valid = schema.keys();
        // A key that is there already was hardly meant by another.
        let near = nearest(key, valid.iter().copied().filter(|valid| !table.contains_key(*valid)));
        let near = near.or_else(|| nearest(key, valid.iter().copied()));
        let elsewhere = if near.is_none() { self.elsewhere(key) } else { String::new() };
        let help = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None if !elsewhere.is_empty() => elsewhere,
            None if valid.is_empty() => "it has no keys".into(),
            None => format!("valid here: {}", valid.join(", ")),
        };
        (near, Some(help))
    }

    /// The plugin whose options are at this path.
    fn plugin(&self, path: &KeyPath) -> Option<(&str, &str)> {
        self.whole.property(path.first_key()?)?.plugin()
    }

    /// Where in the spec this key would be valid; empty if nowhere.
    fn elsewhere(&self, key: &str) -> String {
        if self.whole.keys().contains(&key) {
            return format!("`{key}` belongs to the top of the spec, before the first [section]");
        }
        let mut tables = Vec::new();
        for section in self.whole.keys() {
            let path = KeyPath::of(&[section]);
            let Some(schema) = self.whole.property(section).filter(|schema| schema.is_table()) else {
                continue;
            };
            if schema.keys().contains(&key) {
                tables.push(format!("[{path}]"));
            }
            for inner in schema.keys() {
                if schema.property(inner).is_some_and(|schema| schema.keys().contains(&key)) {
                    tables.push(format!("[{}]", path.key(inner)));
                }
            }
        }
        if tables.is_empty() { String::new() } else { format!("`{key}` is a key of {}", either(tables)) }
    }

    fn not_listed(&mut self, schema: Option<Schema<'_>>, valid: &[&Value], value: &Value, path: &KeyPath) {
        let near =
            value.as_str().and_then(|said| nearest(said, valid.iter().filter_map(|value| value.as_str())));
        let explained = || explained(schema?, path);
        let help = near.map(|near| format!("did you mean \"{near}\"?")).or_else(explained);
        let none = schema.is_some_and(Schema::may_be_none).then(|| format!("\"{NONE}\""));
        let expected =
            format!("expected {}", either(valid.iter().map(|value| value.to_string()).chain(none)));
        let message = format!("`{path}`: {expected}, found {}", shown(value));
        self.diagnostics.push(KeyDiagnostic::in_value(path, message, expected, help));
    }

    fn wrong_type(&mut self, schema: Schema<'_>, value: &Value, path: &KeyPath) {
        let none = if schema.may_be_none() { format!(" (or \"{NONE}\")") } else { String::new() };
        let expected = format!("expected {}{none}", schema.expected());
        let message = format!("`{path}`: {expected}, found {}", shown(value));
        let help = help_on_type(schema, value, path).or_else(|| explained(schema, path));
        self.diagnostics.push(KeyDiagnostic::in_value(path, message, expected, help));
    }

    /// Checks a number, or the length of something: `unit` is what is counted.
    fn check_bounds(
        &mut self,
        schema: Schema<'_>,
        number: f64,
        found: &str,
        path: &KeyPath,
        bounds: [&str; 2],
        unit: &str,
    ) {
        let bound = |keyword: &str| schema.number(keyword).map(|bound| (bound, grouped(&bound.to_string())));
        let [least, most] = bounds;
        let mut limits = vec![(least, "at least"), (most, "at most")];
        if unit.is_empty() {
            limits.extend([("exclusiveMinimum", "more than"), ("exclusiveMaximum", "less than")]);
        }
        for (keyword, words) in limits {
            let Some((limit, shown)) = bound(keyword) else { continue };
            let holds = match words {
                "at least" => number >= limit,
                "at most" => number <= limit,
                "more than" => number > limit,
                _ => number < limit,
            };
            if !holds {
                let (verb, unit) = if unit.is_empty() { ("be", "") } else { ("have", unit) };
                let label = format!("must {verb} {words} {shown}{unit}");
                let message = format!("`{path}` {label}, found {found}");
                self.diagnostics.push(KeyDiagnostic::in_value(path, message, label, explained(schema, path)));
            }
        }
    }
}

fn is_of_type(value: &Value, name: &str) -> bool {
    match name {
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "null" => value.is_null(),
        _ => true,
    }
}

/// What the key is, from its schema.
fn explained(schema: Schema<'_>, path: &KeyPath) -> Option<String> {
    Some(format!("{}: {}", path.last_key()?, schema.doc()?))
}

/// The value in the words of a spec, for an error.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::String(text) if text.chars().nth(40).is_some() => {
            format!("the text {:?}…", text.chars().take(40).collect::<String>())
        }
        Value::String(text) => format!("the text {text:?}"),
        Value::Bool(truth) => truth.to_string(),
        Value::Number(number) => number.to_string(),
        Value::Array(_) => "a list".into(),
        Value::Object(_) => "a table".into(),
        Value::Null => "nothing".into(),
    }
}

/// As much of a key as a message shows.
fn shortened(key: &str) -> Cow<'_, str> {
    match key.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &key[..end]).into(),
        None => key.into(),
    }
}

/// How to write a value of the wrong type, where it is plain what was meant.
fn help_on_type(schema: Schema<'_>, value: &Value, path: &KeyPath) -> Option<String> {
    let key = path.last_key()?;
    let wanted = schema.types();
    let wants = |name: &str| wanted.contains(&name);
    match value {
        Value::String(text) => {
            let truth = wants("boolean") && (text == "true" || text == "false");
            let number = wants("number") && text.parse::<f64>().is_ok_and(f64::is_finite);
            if truth || number || wants("integer") && text.parse::<i64>().is_ok() {
                return Some(format!("write it without quotes: {key} = {text}"));
            }
            let switch = schema.property("enabled").filter(|switch| switch.types() == ["boolean"]);
            if text == NONE && switch.is_some() {
                return Some(format!("to go without, write {key}.enabled = false"));
            }
            if schema.is_table() && schema.property("plugin").is_some() {
                return Some(format!(
                    "write `[{path}]` on a line of its own, and `plugin = {text:?}` on the next"
                ));
            }
        }
        Value::Number(number) => {
            let whole = number.as_f64().filter(|n| wants("integer") && n.fract() == 0.0 && n.abs() < 9e15);
            if let Some(whole) = whole {
                return Some(format!("write it as a whole number: {key} = {}", grouped(&format!("{whole}"))));
            }
            if wants("string") {
                return Some(format!("put it in quotes: {key} = \"{number}\""));
            }
        }
        _ => {}
    }
    if wants("array")
        && schema.item(0).is_some_and(|item| item.types().iter().any(|name| is_of_type(value, name)))
    {
        return Some(format!("put it in brackets: {key} = [{value}]"));
    }
    None
}

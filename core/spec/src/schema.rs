//! JSON Schema, as far as options use it: what `schemars` makes of Rust types.
//!
//! The whole spec is one schema. The options of a plugin are embedded in it with an `$id` of their own, so that
//! their `$ref`s start from their own top, as the standard says.
use serde_json::{Map, Value};
use toml::de::DeValue;

/// What stands, in a spec, for "no value" where a setting may have none.
pub(super) const NONE: &str = "none";

/// The schema of one value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Schema<'a> {
    root: &'a Value,
    /// As it is written: with the doc and the default of this place, beside a `$ref` perhaps.
    said: &'a Value,
    /// What the `$ref`, if there is one, leads to.
    target: &'a Value,
    /// How many steps it is from the top.
    depth: u8,
}

/// Schemas of types that hold themselves go on for ever; specs don't.
const DEEPEST: u8 = 64;

impl<'a> Schema<'a> {
    pub(super) fn new(root: &'a Value) -> Self {
        Schema { root, said: root, target: root, depth: 0 }.at(root)
    }

    fn at(self, said: &'a Value) -> Self {
        let root = if said.get("$id").is_some() { said } else { self.root };
        let mut target = said;
        // Each `$ref` leads on to another node; so many in a row can only be a circle.
        for _ in 0..32 {
            let Some(pointer) = target.get("$ref").and_then(Value::as_str) else { break };
            match pointer.strip_prefix('#').and_then(|pointer| root.pointer(pointer)) {
                Some(next) => target = next,
                None => break,
            }
        }
        Schema { root, said, target, depth: self.depth.saturating_add(1) }
    }

    fn get(self, keyword: &str) -> Option<&'a Value> {
        if self.depth > DEEPEST {
            return None;
        }
        self.said.get(keyword).or_else(|| self.target.get(keyword))
    }

    /// What the value is for; the first paragraph of its doc, as one line.
    pub(super) fn doc(self) -> Option<String> {
        let doc = self.get("description")?.as_str()?;
        let paragraph = doc.split("\n\n").next().unwrap_or_default();
        Some(paragraph.split_whitespace().collect::<Vec<_>>().join(" ")).filter(|doc| !doc.is_empty())
    }

    pub(super) fn default(self) -> Option<&'a Value> {
        self.get("default")
    }

    /// The kind and name of the plugin that this is the section of.
    pub(super) fn plugin(self) -> Option<(&'a str, &'a str)> {
        self.said.get("$id")?.as_str()?.strip_prefix("efference:")?.split_once('/')
    }

    /// Whether there may be no value, said as [`NONE`].
    pub(super) fn may_be_none(self) -> bool {
        self.types().contains(&"null")
            || self.all_alternatives().any(Schema::may_be_none)
            || self.get("const").is_some_and(Value::is_null)
    }

    fn all_alternatives(self) -> impl Iterator<Item = Schema<'a>> {
        let listed = ["anyOf", "oneOf"].into_iter().find_map(|keyword| self.get(keyword)?.as_array());
        listed.into_iter().flatten().map(move |said| self.at(said))
    }

    /// What the value may be, one or the other, besides none; empty if there is no choice.
    pub(super) fn alternatives(self) -> Vec<Schema<'a>> {
        self.all_alternatives().filter(|schema| schema.types() != ["null"]).collect()
    }

    /// Of a table that takes one of several forms, each with a constant of its own under the same key: that key, and the
    /// forms by their constants.
    pub(super) fn forms(self) -> Option<(&'a str, Vec<(&'a Value, Schema<'a>)>)> {
        let alternatives = self.alternatives();
        let first = alternatives.first()?;
        let key = first.keys().into_iter().find(|key| first.constant(key).is_some())?;
        let form = |one: Schema<'a>| Some((one.constant(key)?, one));
        Some((key, alternatives.into_iter().map(form).collect::<Option<_>>()?))
    }

    /// Of a table: the only value that this key may have.
    fn constant(self, key: &str) -> Option<&'a Value> {
        self.properties()?.get(key)?.get("const")
    }

    /// The types that are allowed, `null` too, in the words of JSON Schema; empty if all are.
    pub(super) fn types(self) -> Vec<&'a str> {
        match self.get("type") {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        }
    }

    /// The values that are allowed, with what each means, if they are listed.
    pub(super) fn constants(self) -> Option<Vec<(&'a Value, Option<String>)>> {
        if let Some(list) = self.get("enum").and_then(Value::as_array) {
            return Some(list.iter().filter(|value| !value.is_null()).map(|value| (value, None)).collect());
        }
        if let Some(value) = self.get("const") {
            return Some(vec![(value, self.doc())]);
        }
        let alternatives = self.alternatives();
        let mut constants = Vec::new();
        for alternative in &alternatives {
            constants.extend(alternative.constants()?);
        }
        (!alternatives.is_empty()).then_some(constants)
    }

    /// Whether some text would be valid.
    pub(super) fn allows_text(self) -> bool {
        let alternatives = self.alternatives();
        if let Some(constants) = self.constants() {
            constants.iter().any(|(value, _)| value.as_str() == Some(NONE))
        } else if alternatives.is_empty() {
            self.types().is_empty() || self.types().contains(&"string")
        } else {
            alternatives.into_iter().any(Schema::allows_text)
        }
    }

    /// Whether some words of the command line are the text that is wanted, although they read as another value: `2024`,
    /// where the schema takes text and no number.
    pub(super) fn wants_words(self, value: &DeValue<'_>, words: &str) -> bool {
        !self.takes(value) && self.takes_text(words)
    }

    /// Whether a number or a truth value is of a type that is allowed.
    fn takes(self, value: &DeValue<'_>) -> bool {
        let alternatives = self.alternatives();
        if !alternatives.is_empty() {
            return alternatives.into_iter().any(|one| one.takes(value));
        }
        if let Some(constants) = self.constants() {
            return constants.iter().any(|(constant, _)| match value {
                DeValue::Boolean(_) => constant.is_boolean(),
                _ => constant.is_number(),
            });
        }
        let types = self.types();
        let is = |name: &str| types.contains(&name);
        match value {
            _ if types.is_empty() => true,
            DeValue::Boolean(_) => is("boolean"),
            DeValue::Integer(_) => is("integer") || is("number"),
            // Who writes `1e3` for a whole number gets to know how to write it.
            DeValue::Float(_) => is("number") || is("integer"),
            _ => true,
        }
    }

    /// Whether this text is valid, as far as its type goes.
    fn takes_text(self, text: &str) -> bool {
        let alternatives = self.alternatives();
        if let Some(constants) = self.constants() {
            return constants.iter().any(|(constant, _)| constant.as_str() == Some(text));
        }
        alternatives.iter().any(|one| one.takes_text(text)) || self.types().contains(&"string")
    }

    /// Whether this is the schema of a whole spec, and not that of a section or a value.
    pub(super) fn is_whole_spec(self) -> bool {
        self.depth <= 1 && self.properties().is_some_and(|properties| properties.contains_key("sweep"))
    }

    fn properties(self) -> Option<&'a Map<String, Value>> {
        self.get("properties")?.as_object()
    }

    /// Whether this describes a table, besides what else it may describe.
    pub(super) fn is_table(self) -> bool {
        self.properties().is_some()
            || self.types().contains(&"object")
            || self.alternatives().into_iter().any(Schema::is_table)
    }

    /// The keys of a table that have a name of their own, as they are declared.
    pub(super) fn keys(self) -> Vec<&'a str> {
        let mut keys: Vec<&str> =
            self.properties().into_iter().flat_map(Map::keys).map(String::as_str).collect();
        for key in self.alternatives().into_iter().flat_map(Schema::keys) {
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        keys
    }

    /// Of a table: the value of this key, if the key is valid.
    pub(super) fn property(self, key: &str) -> Option<Schema<'a>> {
        let named = self.properties().and_then(|properties| properties.get(key)).map(|said| self.at(said));
        named
            .or_else(|| self.any_value())
            .or_else(|| self.alternatives().into_iter().find_map(|one| one.property(key)))
    }

    /// Of a table: what keys were called before, and what they are called now.
    pub(super) fn old_names(self) -> Vec<(&'a str, &'a str)> {
        let keys = self.keys();
        let of_key = |key: &&'a str| {
            let key = *key;
            let names = self.property(key).and_then(|property| property.get("x-old-names")?.as_array());
            let names = names.into_iter().flatten().filter_map(Value::as_str);
            names.map(move |name| (name, key)).collect::<Vec<_>>()
        };
        keys.iter().flat_map(of_key).filter(|(old, _)| !keys.contains(old)).collect()
    }

    /// Of a table whose keys are the user's: any of its values.
    pub(super) fn any_value(self) -> Option<Schema<'a>> {
        self.get("additionalProperties").filter(|said| said.is_object()).map(|said| self.at(said))
    }

    /// Of a table: whether keys without a name in the schema are errors.
    pub(super) fn is_closed(self) -> bool {
        ["additionalProperties", "unevaluatedProperties"]
            .iter()
            .any(|k| self.get(k) == Some(&Value::Bool(false)))
    }

    pub(super) fn required(self) -> impl Iterator<Item = &'a str> {
        self.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
    }

    /// Of a list: the item of this place.
    pub(super) fn item(self, index: usize) -> Option<Schema<'a>> {
        let prefix = self.get("prefixItems").and_then(|items| items.get(index));
        prefix.or_else(|| self.get("items").filter(|said| said.is_object())).map(|said| self.at(said))
    }

    pub(super) fn number(self, keyword: &str) -> Option<f64> {
        self.get(keyword)?.as_f64()
    }

    /// What the value must be: `a whole number`, `"axis" or "none"`.
    pub(super) fn expected(self) -> String {
        if let Some(constants) = self.constants() {
            return either(constants.iter().map(|(value, _)| value.to_string()));
        }
        let alternatives = self.alternatives();
        if alternatives.is_empty() {
            either(self.types().into_iter().filter(|name| *name != "null").map(|name| self.type_name(name)))
        } else {
            either(alternatives.into_iter().map(Schema::expected))
        }
    }

    fn type_name(self, name: &str) -> String {
        match name {
            "integer" => "a whole number".into(),
            "number" => "a number".into(),
            "string" => "text".into(),
            "boolean" => "true or false".into(),
            "array" => match self.item(0).map(Schema::types).unwrap_or_default()[..] {
                ["integer"] => "a list of whole numbers".into(),
                ["number"] => "a list of numbers".into(),
                ["string"] => "a list of texts".into(),
                ["object"] => "a list of tables".into(),
                _ if self.item(0).is_some_and(|item| item.forms().is_some()) => "a list of tables".into(),
                _ => "a list".into(),
            },
            "object" => "a table".into(),
            other => other.into(),
        }
    }

    /// The numbers (of items, for a list; of letters, for text) that are allowed: `2 … 65536`, `> 0`; empty if all are.
    pub(super) fn range(self) -> String {
        let bound = |keywords: [&str; 3]| {
            keywords.iter().find_map(|keyword| self.get(keyword).filter(|v| v.is_number()))
        };
        let show = |number: &Value| match number.as_f64() {
            Some(whole) if whole.fract() == 0.0 && whole.abs() < 1e15 => grouped(&format!("{whole}")),
            _ => number.to_string(),
        };
        let least = bound(["minimum", "minItems", "minLength"]).map(show);
        let most = bound(["maximum", "maxItems", "maxLength"]).map(show);
        let above = bound(["exclusiveMinimum"; 3]).map(show);
        let below = bound(["exclusiveMaximum"; 3]).map(show);
        let mut range = match (least, most) {
            (Some(least), Some(most)) => vec![format!("{least} … {most}")],
            (Some(least), None) => vec![format!("≥ {least}")],
            (None, Some(most)) => vec![format!("≤ {most}")],
            (None, None) => Vec::new(),
        };
        if let Some(above) = above {
            range.insert(0, format!("> {above}"));
        }
        if let Some(below) = below {
            range.push(format!("< {below}"));
        }
        if range.is_empty() {
            let alternatives = self.alternatives();
            return if let [only] = alternatives[..] { only.range() } else { String::new() };
        }
        range.join(", ")
    }
}

/// `a`, `a or b`, `a, b or c`.
pub(super) fn either(names: impl IntoIterator<Item = String>) -> String {
    let mut names: Vec<String> = names.into_iter().filter(|name| !name.is_empty()).collect();
    names.dedup();
    match names.pop() {
        None => String::new(),
        Some(last) if names.is_empty() => last,
        Some(last) => format!("{} or {last}", names.join(", ")),
    }
}

/// A whole number as a spec would write it: `65_536`.
pub(super) fn grouped(digits: &str) -> String {
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits), |digits| ("-", digits));
    if digits.len() < 5 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return format!("{sign}{digits}");
    }
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i) % 3 == 0 {
            text.push('_');
        }
        text.push(digit);
    }
    format!("{sign}{text}")
}

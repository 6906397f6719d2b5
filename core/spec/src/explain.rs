//! What a key is: its value in a spec and where that came from, what it means, what it may be, and who reads it.
use super::check::{section_schema, whole_schema};
use super::key_path::KeyPath;
use super::layer::Origin;
use super::nearest::nearest;
use super::registry::PluginRegistry;
use super::resolved::Spec;
use super::schema::Schema;
use super::section::Section;
use super::write::to_toml_value;
use serde_json::Value;
use std::fmt;

impl Spec {
    /// The value of a key, such as `trainer.unroll_length`, with where it came from, what it means, what it may be and who
    /// reads it; of a section, each of its keys with its value.
    ///
    /// # Errors
    /// There is no such key: a sentence, with the nearest one.
    pub fn explain(&self, key: &str) -> Result<String, String> {
        let path = read(key)?;
        let schema = find(Schema::new(&self.schema), &path).map_err(|missing| missing.to_string())?;
        let mut value = &self.tree;
        for key in path.keys() {
            value = value.get(key).unwrap_or(&Value::Null);
        }
        let chosen = path
            .first_key()
            .and_then(Section::of_name)
            .and_then(|section| Some((section, self.plugins.get(&section)?)));
        let reader = match chosen {
            Some((section, chosen)) if path.last_key() != Some("plugin") => {
                format!("the {} plugin `{}`", section.name(), chosen.plugin)
            }
            _ => "efference itself".to_owned(),
        };
        let mut text = String::new();
        match value {
            Value::Object(table) if schema.is_table() => {
                text += &format!("[{path}]\n");
                text += &about(schema, None);
                for (key, value) in table {
                    text += &format!("    {key} = {}\n", to_toml_value(value));
                }
            }
            _ => {
                text += &format!("{path} = {}\n", to_toml_value(value));
                let origin = self
                    .origins
                    .nearest(&path)
                    .map_or(Origin::Default.to_string(), |(origin, _)| origin.to_string());
                text += &format!("    from     {origin}\n");
                text += &about(schema, schema.default());
            }
        }
        Ok(text + &format!("    read by  {reader}\n"))
    }
}

/// What a key means where there is no spec: for efference itself, or for each plugin that has it.
///
/// # Errors
/// There is no such key: a sentence, with the nearest one.
pub fn explain_key(key: &str, plugins: &dyn PluginRegistry) -> Result<String, String> {
    let path = read(key)?;
    let section = path.first_key().and_then(Section::of_name);
    let mut text = String::new();
    if let Some(section) = section {
        let mut missing: Option<Missing> = None;
        for name in plugins.names(section.kind()) {
            let Ok(options) = plugins.schema(section.kind(), &name) else { continue };
            let whole = whole_schema(vec![(section, section_schema(section, Some(&name), Some(&options)))]);
            match find(Schema::new(&whole), &path) {
                Ok(schema) => {
                    let about = about(schema, schema.default());
                    text += &format!("{path}\n{about}    read by  the {} plugin `{name}`\n", section.name());
                }
                // A plugin that has one like it tells more.
                Err(other) if missing.as_ref().is_none_or(|before| before.near.is_none()) => {
                    missing = Some(other)
                }
                Err(_) => {}
            }
        }
        if text.is_empty() {
            return Err(
                missing.map_or_else(|| format!("there is no key `{path}`"), |missing| missing.to_string())
            );
        }
        return Ok(text);
    }
    let sections = Section::ALL.map(|section| (section, section_schema(section, None, None)));
    let whole = whole_schema(sections.to_vec());
    let schema = find(Schema::new(&whole), &path).map_err(|missing| missing.to_string())?;
    Ok(format!("{path}\n{}    read by  efference itself\n", about(schema, schema.default())))
}

fn read(key: &str) -> Result<KeyPath, String> {
    let path = KeyPath::parse(key.trim()).filter(|path| !path.is_top());
    path.ok_or_else(|| format!("`{key}` is no key: write it with its section, as in trainer.unroll_length"))
}

/// There is no such key.
struct Missing {
    key: KeyPath,
    near: Option<KeyPath>,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there is no key `{}`", self.key)?;
        self.near.as_ref().map_or(Ok(()), |near| write!(f, "; did you mean `{near}`?"))
    }
}

/// The schema of the value at a path.
fn find<'a>(whole: Schema<'a>, path: &KeyPath) -> Result<Schema<'a>, Missing> {
    let (mut schema, mut at) = (whole, KeyPath::default());
    for key in path.keys() {
        let Some(next) = schema.property(key) else {
            let near = nearest(key, schema.keys()).map(|near| at.key(near));
            return Err(Missing { key: at.key(key), near });
        };
        (schema, at) = (next, at.key(key));
    }
    Ok(schema)
}

/// What a value means and may be.
fn about(schema: Schema<'_>, default: Option<&Value>) -> String {
    let mut text = schema.doc().map_or(String::new(), |doc| format!("    meaning  {doc}\n"));
    if !schema.is_table() {
        let none = if schema.may_be_none() { " or \"none\"" } else { "" };
        let range = schema.range();
        let range = if range.is_empty() { range } else { format!(", {range}") };
        text += &format!("    takes    {}{none}{range}\n", schema.expected());
    }
    for (value, doc) in schema.constants().unwrap_or_default() {
        if let Some(doc) = doc {
            text += &format!("             {}: {doc}\n", to_toml_value(value));
        }
    }
    if let Some(default) = default {
        text += &format!("    default  {}\n", to_toml_value(default));
    }
    text
}

//! The JSON Schema of specs, with all plugins that are there, for editors.
//!
//! It is made of the same declarations that check specs. In TOML there is no null: where a value may be none, it is written
//! `"none"`.
use super::check::{section_schema, whole_schema};
use super::registry::PluginRegistry;
use super::schema::NONE;
use super::section::Section;
use serde_json::{Map, Value, json};

/// What a spec may say.
pub fn json_schema(plugins: &dyn PluginRegistry) -> Value {
    let mut definitions = Map::new();
    let sections = Section::ALL.map(|section| (section, of_section(section, plugins, &mut definitions)));
    let mut schema = whole_schema(sections.to_vec());
    if let Some(Value::Object(of_host)) = schema.get("$defs") {
        definitions.extend(of_host.clone());
    }
    schema["$defs"] = definitions.into();
    in_toml(&mut schema);
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    schema["title"] = "A spec of efference".into();
    schema["additionalProperties"] = false.into();
    schema
}

/// A section: the plugin's name decides which options there are.
fn of_section(section: Section, plugins: &dyn PluginRegistry, definitions: &mut Map<String, Value>) -> Value {
    let names = plugins.names(section.kind());
    let mut whole = section_schema(section, None, None);
    put_apart(&mut whole, "", definitions);
    let listed: Vec<&str> =
        names.iter().map(String::as_str).chain(section.is_optional().then_some(NONE)).collect();
    whole["properties"]["plugin"]["enum"] = listed.into();
    let case = |name: &String| {
        let schema = plugins.schema(section.kind(), name).ok();
        let mut options = section_schema(section, Some(name), schema.as_ref());
        // The name is listed above.
        options["properties"]["plugin"] = json!({});
        put_apart(&mut options, &format!("{}/{name}/", section.name()), definitions);
        let mut condition =
            Map::from_iter([("properties".to_owned(), json!({ "plugin": { "const": name } }))]);
        // Without a name it is the default.
        if section.default_plugin() != Some(name) {
            condition.insert("required".into(), json!(["plugin"]));
        }
        json!({ "if": condition, "then": options })
    };
    let cases: Vec<Value> = names.iter().map(case).collect();
    whole["allOf"] = cases.into();
    whole
}

/// Puts the definitions of a plugin's options among those of all, under names that begin with `prefix`: not every editor knows
/// schemas within schemas.
fn put_apart(options: &mut Value, prefix: &str, definitions: &mut Map<String, Value>) {
    let prefix = prefix.replace('/', "-");
    if let Value::Object(map) = options {
        map.shift_remove("$id");
        if let Some(Value::Object(own)) = map.shift_remove("$defs") {
            for (name, mut definition) in own {
                lead(&mut definition, &prefix);
                definitions.insert(format!("{prefix}{name}"), definition);
            }
        }
    }
    lead(options, &prefix);
}

/// Has references lead to definitions under other names.
fn lead(schema: &mut Value, prefix: &str) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(|item| lead(item, prefix)),
        Value::Object(map) => {
            if let Some(Value::String(to)) = map.get_mut("$ref")
                && let Some(name) = to.strip_prefix("#/$defs/")
            {
                *to = format!("#/$defs/{prefix}{name}");
            }
            map.values_mut().for_each(|inner| lead(inner, prefix));
        }
        _ => {}
    }
}

/// Writes null as TOML does.
fn in_toml(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(in_toml),
        Value::Object(map) => {
            if map.get("default").is_some_and(Value::is_null) {
                map.insert("default".into(), NONE.into());
            }
            if map.get("type").is_some_and(|kind| kind == "null") {
                map.shift_remove("type");
                map.insert("const".into(), NONE.into());
            }
            let types = map.get("type").and_then(Value::as_array).cloned().unwrap_or_default();
            if types.iter().any(|kind| kind == "null") {
                may_be_none(map, types);
            }
            map.values_mut().for_each(in_toml);
        }
        _ => {}
    }
}

/// What the types and their ranges say, or none.
fn may_be_none(map: &mut Map<String, Value>, mut types: Vec<Value>) {
    types.retain(|kind| kind != "null");
    const OF_THE_PLACE: [&str; 3] = ["description", "default", "title"];
    let mut value = Map::new();
    let keys: Vec<String> = map.keys().filter(|key| !OF_THE_PLACE.contains(&key.as_str())).cloned().collect();
    for key in keys {
        if let Some(said) = map.shift_remove(&key) {
            value.insert(key, said);
        }
    }
    value.insert("type".into(), types.into());
    map.insert("anyOf".into(), json!([value, { "const": NONE }]));
}

//! Finds all that is wrong with a merged spec: first which plugins it names, then each key against its schema.
use super::key_path::KeyPath;
use super::keys::{Device, HostKeys, OptimizerSettings};
use super::name::check_name;
use super::nearest::nearest;
use super::registry::Cached;
use super::saving::Evaluation;
use super::schema::{NONE, Schema};
use super::section::Section;
use super::validate::{KeyDiagnostic, shown, validate};
use efference_abi::Kind;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// What there is to say about a merged spec.
pub(super) struct Checked {
    pub(super) diagnostics: Vec<KeyDiagnostic>,
    /// What is no diagnostic, but has no effect: said by the user, who may believe otherwise.
    pub(super) notes: Vec<KeyDiagnostic>,
    /// Options of plugins that are not the chosen ones; the chosen ones don't get to see them.
    pub(super) set_aside: Vec<KeyPath>,
    /// The schema of the whole spec, with the options of the chosen plugins.
    pub(super) schema: Value,
    /// The plugin of each section, but of those that the spec goes without; `None` where it names none that can be used.
    pub(super) chosen: BTreeMap<Section, Option<String>>,
}

const WHERE_PLUGINS_ARE_SAID: &str =
    "say where they are: `path = [\"DIRECTORY\"]` in [plugins], or the variable EFFERENCE_PLUGIN_PATH";

/// Examines a merged spec: what the user said, without defaults.
pub(super) fn check(tree: &Value, registry: &Cached<'_>) -> Checked {
    let mut diagnostics = Vec::new();
    let mut chosen = BTreeMap::new();
    let mut sections = Vec::new();
    // That there are no plugins at all is one diagnostic, not five.
    let any = Kind::ALL.iter().any(|kind| !registry.names(*kind).is_empty());
    if !any {
        let message = "no plugin was found".to_owned();
        diagnostics.push(KeyDiagnostic::in_key(
            &KeyPath::default(),
            message,
            String::new(),
            Some(WHERE_PLUGINS_ARE_SAID.into()),
        ));
    }
    for section in Section::ALL {
        if section.is_left_out(tree) {
            sections.push((section, section_schema(section, None, None)));
            continue;
        }
        let kind = section.kind();
        let choice = if any { choose(tree, section, registry, &mut diagnostics) } else { None };
        let schema = choice.as_ref().and_then(|name| match registry.schema(kind, name) {
            Ok(schema) => Some(schema),
            Err(why) => {
                let at = KeyPath::of(&[section.name(), "plugin"]);
                let message = format!("the {} plugin `{name}` can't be loaded: {why}", kind.name());
                diagnostics.push(KeyDiagnostic::in_value(&at, message, "can't be loaded".into(), None));
                None
            }
        });
        sections.push((section, section_schema(section, choice.as_deref(), schema.as_ref())));
        chosen.insert(section, choice.filter(|_| schema.is_some()));
    }
    let schema = whole_schema(sections);
    let whole = Schema::new(&schema);
    diagnostics.extend(validate(whole, whole, tree, &KeyPath::default()));
    check_name_and_device(tree, &mut diagnostics);
    // Who wrote `[enviroment]` or `plugn = "worlds"` forgot nothing.
    let meant: Vec<KeyPath> = diagnostics.iter().filter_map(|diagnostic| diagnostic.meant.clone()).collect();
    let forgotten = |missing: &KeyPath| !meant.iter().any(|meant| missing.starts_with(meant));
    diagnostics.retain(|diagnostic| diagnostic.missing.as_ref().is_none_or(forgotten));

    let mut notes = notes_on_plugins(&chosen, registry);
    let mut set_aside = Vec::new();
    let mut others = BTreeMap::new();
    diagnostics.retain(|diagnostic| match option_of_another(diagnostic, &chosen, registry, &mut others) {
        Some(note) => {
            set_aside.push(diagnostic.path.clone());
            notes.push(note);
            false
        }
        None => true,
    });
    notes.extend(unused_by_the_optimizer(tree));
    notes.extend(unused_without_another(tree));
    Checked { diagnostics, notes, set_aside, schema, chosen }
}

/// The plugin that the spec names, or the default one, if it is there.
pub(super) fn choose(
    tree: &Value,
    section: Section,
    registry: &Cached<'_>,
    diagnostics: &mut Vec<KeyDiagnostic>,
) -> Option<String> {
    let kind = section.kind();
    let said = tree.get(section.name());
    if said.is_some_and(|said| !said.is_object()) {
        return None;
    }
    let names = registry.names(kind);
    let table = KeyPath::of(&[section.name()]);
    let at = table.key("plugin");
    let mut by_default = "";
    let name = match said.and_then(|said| said.get("plugin")) {
        Some(Value::String(name)) => name.clone(),
        Some(_) => return None,
        None => match (mistyped_plugin(said, section, registry), section.default_plugin()) {
            // The rest of the section is looked at as if it were written well.
            (Some((_, Value::String(name))), _) if names.contains(name) => name.clone(),
            (Some((key, _)), _) => {
                let message = format!("there is no key `{key}` in [{table}]");
                let help = "did you mean `plugin`?".to_owned();
                diagnostics.push(KeyDiagnostic::in_key(
                    &table.key(key),
                    message,
                    "unknown key".into(),
                    Some(help),
                ));
                return None;
            }
            (None, Some(name)) => {
                by_default = ", which is the default";
                name.to_owned()
            }
            (None, None) => {
                let help = format!(
                    "write `[{table}]`, and under it `plugin = \"NAME\"`; {}",
                    there_are(kind, &names)
                );
                diagnostics.push(KeyDiagnostic::missing(&table, "plugin", Some(help)));
                return None;
            }
        },
    };
    if names.contains(&name) {
        return Some(name);
    }
    let near = nearest(&name, names.iter().map(String::as_str));
    let near = near.map_or(String::new(), |near| format!("did you mean \"{near}\"? "));
    let refused: String = registry.refused().iter().map(|why| format!("\nnot loaded: {why}")).collect();
    let help = registry
        .not_built(kind, &name)
        .unwrap_or_else(|| format!("{near}{}{refused}", there_are(kind, &names)));
    let message = format!("there is no {} plugin `{name}`{by_default}", kind.name());
    diagnostics.push(KeyDiagnostic::in_value(&at, message, "no such plugin".into(), Some(help)));
    None
}

fn there_are(kind: Kind, names: &[String]) -> String {
    if names.is_empty() {
        return format!("no {} plugin was found at all; {WHERE_PLUGINS_ARE_SAID}", kind.name());
    }
    format!("{} plugins that were found: {}", kind.name(), names.join(", "))
}

/// In a section that names no plugin: a key that was to be `plugin`, and its value.
fn mistyped_plugin<'a>(
    said: Option<&'a Value>,
    section: Section,
    registry: &Cached<'_>,
) -> Option<(&'a String, &'a Value)> {
    let known = section.default_plugin().and_then(|name| registry.schema_of_other(section.kind(), name));
    let is_option =
        |key: &str| known.as_ref().is_some_and(|schema| Schema::new(schema).property(key).is_some());
    let mut keys = said?.as_object()?.iter();
    keys.find(|(key, _)| nearest(key, ["plugin"]).is_some() && !is_option(key))
}

/// The schema of a plugin's section: its options, and the key `plugin`.
pub(super) fn section_schema(section: Section, plugin: Option<&str>, options: Option<&Value>) -> Value {
    let or_none = if section.is_optional() { ", or \"none\"" } else { "" };
    let mut choice = json!({
        "description": format!("Name of the plugin{or_none}; all other keys of the section are its options."),
        "type": "string",
    });
    if let Some(name) = section.default_plugin() {
        choice["default"] = name.into();
    }
    let mut section_schema = match options {
        Some(options) => {
            let top = options
                .get("$ref")
                .and_then(Value::as_str)
                .and_then(|at| options.pointer(at.strip_prefix('#')?));
            let mut schema = top.unwrap_or(options).as_object().cloned().unwrap_or_default();
            if let Some(definitions) = options.get("$defs") {
                schema.insert("$defs".into(), definitions.clone());
            }
            // The defaults of the options are theirs; the table as a whole has none.
            schema.shift_remove("default");
            schema
        }
        None => Map::new(),
    };
    let mut properties = Map::from_iter([("plugin".to_owned(), choice)]);
    if let Some(Value::Object(options)) = section_schema.get("properties") {
        properties
            .extend(options.iter().filter(|(key, _)| *key != "plugin").map(|(k, v)| (k.clone(), v.clone())));
    }
    section_schema
        .insert("$id".into(), format!("efference:{}/{}", section.name(), plugin.unwrap_or_default()).into());
    section_schema.insert("type".into(), "object".into());
    section_schema.insert("properties".into(), properties.into());
    section_schema.into()
}

/// The schema of a whole spec, its keys in the order in which a spec is best read.
pub(super) fn whole_schema(sections: Vec<(Section, Value)>) -> Value {
    let mut schema = schemars::schema_for!(HostKeys).to_value();
    let mut host = match schema["properties"].take() {
        Value::Object(properties) => properties,
        _ => Map::new(),
    };
    let mut properties = Map::new();
    let extends = json!({
        "description": "Specs that this one builds on, relative to this file: a path, or a list of paths.",
        "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }],
    });
    properties.insert("extends".into(), extends);
    let mut move_keys = |keys: &[&str], properties: &mut Map<String, Value>| {
        for key in keys {
            properties.extend(host.shift_remove(*key).map(|schema| ((*key).to_owned(), schema)));
        }
    };
    move_keys(&["name", "seed", "steps", "device", "threads"], &mut properties);
    for (section, schema) in sections {
        properties.insert(section.name().to_owned(), schema);
        if section == Section::Of(Kind::Environment) {
            move_keys(&["state"], &mut properties);
        }
    }
    properties.extend(host);
    let sweep = json!({
        "description": "For `efference sweep`: keys, each with a list of values or a range; keys that vary together; named variants.",
        "type": "object",
    });
    properties.insert("sweep".into(), sweep);
    schema["properties"] = properties.into();
    schema
}

/// What types and ranges can't say of the host's own keys.
fn check_name_and_device(tree: &Value, diagnostics: &mut Vec<KeyDiagnostic>) {
    if let Some(Value::String(name)) = tree.get("name")
        && let Err(reason) = check_name(name)
    {
        let help = "it names a directory: letters, digits, `-`, `_` and `.`".to_owned();
        let message = format!("`name` {reason}");
        diagnostics.push(KeyDiagnostic::in_value(
            &KeyPath::of(&["name"]),
            message,
            "not a good name".into(),
            Some(help),
        ));
    }
    if let Some(said @ Value::String(device)) = tree.get("device")
        && Device::parse(device).is_none()
    {
        let expected = "expected \"auto\", \"cpu\", \"cuda\" or \"cuda:N\"".to_owned();
        let help = match nearest(device, ["auto", "cpu", "cuda"]) {
            _ if device.eq_ignore_ascii_case("gpu") => "a GPU is \"cuda\"".into(),
            Some(near) => format!("did you mean \"{near}\"?"),
            None => "\"auto\" takes the first usable GPU, else the CPU".into(),
        };
        let message = format!("`device`: {expected}, found {}", shown(said));
        diagnostics.push(KeyDiagnostic::in_value(&KeyPath::of(&["device"]), message, expected, Some(help)));
    }
}

/// Who swaps `plugin = "ldl"` for "dense" need not take out `radix`: an option of another plugin of the same kind
/// is no diagnostic, but it is said that it has no effect.
fn option_of_another(
    diagnostic: &KeyDiagnostic,
    chosen: &BTreeMap<Section, Option<String>>,
    registry: &Cached<'_>,
    others: &mut BTreeMap<Section, Vec<(String, Vec<String>)>>,
) -> Option<KeyDiagnostic> {
    if !diagnostic.in_key || diagnostic.missing.is_some() {
        return None;
    }
    let key = diagnostic.path.last_key()?;
    let (section, plugin) =
        chosen.iter().find(|(section, _)| diagnostic.path == KeyPath::of(&[section.name(), key]))?;
    let plugin = plugin.as_ref()?;
    // Asked once: a section may have any number of keys that are unknown.
    let others = others.entry(*section).or_insert_with(|| {
        let kind = section.kind();
        let names = registry.names(kind).into_iter().filter(|name| name != plugin);
        let keys = |name: &String| {
            let schema = registry.schema_of_other(kind, name)?;
            Some(Schema::new(&schema).keys().into_iter().map(str::to_owned).collect())
        };
        names.filter_map(|name| keys(&name).map(|keys| (name, keys))).collect()
    });
    let (other, _) = others.iter().find(|(_, keys)| keys.iter().any(|one| one == key))?;
    let message = format!(
        "`{}` is an option of `{other}`: `{plugin}` has none of this name, and it has no effect",
        diagnostic.path
    );
    Some(KeyDiagnostic::in_key(&diagnostic.path, message, "no effect".into(), None))
}

/// What is to be known of where the chosen plugins come from.
fn notes_on_plugins(chosen: &BTreeMap<Section, Option<String>>, registry: &Cached<'_>) -> Vec<KeyDiagnostic> {
    let mut notes = Vec::new();
    for (section, plugin) in chosen {
        for note in plugin.iter().flat_map(|plugin| registry.notes(section.kind(), plugin)) {
            let at = KeyPath::of(&[section.name(), "plugin"]);
            notes.push(KeyDiagnostic::in_value(&at, note, "this plugin".into(), None));
        }
    }
    notes
}

/// Settings of the host that are said and do nothing unless another one is said too.
fn unused_without_another(tree: &Value) -> Vec<KeyDiagnostic> {
    let said =
        |section: &str, key: &str| tree.get(section).and_then(|table| table.get(key)).filter(|v| *v != NONE);
    let mut notes = Vec::new();
    let mut unused = |section: &str, key: &str, other: &str, help: &str| {
        let path = KeyPath::of(&[section, key]);
        let message = format!("`{path}` has no effect without `{section}.{other}`");
        notes.push(KeyDiagnostic::in_key(&path, message, "no effect".into(), Some(help.into())));
    };
    if said("checkpoint", "best_is").is_some() && said("checkpoint", "best").is_none() {
        unused("checkpoint", "best_is", "best", "name the metric: best = \"error\"");
    }
    let is_evaluated = said("evaluation", "every").is_some_and(|every| every.as_u64() != Some(0));
    let by_default = Value::from(Evaluation::default().episodes);
    if said("evaluation", "episodes").is_some_and(|said| *said != by_default) && !is_evaluated {
        unused("evaluation", "episodes", "every", "say how often there is an evaluation: every = 1_000");
    }
    notes
}

/// Rules whose steps have a size that is said.
const GRADIENT_RULES: &[&str] = &["adam", "adamw", "sgd", "rmsprop"];
/// Rules that look at squared gradients.
const SQUARING_RULES: &[&str] = &["adam", "adamw", "rmsprop", "intentional"];

/// Settings of one rule that are said for another, unless they are what they would be anyway.
fn unused_by_the_optimizer(tree: &Value) -> Vec<KeyDiagnostic> {
    let Some(all) = tree.get("optimizer").and_then(Value::as_object) else { return Vec::new() };
    let path = KeyPath::of(&["optimizer"]);
    let kind_of = |table: &Map<String, Value>| table.get("kind").and_then(Value::as_str).map(str::to_owned);
    let common = kind_of(all).unwrap_or_else(|| "adam".into());
    let mut tables = vec![(path.clone(), all, common.clone())];
    for (name, group) in all.get("groups").and_then(Value::as_object).into_iter().flatten() {
        if let Some(group) = group.as_object() {
            tables.push((
                path.key("groups").key(name),
                group,
                kind_of(group).unwrap_or_else(|| common.clone()),
            ));
        }
    }
    let kinds: Vec<String> = tables.iter().map(|(_, _, kind)| kind.clone()).collect();
    let defaults = serde_json::to_value(OptimizerSettings::default()).unwrap_or_default();
    let mut notes = Vec::new();
    for (path, table, kind) in &tables {
        // What is said for all parameters has its effect if one group uses it.
        let used_by = if *table == all { &kinds[..] } else { std::slice::from_ref(kind) };
        for (key, users) in [
            ("learning_rate", GRADIENT_RULES),
            ("momentum", &["sgd"]),
            ("beta1", &["adam", "adamw"]),
            ("beta2", SQUARING_RULES),
            ("epsilon", SQUARING_RULES),
            ("weight_decay", GRADIENT_RULES),
            ("clip", GRADIENT_RULES),
            ("moments", &["adam", "adamw"]),
            ("normalise_by", &["rmsprop"]),
            ("kappa", &["obgd"]),
            ("intent", &["intentional"]),
        ] {
            let differs = |value: &Value| match (value.as_f64(), defaults[key].as_f64()) {
                (None, None) if defaults[key].is_null() => !value.is_null() && value != NONE,
                (None, None) => *value != defaults[key],
                (value, default) => value != default,
            };
            let said = table.get(key).is_some_and(differs);
            if said && !used_by.iter().any(|kind| users.contains(&kind.as_str())) {
                let message = format!("`{}` has no effect with `kind = {kind:?}`", path.key(key));
                let help = format!("{key} is a setting of {}", users.join(", "));
                notes.push(KeyDiagnostic::in_key(&path.key(key), message, "no effect".into(), Some(help)));
            }
        }
    }
    notes
}

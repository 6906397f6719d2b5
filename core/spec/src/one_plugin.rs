//! The options of one plugin, as `--set` alone says them: for what needs a plugin and no spec.
use super::check::{choose, section_schema};
use super::defaults::{defaults, lay_over, unset};
use super::diagnostic::{Diagnostic, Diagnostics};
use super::key_path::KeyPath;
use super::layer::{ConfigLayer, Source};
use super::merge::merge;
use super::overrides::of_sets;
use super::registry::{Cached, OptionError, PluginRegistry};
use super::resolve::ParsedSpec;
use super::resolved::PluginChoice;
use super::schema::Schema;
use super::source::Place;
use super::validate::{KeyDiagnostic, validate};
use efference_abi::Kind;
use serde_json::{Map, Value, json};

/// All options of the plugin of this kind and name: what `sets` say (`radix=2`, without a section) over its defaults.
///
/// # Errors
/// All that is wrong: with the name, or with the options.
pub fn plugin_options(
    kind: Kind,
    name: &str,
    sets: &[String],
    registry: &dyn PluginRegistry,
) -> Result<PluginChoice, Diagnostics> {
    let registry = Cached::new(registry);
    let what = format!("{} {name}", kind.name());
    let (mut layers, mut diagnostics) = of_section(kind, sets);
    if let Ok(schema) = registry.schema(kind, name) {
        let section = section_schema(kind.into(), Some(name), Some(&schema));
        let whole = json!({ "type": "object", "properties": { kind.name(): section } });
        for layer in &mut layers {
            layer.read_by(Schema::new(&whole), &mut diagnostics);
        }
    }
    let merged = merge(&layers, &Value::Null);
    let section = KeyPath::of(&[kind.name()]);
    let said = merged.tree.get(kind.name()).cloned().unwrap_or_else(|| json!({}));
    let parsed = ParsedSpec::of(&what, layers);

    let mut found = Vec::new();
    let chosen = choose(&json!({ kind.name(): { "plugin": name } }), kind.into(), &registry, &mut found);
    let mut options = Map::new();
    if let Some(plugin) = chosen {
        match registry.schema(kind, &plugin) {
            Err(why) => {
                let message = format!("the {} plugin `{plugin}` can't be loaded: {why}", kind.name());
                found.push(KeyDiagnostic::in_value(&section, message, String::new(), None));
            }
            Ok(schema) => {
                let schema = Schema::new(&schema);
                found.extend(validate(schema, schema, &said, &section));
                let mut full = defaults(schema, Some(&said)).unwrap_or_else(|| json!({}));
                lay_over(&mut full, &said);
                unset(schema, &mut full);
                if found.is_empty()
                    && let Err(OptionError { path, message }) = registry.check(kind, &plugin, &full)
                {
                    let at = section.join(&KeyPath::parse_serde(&path));
                    let message = format!("`{at}`: {message}");
                    found.push(KeyDiagnostic::in_value(&at, message, String::new(), None));
                }
                if let Value::Object(full) = full {
                    options = full;
                }
            }
        }
    }
    diagnostics.extend(found.iter().map(|diagnostic| parsed.located(diagnostic, &merged.origins)));
    if diagnostics.is_empty() {
        return Ok(PluginChoice { plugin: name.to_owned(), options });
    }
    Err(Diagnostics::new(&what, diagnostics))
}

/// Reads the texts as if each began with the section; reports show them as they were said.
fn of_section(kind: Kind, sets: &[String]) -> (Vec<ConfigLayer>, Vec<Diagnostic>) {
    let (mut layers, mut diagnostics) = (Vec::new(), Vec::new());
    for said in sets {
        let (read, wrong) = of_sets(&[format!("{}.{said}", kind.name())]);
        layers
            .extend(read.into_iter().map(|layer| ConfigLayer { source: Source::Set(said.clone()), ..layer }));
        diagnostics.extend(wrong.into_iter().map(|diagnostic| {
            let help = Some("write the option, and no spaces: --set radix=2".to_owned());
            Diagnostic { place: Place::Named(format!("--set {said}")), help, ..diagnostic }
        }));
    }
    (layers, diagnostics)
}

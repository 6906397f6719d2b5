//! What a key is, with and without a spec; the schema for editors.
use super::Desk;
use super::registry::Declared;
use crate::{explain_key, json_schema};
use serde_json::{Value, json};

const SPEC: &str = "seed = 5\n[environment]\nplugin = \"worlds\"\n[layer]\nplugin = \"ldl\"\n";

#[test]
fn a_key_is_explained_with_its_value_and_where_it_came_from() {
    let desk = Desk::new();
    desk.file("spec.toml", SPEC);
    let spec = desk.load("spec.toml", &["seed=7"], &[]).unwrap();
    let seed = spec.explain("seed").unwrap();
    assert!(seed.starts_with("seed = 7\n    from     --set seed=7\n    meaning  "), "{seed}");
    assert!(seed.ends_with("    read by  efference itself\n"), "{seed}");
    let radix = spec.explain("layer.radix").unwrap();
    assert!(
        radix.contains("    meaning  Elements mixed at once.\n    takes    a whole number, 2 … 65_536\n"),
        "{radix}"
    );
    assert!(radix.contains("    default  16\n    read by  the layer plugin `ldl`\n"), "{radix}");
    let section = spec.explain("layer").unwrap();
    assert!(section.starts_with("[layer]\n") && section.contains("    radix = "), "{section}");
    assert_eq!(
        spec.explain("layer.radx").unwrap_err(),
        "there is no key `layer.radx`; did you mean `layer.radix`?"
    );
    assert!(spec.explain("").unwrap_err().contains("is no key"));
}

#[test]
fn without_a_spec_a_key_is_explained_for_each_plugin_that_has_it() {
    let bias = explain_key("layer.bias", &Declared).unwrap();
    assert_eq!(bias.matches("layer.bias\n").count(), 2, "{bias}");
    assert!(bias.contains("the layer plugin `ldl`") && bias.contains("the layer plugin `dense`"), "{bias}");
    let radix = explain_key("layer.radix", &Declared).unwrap();
    assert_eq!(radix.matches("read by").count(), 1, "{radix}");
    assert!(explain_key("state.size", &Declared).unwrap().contains("read by  efference itself"));
    assert!(explain_key("layer.radx", &Declared).unwrap_err().contains("did you mean `layer.radix`?"));
}

#[test]
fn the_schema_for_editors_has_the_options_of_the_plugin_that_is_named() {
    let schema = json_schema(&Declared);
    let layer = &schema["properties"]["layer"];
    let names = layer["properties"]["plugin"]["enum"].as_array().unwrap();
    assert!(names.contains(&json!("ldl")) && names.contains(&json!("dense")), "{names:?}");
    let case = |name: &str| {
        let cases = layer["allOf"].as_array().unwrap();
        let is_it = |case: &&Value| case["if"]["properties"]["plugin"]["const"] == name;
        cases.iter().find(is_it).unwrap_or_else(|| panic!("no {name} in {cases:?}"))
    };
    let ldl = &case("ldl")["then"]["properties"];
    assert_eq!((&ldl["radix"]["minimum"], &ldl["radix"]["default"]), (&json!(2), &json!(16)));
    assert!(case("dense")["then"]["properties"].get("radix").is_none());
    // The default plugin is taken where none is named.
    assert!(case("ldl")["if"].get("required").is_none() && case("dense")["if"].get("required").is_some());
    // Each reference leads to something, and there is no null in TOML.
    fn look(value: &Value, schema: &Value) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| look(item, schema)),
            Value::Object(map) => {
                if let Some(to) = map.get("$ref").and_then(Value::as_str) {
                    assert!(schema.pointer(to.strip_prefix('#').unwrap()).is_some(), "{to} leads nowhere");
                }
                assert!(
                    map.get("type").is_none_or(|kind| *kind != "null" && !kind.to_string().contains("null")),
                    "{map:?}"
                );
                map.values().for_each(|inner| look(inner, schema));
            }
            _ => {}
        }
    }
    look(&schema, &schema);
}

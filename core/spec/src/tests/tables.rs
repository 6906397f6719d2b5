//! The reference of options.
use super::*;
use crate::{PluginRegistry, host_keys_table, options_table};

#[test]
fn options_are_shown_with_type_default_range_and_doc() {
    let table = options_table(&Declared.schema(Kind::Layer, "ldl").unwrap());
    let expected = r#"
OPTION                              TYPE                        DEFAULT       RANGE
radix                               whole number                16            2 … 65_536
    Elements mixed at once.
sharing                             "axis" or "none"            "axis"
    How the weights are shared.
      "axis": Along one axis.
      "none": Not at all.
bias                                true or false               true
    Whether a bias is added.
"#;
    assert_eq!(table, expected.trim_start());
}

#[test]
fn options_of_tables_within_are_dotted_and_further_in() {
    let table = options_table(&Declared.schema(Kind::Trainer, "bptt").unwrap());
    assert_has(&table, &["\nsynthetic_gradient                  table or \"none\"             as below\n"]);
    assert_has(
        &table,
        &[
            "\n  synthetic_gradient.layers         whole number                2             ≥ 1\n      Layers of",
        ],
    );
    assert_has(&table, &["\nlabel                               text                        none\n"]);
    let table = options_table(&Declared.schema(Kind::Environment, "worlds").unwrap());
    assert_has(
        &table,
        &["list of whole numbers       [16, 16]", "\n  ears[…].lowest ", "20.0          ≥ 1\n"],
    );
    let table = options_table(&Declared.schema(Kind::Environment, "page").unwrap());
    assert_has(&table, &["url                                 text                        (required)"]);
    assert_has(
        &table,
        &[
            "\nsees                                list of tables\n",
            "  sees[…].kind                      one of these                (required)\n",
            "    kind = \"viewport\": The whole window.\n",
            "      sees[…].shrink                whole number                8             ≥ 1\n",
            "    kind = \"constant\": The same number for ever.\n      sees[…].value ",
        ],
    );
}

#[test]
fn tables_fit_100_columns() {
    let long = serde_json::json!({ "properties": { "a_very_long_name_of_an_option_that_goes_on_and_on": {
        "description": "word ".repeat(60), "enum": ["the first of the long values", "the second of the long values"],
        "default": "the first of the long values" }, "anything": true } });
    for table in [host_keys_table(), options_table(&long)] {
        for line in table.lines() {
            assert!(line.chars().count() <= 100, "{line}");
        }
    }
    assert_has(
        &host_keys_table(),
        &["\n  optimizer.learning_rate           number                      0.001         > 0\n"],
    );
    assert_has(&host_keys_table(), &["optimizer.groups.NAME.clip", "\nrecord  ", "record.every "]);
    assert_eq!(options_table(&serde_json::json!({ "type": "object" })), "It has no options.\n");
    assert_eq!(options_table(&serde_json::json!(true)), "It has no options.\n");
}

#[test]
fn a_schema_that_holds_itself_ends() {
    let circular = serde_json::json!({ "type": "object", "anyOf": [{ "$ref": "#" }], "properties": { "inner": { "$ref": "#" } } });
    assert!(options_table(&circular).lines().count() < 1000);
}

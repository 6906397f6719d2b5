//! The reference of all keys of a spec, as Markdown: made from the declarations that check specs.
use super::check::whole_schema;
use super::option_rows::{OptionItem, option_rows};
use super::registry::PluginRegistry;
use super::schema::Schema;
use super::section::Section;
use efference_abi::Kind;
use serde_json::{Value, json};
use std::fmt::Write;

const TITLE: &str = "\
# All keys of a spec

<!-- Made by `efference schema --markdown`. Change the declarations, not this page. -->

A key that is not said has its default. Where \"none\" is among what a key takes, that is written as text. `efference explain KEY`
says the same of one key, and with a spec also its value and where that came from.
";

/// Every key: those of the host, then for each plugin that is there its options.
pub fn markdown_reference(plugins: &dyn PluginRegistry) -> String {
    let mut text = TITLE.to_owned();
    let whole = whole_schema(Vec::new());
    let keys = Schema::new(&whole).keys().into_iter().map(str::to_owned);
    let is_table = |key: &String| whole["properties"][key].get("$ref").is_some();
    let (sections, keys): (Vec<String>, Vec<String>) = keys.partition(is_table);
    text += "\n## Above all sections\n";
    let top: Vec<&str> = keys.iter().map(String::as_str).collect();
    write_table(&mut text, &only(&whole, &top));
    for section in sections {
        let _ = write!(text, "\n## \\[{section}\\]\n");
        write_table(&mut text, &only(&whole, &[&section]));
    }
    for kind in Kind::ALL {
        let sections = Section::ALL.into_iter().filter(|section| section.kind() == kind);
        let sections: Vec<String> = sections.map(|section| format!("\\[{}\\]", section.name())).collect();
        let _ = write!(text, "\n## {}\n", sections.join(" and "));
        let chosen = Section::Of(kind).default_plugin();
        let chosen = chosen.map_or("It has to be said.".into(), |name| format!("Default: `{name}`."));
        let _ =
            write!(text, "\n`plugin` names the plugin. {chosen} The section's other keys are its options.\n");
        for name in plugins.names(kind) {
            let _ = write!(text, "\n### {} `{name}`\n", kind.name());
            match plugins.schema(kind, &name) {
                Ok(schema) => write_table(&mut text, &schema),
                Err(why) => {
                    let _ = write!(text, "\n{why}\n");
                }
            }
        }
    }
    text
}

/// The schema with these of its properties alone.
fn only(whole: &Value, keys: &[&str]) -> Value {
    let mut schema = whole.clone();
    let properties = keys.iter().map(|key| ((*key).to_owned(), whole["properties"][key].clone()));
    schema["properties"] = properties.collect();
    if let [section] = keys
        && let Some(found) = Schema::new(whole).property(section)
        && found.is_table()
    {
        // Its keys, by their own names.
        let within = whole["properties"][section]["$ref"].as_str().unwrap_or_default();
        let within = whole.pointer(within.trim_start_matches('#')).cloned().unwrap_or(json!({}));
        schema["properties"] = within["properties"].clone();
    }
    schema
}

fn write_table(text: &mut String, schema: &Value) {
    let rows = option_rows(Schema::new(schema));
    if rows.is_empty() {
        text.push_str("\nIt has no options.\n");
        return;
    }
    text.push_str("\n| key | takes | default | meaning |\n|---|---|---|---|\n");
    for row in rows {
        match row {
            OptionItem::Option(option) => {
                let takes = match option.range.as_str() {
                    "" => option.takes,
                    range => format!("{}, {range}", option.takes),
                };
                let mut meaning = option.doc.unwrap_or_default();
                for (value, doc) in option.constants {
                    let _ = write!(meaning, "<br>`{value}`: {doc}");
                }
                let default = match option.default.as_str() {
                    plain @ ("" | "(required)" | "as below" | "none") => plain.to_owned(),
                    value => format!("`{value}`"),
                };
                let cells = [format!("`{}`", option.key), takes, default, meaning];
                let _ = writeln!(text, "| {} |", cells.map(|cell| in_a_cell(&cell)).join(" | "));
            }
            OptionItem::Form { said, doc, .. } => {
                let doc = in_a_cell(&doc.unwrap_or_default());
                let _ = writeln!(text, "| *with* `{}` | | | {doc} |", in_a_cell(&said));
            }
        }
    }
}

fn in_a_cell(text: &str) -> String {
    text.replace('\n', " ").replace('|', "\\|")
}

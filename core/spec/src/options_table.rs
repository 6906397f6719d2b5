//! The reference of options, as text: made from the same declaration that checks them.
use super::option_rows::{OptionItem, option_rows};
use super::schema::Schema;
use serde_json::Value;
use std::fmt::Write;

/// Letters in a line.
const WIDTH: usize = 100;
/// Where the columns of type, default and range begin, unless what is before them is wider.
const COLUMNS: [usize; 3] = [36, 64, 78];

/// The options that a plugin's JSON Schema declares: name, type, default, range and doc of each; those of tables
/// within them as dotted keys, further in. Plain text of up to 100 columns (but for a word that is longer).
pub fn options_table(schema: &Value) -> String {
    let mut text = String::new();
    for item in option_rows(Schema::new(schema)) {
        match item {
            OptionItem::Option(option) => {
                let indent = option.depth * 2;
                text.push_str(&row(indent, [&option.key, &option.takes, &option.default, &option.range]));
                option.doc.iter().for_each(|doc| wrap(&mut text, indent + 4, indent + 4, doc));
                for (value, doc) in &option.constants {
                    wrap(&mut text, indent + 6, indent + 8, &format!("{value}: {doc}"));
                }
            }
            OptionItem::Form { depth, said, doc } => {
                let doc = doc.map_or(said.clone(), |doc| format!("{said}: {doc}"));
                wrap(&mut text, depth * 2 + 2, depth * 2 + 6, &doc);
            }
        }
    }
    if text.is_empty() {
        return "It has no options.\n".into();
    }
    format!("{}{text}", row(0, ["OPTION", "TYPE", "DEFAULT", "RANGE"]))
}

/// As [`options_table`], for the keys of a spec that belong to the host.
#[cfg(test)]
pub(crate) fn host_keys_table() -> String {
    options_table(&crate::check::whole_schema(Vec::new()))
}

/// One line of the table, or two if the columns are too narrow for what is in them.
fn row(indent: usize, cells: [&str; 4]) -> String {
    let mut line = " ".repeat(indent);
    line.push_str(cells[0]);
    let mut text = String::new();
    for (cell, column) in cells[1..].iter().zip(COLUMNS).filter(|(cell, _)| !cell.is_empty()) {
        let length = line.chars().count();
        let after = length.max(column.saturating_sub(2)) + 2;
        if after + cell.chars().count() > WIDTH && length > indent + 4 {
            let _ = writeln!(text, "{}", line.trim_end());
            line = " ".repeat(indent + 4);
        } else {
            line.push_str(&" ".repeat(after - length));
        }
        line.push_str(cell);
    }
    let _ = writeln!(text, "{}", line.trim_end());
    text
}

/// Breaks lines between words.
fn wrap(text: &mut String, first_indent: usize, indent: usize, words: &str) {
    let mut line = " ".repeat(first_indent);
    let mut empty = true;
    for word in words.split_whitespace() {
        if !empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            let _ = writeln!(text, "{line}");
            line = " ".repeat(indent);
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(word);
        empty = false;
    }
    let _ = writeln!(text, "{line}");
}

//! What can be known of an experiment without the host, which may not be built yet. A spec that cannot be read is not our
//! concern: `efference` says what is wrong with it.

use std::fs;
use std::path::Path;
use toml::{Table, Value};

/// The spec and those that it extends, the one whose values win first.
pub(crate) fn tables(spec: &Path) -> Vec<Table> {
    let mut tables = Vec::new();
    read(spec, 8, &mut tables);
    tables
}

/// `depth` ends a circle of specs that extend each other.
fn read(spec: &Path, depth: usize, tables: &mut Vec<Table>) {
    let Some(table) = fs::read_to_string(spec).ok().and_then(|text| toml::from_str::<Table>(&text).ok())
    else {
        return;
    };
    let bases: Vec<String> = match table.get("extends") {
        Some(Value::String(base)) => vec![base.clone()],
        Some(Value::Array(bases)) => bases.iter().filter_map(|b| b.as_str().map(str::to_owned)).collect(),
        _ => Vec::new(),
    };
    tables.push(table);
    let folder = spec.parent().unwrap_or(Path::new(""));
    for base in bases.into_iter().rev().filter(|_| depth > 0) {
        read(&folder.join(base), depth - 1, tables);
    }
}

/// All strings among a table's values, however deep.
pub(crate) fn strings(table: &Table) -> Vec<&str> {
    table.values().flat_map(strings_of).collect()
}

fn strings_of(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(values) => values.iter().flat_map(strings_of).collect(),
        Value::Table(table) => strings(table),
        _ => Vec::new(),
    }
}

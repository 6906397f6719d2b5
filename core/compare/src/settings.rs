//! The settings of a run: the keys of its spec, flat.
use crate::error::CompareError;
use efference_runs::FileError;
use efference_runs::directory::RunDirectory;
use std::collections::BTreeMap;
use std::fs;
use toml::{Table, Value};

/// The keys of a spec, such as `trainer.unroll_length`, with their values as text.
pub(crate) type Settings = BTreeMap<String, String>;

/// Reads `spec.toml` in the directory of a run.
pub(crate) fn read(run: &RunDirectory) -> Result<Settings, CompareError> {
    let file = run.spec();
    let text = fs::read_to_string(&file).map_err(|e| FileError::new("read", &file, &e))?;
    let table: Table = text.parse().map_err(|e: toml::de::Error| CompareError::Spec {
        file: file.clone(),
        why: e.to_string().lines().map(str::trim).collect::<Vec<_>>().join(" "),
    })?;
    let mut settings = Settings::new();
    flatten(&table, "", &mut settings);
    Ok(settings)
}

fn flatten(table: &Table, before: &str, settings: &mut Settings) {
    for (key, value) in table {
        let path = if before.is_empty() { key.clone() } else { format!("{before}.{key}") };
        match value {
            Value::Table(inner) => flatten(inner, &path, settings),
            Value::String(text) => drop(settings.insert(path, text.clone())),
            value => drop(settings.insert(path, value.to_string())),
        }
    }
}

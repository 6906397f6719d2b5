//! Merging what files, variables and `--set` say, over the defaults; figment does it, and remembers who said what.
use super::key_path::KeyPath;
use super::layer::{ConfigLayer, Origin, Source};
use super::values::{from_json, to_json};
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};
use std::collections::BTreeMap;

/// Where each value came from.
#[derive(Debug, Clone, Default)]
pub struct Origins(BTreeMap<KeyPath, Origin>);

impl Origins {
    /// Where the value of this path came from; `None` if there is no such value.
    pub fn get(&self, path: &KeyPath) -> Option<&Origin> {
        self.0.get(path)
    }

    /// As [`nearest`](Self::nearest), of what somebody said: defaults are passed over.
    pub(super) fn nearest_said(&self, path: &KeyPath) -> Option<(&Origin, KeyPath)> {
        let mut path = path.clone();
        loop {
            match self.nearest(&path)? {
                (Origin::Default, at) => path = at.parent()?,
                found => return Some(found),
            }
        }
    }

    /// As [`get`](Origins::get), of the nearest value that holds the path.
    pub(super) fn nearest(&self, path: &KeyPath) -> Option<(&Origin, KeyPath)> {
        let mut path = path.clone();
        loop {
            match self.0.get(&path) {
                Some(origin) if !path.is_top() => return Some((origin, path)),
                _ => path = path.parent()?,
            }
        }
    }
}

/// All layers as one.
#[derive(Debug, Clone)]
pub(super) struct Merged {
    pub(super) tree: serde_json::Value,
    pub(super) origins: Origins,
}

/// A layer as figment knows it. Its number stands in the metadata, since figment's own sources have no spans.
struct Numbered<'a> {
    number: usize,
    values: &'a Dict,
}

impl Provider for Numbered<'_> {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.number.to_string())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(self.values.clone()))
    }
}

/// Merges the layers, later ones over earlier ones, all of them over the defaults (a JSON object). Tables are
/// merged key by key; all else, lists too, is replaced as a whole.
pub(super) fn merge(layers: &[ConfigLayer], defaults: &serde_json::Value) -> Merged {
    let mut figment = Figment::new();
    for (number, layer) in layers.iter().enumerate() {
        figment = figment.merge(Numbered { number, values: &layer.values });
    }
    if let Value::Dict(_, values) = from_json(defaults) {
        figment = figment.join(Numbered { number: layers.len(), values: &values });
    }
    // A provider of ours can't fail, so there is data.
    let values = figment.data().unwrap_or_default().remove(&Profile::Default).unwrap_or_default();
    let mut origins = BTreeMap::new();
    let tree = to_json(&Value::from(values), &KeyPath::default(), &mut |path, value| {
        let number = figment.get_metadata(value.tag()).and_then(|m| m.name.parse::<usize>().ok());
        // A table is where its header stands, whoever else puts a key into it.
        // Who says a plain value there says no table.
        let says_table = |layer: &&ConfigLayer| layer.spans.get(path).is_some_and(|span| span.is_table);
        let header = layers.iter().rev().find(says_table);
        let layer = header.filter(|_| value.as_dict().is_some()).or_else(|| layers.get(number?));
        let origin = match layer {
            None => Origin::Default,
            Some(ConfigLayer { source: Source::Variable(name), .. }) => Origin::Variable(name.clone()),
            Some(ConfigLayer { source: Source::Set(text), .. }) => Origin::Set(text.clone()),
            Some(ConfigLayer { source: Source::File(file), spans, .. }) => match spans.get(path) {
                Some(span) => {
                    Origin::File { file: file.clone(), key: span.key.clone(), value: span.value.clone() }
                }
                None => return,
            },
        };
        origins.insert(path.clone(), origin);
    });
    Merged { tree, origins: Origins(origins) }
}

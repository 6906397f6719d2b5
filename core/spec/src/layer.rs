//! One source of values: a file, a variable or a `--set`, with where each value stands in it.
use super::key_path::KeyPath;
use super::source::{Place, SourceFile};
use super::values::{Spans, from_json};
use figment::value::{Dict, Value};
use serde_json::json;
use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

/// Who says the values of a layer.
#[derive(Debug, Clone)]
pub(super) enum Source {
    File(Arc<SourceFile>),
    /// A variable, by its name.
    Variable(String),
    /// A `--set`, by all its text.
    Set(String),
}

/// Some values, and who says them.
#[derive(Debug, Clone)]
pub(super) struct ConfigLayer {
    pub(super) source: Source,
    pub(super) values: Dict,
    /// Where in the file they stand; empty for what is no file.
    pub(super) spans: Spans,
    /// What a variable or a `--set` says, to be read again once it is known what its key takes.
    pub(super) said: Option<Said>,
}

/// A key and the words that are said of it.
#[derive(Debug, Clone)]
pub(super) struct Said {
    pub(super) path: KeyPath,
    pub(super) words: String,
}

/// Where a value of the resolved spec came from.
#[derive(Debug, Clone)]
pub enum Origin {
    /// A file.
    File {
        /// The file.
        file: Arc<SourceFile>,
        /// The bytes of the key, or of the table's header.
        key: Range<usize>,
        /// The bytes of the value.
        value: Range<usize>,
    },
    /// A variable, by its name.
    Variable(String),
    /// `--set`, by all its text.
    Set(String),
    /// Nobody said it.
    Default,
}

impl ConfigLayer {
    /// As `--set plugins.path=[…]` says it.
    pub(super) fn plugin_paths(directories: &[PathBuf]) -> ConfigLayer {
        let path = json!(directories.iter().map(|directory| directory.to_string_lossy()).collect::<Vec<_>>());
        let source = Source::Set(format!("plugins.path={path}"));
        let values = match from_json(&json!({ "plugins": { "path": path } })) {
            Value::Dict(_, values) => values,
            _ => Dict::new(),
        };
        ConfigLayer { source, values, spans: Spans::new(), said: None }
    }
}

impl Source {
    /// Where a diagnostic in all of it was made.
    pub(super) fn place(&self) -> Place {
        match self {
            Source::Set(text) => Place::Named(format!("--set {text}")),
            Source::Variable(name) => Place::Named(name.clone()),
            Source::File(_) => Place::Nowhere,
        }
    }
}

impl Origin {
    /// Where a diagnostic in the key, or else in the value, was made.
    pub(super) fn place(&self, in_key: bool) -> Place {
        match self {
            Origin::File { file, key, value } => {
                Place::InFile { file: file.clone(), span: if in_key { key.clone() } else { value.clone() } }
            }
            Origin::Variable(_) | Origin::Set(_) => Place::Named(self.to_string()),
            Origin::Default => Place::Nowhere,
        }
    }
}

/// `first-light.toml:12`, `EFFERENCE_SEED`, `--set seed=2` or `default`.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File { file, value, .. } => write!(f, "{}:{}", file.name(), file.position(value.start).0),
            Origin::Variable(name) => f.write_str(name),
            Origin::Set(text) => write!(f, "--set {text}"),
            Origin::Default => f.write_str("default"),
        }
    }
}

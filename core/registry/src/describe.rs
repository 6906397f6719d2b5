//! What is asked of the engine about plugins, and what it replies: one JSON object a line, over a pipe.
use crate::PluginLocation;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// A question about the plugins of one library.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Which options do they have?
    Describe {
        /// The library.
        file: PathBuf,
    },
    /// Does a plugin accept these options, which follow its schema and have all defaults?
    Check {
        /// The library.
        file: PathBuf,
        /// The plugin's kind.
        kind: String,
        /// The plugin's name.
        name: String,
        /// A JSON object.
        options: Value,
    },
}

/// The reply to one [`Request`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// The options of all plugins of the library.
    Described(Vec<PluginOptions>),
    /// The plugin accepts the options.
    Accepted,
    /// The plugin refuses the options.
    Refused {
        /// The path of the option at fault; empty if it is none in particular.
        path: String,
        /// What is wrong with it.
        message: String,
    },
    /// The library or the plugin can't be loaded: why.
    Failed(String),
}

/// The options of one plugin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PluginOptions {
    /// The plugin's kind.
    pub kind: String,
    /// The plugin's name.
    pub name: String,
    /// The JSON Schema of its options, or a sentence that says why the plugin can't be loaded.
    pub schema: Result<Value, String>,
}

/// Loads libraries and asks their plugins: the engine, as a rule.
pub trait Describe {
    /// The reply to a request.
    ///
    /// # Errors
    /// A sentence that says why there is no reply.
    fn ask(&self, request: &Request) -> Result<Reply, String>;

    /// Says that a library is about to be loaded, where that is to be said.
    fn announce(&self, _plugin: &PluginLocation) {}
}

impl Request {
    /// The library that it is about.
    pub fn file(&self) -> &Path {
        match self {
            Request::Describe { file } | Request::Check { file, .. } => file,
        }
    }
}

//! `end.json`: how a run ended.
use crate::privacy::masked;
use serde::{Deserialize, Serialize};

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct End {
    /// In one word, with what is known of a failure.
    #[serde(flatten)]
    pub how: Ending,
    /// Steps done.
    pub step: u64,
    /// How long the run took, in seconds.
    pub seconds: f64,
    /// When it ended: RFC 3339, in UTC.
    pub ended: String,
    /// What is worth knowing of the record: what was left out or could not be written, what others did to its files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl End {
    /// Without user info and queries of URLs.
    pub(super) fn masked(&self) -> End {
        let all = |texts: &[String]| texts.iter().map(|text| masked(text)).collect();
        let how = match &self.how {
            Ending::Failed { plugin, messages, help } => Ending::Failed {
                plugin: plugin.clone(),
                messages: all(messages),
                help: help.as_deref().map(masked),
            },
            how => how.clone(),
        };
        End { how, notes: all(&self.notes), ..self.clone() }
    }
}

/// In which way a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "how", rename_all = "snake_case")]
pub enum Ending {
    /// All steps were done, or the environment's streams have ended.
    Finished,
    /// Someone stopped it.
    Stopped,
    /// Something failed.
    Failed {
        /// The plugin that failed, if one did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        plugin: Option<String>,
        /// What went wrong, the outermost message first.
        messages: Vec<String>,
        /// What can be done about it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        help: Option<String>,
    },
}

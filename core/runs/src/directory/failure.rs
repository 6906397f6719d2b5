//! A run that could not go on, in words that say what to do.
use super::Ending;
use std::fmt;
use std::path::PathBuf;

/// Why a run ended before its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The plugin at fault, such as `layer 'ldl'`, if one is.
    pub plugin: Option<String>,
    /// The step in which it happened, counted from 0.
    pub step: u64,
    /// What went wrong, the outermost message first.
    pub messages: Vec<String>,
    /// What can be done about it.
    pub help: String,
    /// The run's directory, with everything that was recorded until then.
    pub directory: PathBuf,
    /// Whether its process died, and with it what was not yet written.
    pub died: bool,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "the run failed in step {}: {}", self.step, self.messages.join(": "))?;
        if let Some(plugin) = &self.plugin {
            writeln!(f, "  plugin: {plugin}")?;
        }
        writeln!(f, "  help:   {}", self.help)?;
        let recorded = match self.died {
            // What waits is written every so often: see `FLUSH_EVERY`.
            true => "what was recorded until half a second before",
            false => "everything recorded until then",
        };
        write!(f, "  kept:   {recorded} is in {}", self.directory.display())
    }
}

impl std::error::Error for Failure {}

impl From<&Failure> for Ending {
    fn from(failure: &Failure) -> Ending {
        Ending::Failed {
            plugin: failure.plugin.clone(),
            messages: failure.messages.clone(),
            help: Some(failure.help.clone()),
        }
    }
}

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
    /// The run's directory, with everything that was recorded until then, but for what is missing.
    pub directory: PathBuf,
    /// Whether its process died, and with it what was not yet written.
    pub died: bool,
    /// What was recorded and could not be written.
    pub missing: Option<String>,
}

impl Failure {
    /// It is the disk that failed: says what can be done then.
    pub fn of_the_disk(mut self) -> Self {
        if self.plugin.is_none() {
            self.help = format!(
                "make room as the message says; `efference resume {}` then goes on from the last checkpoint, if there is one",
                self.directory.display()
            );
        }
        self
    }

    fn recorded(&self) -> String {
        let directory = self.directory.display();
        match (&self.missing, self.died) {
            (Some(missing), _) if self.messages.contains(missing) => {
                format!("all else that was recorded until then is in {directory}")
            }
            (Some(missing), _) => {
                format!("not everything that was recorded until then is in {directory}: {missing}")
            }
            // What waits is written every so often: see `FLUSH_EVERY`.
            (None, true) => format!("what was recorded until half a second before is in {directory}"),
            (None, false) => format!("everything recorded until then is in {directory}"),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "the run failed in step {}: {}", self.step, self.messages.join(": "))?;
        if let Some(plugin) = &self.plugin {
            writeln!(f, "  plugin: {plugin}")?;
        }
        writeln!(f, "  help:   {}", self.help)?;
        write!(f, "  kept:   {}", self.recorded())
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

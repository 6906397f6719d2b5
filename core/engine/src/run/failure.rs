//! A run that could not go on, in words that say what to do.
use efference_runs::RecordError;
use efference_runs::directory::Ending;
use efference_sdk::Error;
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
    /// The run's directory.
    pub directory: PathBuf,
    /// What is in it.
    pub recorded: String,
}

impl Failure {
    /// Makes a failure of an error.
    pub fn new(error: &Error, step: u64, directory: PathBuf) -> Self {
        let plugin = error.plugin().map(ToString::to_string);
        let help = match (&plugin, error.panicked()) {
            (Some(plugin), true) => format!(
                "{plugin} has a mistake at the place named above, or met something that its author did not expect; \
                 mend it there, or choose another plugin in the spec"
            ),
            (Some(plugin), false) => format!(
                "change the options of {plugin} in the spec, or what it depends on, as the message says"
            ),
            (None, _) => "change the spec as the message says".to_owned(),
        };
        let recorded = format!("everything recorded until then is in {}", directory.display());
        Failure {
            plugin,
            step,
            messages: error.chain().map(str::to_owned).collect(),
            help,
            directory,
            recorded,
        }
    }

    /// It is the disk that failed.
    pub fn of_the_disk(mut self) -> Self {
        if self.plugin.is_none() {
            self.help = format!(
                "make room as the message says; `efference resume {}` then goes on from the last checkpoint, if there is one",
                self.directory.display()
            );
        }
        self
    }

    /// Says what of the record is missing, whatever the run failed of.
    pub fn without(mut self, missing: &RecordError) -> Self {
        let missing = missing.to_string();
        let directory = self.directory.display();
        self.recorded = match self.messages.contains(&missing) {
            true => format!("all else that was recorded until then is in {directory}"),
            false => format!("not everything that was recorded until then is in {directory}: {missing}"),
        };
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let through: Vec<_> = self.messages.iter().map(String::as_str).collect();
        writeln!(f, "the run failed in step {}: {}", self.step, through.join(": "))?;
        if let Some(plugin) = &self.plugin {
            writeln!(f, "  plugin: {plugin}")?;
        }
        writeln!(f, "  help:   {}", self.help)?;
        write!(f, "  kept:   {}", self.recorded)
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

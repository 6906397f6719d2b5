//! What a person is to know of a failure.
use efference_runs::directory::{Failure, RunDirectory};
use efference_sdk::Error;

/// Makes a failure of an error in a step, counted from 0.
pub(super) fn failure(error: &Error, step: u64, directory: &RunDirectory) -> Failure {
    let plugin = error.plugin().map(ToString::to_string);
    let help = match (&plugin, error.panicked()) {
        (Some(plugin), true) => format!(
            "{plugin} has a mistake at the place named above, or met something that its author did not expect; \
             mend it there, or choose another plugin in the spec"
        ),
        (Some(plugin), false) => {
            format!("change the options of {plugin} in the spec, or what it depends on, as the message says")
        }
        (None, true) => {
            "this is a mistake of efference, at the place named above; please report it".to_owned()
        }
        (None, false) => "change the spec as the message says".to_owned(),
    };
    let messages = error.chain().map(str::to_owned).collect();
    Failure { plugin, step, messages, help, directory: directory.shown().to_owned(), died: false }
}

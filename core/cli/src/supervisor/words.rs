//! Words that the sentences about an engine have in common.
use crate::output::say_report;
use efference_runs::directory::RunDirectory;
use efference_runs::time::rfc3339;
use efference_spec::visible;
use efference_supervision::{Doing, Phase};
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::time::SystemTime;

/// ` of step 812`, if there are steps.
pub(super) fn of_step(doing: &Doing) -> String {
    match doing.phase {
        Phase::Starting | Phase::Working => String::new(),
        _ => format!(" of step {}", doing.step),
    }
}

/// `layer 'x', in forward`
pub(super) fn during((plugin, method): &(String, String)) -> String {
    format!("{plugin}, in {method}")
}

/// Says something on standard error, beside what the engine shows there.
pub(super) fn say(text: impl Display) {
    // A bar that the engine draws is drawn again below.
    let clear = if io::stderr().is_terminal() { "\r\x1b[2K" } else { "" };
    say_report(&format!("{clear}{}\n", visible(&text.to_string())));
}

/// Notes something in a run's log, which may be gone, or on a full disk.
pub(super) fn note(run: &RunDirectory, text: &str) {
    if let Ok(mut log) = run.log() {
        let _ = log.write_all(format!("{} {text}\n", rfc3339(SystemTime::now())).as_bytes());
    }
}

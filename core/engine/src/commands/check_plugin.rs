//! `efference-engine check-plugin`: makes the checks of one plugin, for `efference plugins check`.
use crate::program::{Outcome, fail};
use efference_cli::plugin_check::lines::{CheckOneArgs, Line};
use efference_engine::contract::Checked;
use efference_engine::plugins::{OnPrint, capture_stdout};
use std::io::Write;

/// Writes a [`Line`] for each check that begins or ends.
pub(crate) fn run(arguments: &CheckOneArgs) -> Outcome {
    let mut output = capture_stdout(OnPrint::Fail).map_err(fail)?;
    let mut say = |line: &Line| -> Result<(), u8> {
        let line = serde_json::to_string(line).map_err(fail)? + "\n";
        output.write_all(line.as_bytes()).map_err(fail)
    };
    // What is compared bit for bit, and timed, is small: more threads would only wait for each other.
    tch::set_num_threads(1);
    let mut checked = Checked::new(&arguments.file, &arguments.kind, &arguments.name, &arguments.set);
    let mut number = 0;
    while let Some(name) = checked.name(number) {
        if number >= arguments.from {
            say(&Line::Begins(name.to_owned()))?;
            say(&Line::Ends(checked.run(number)))?;
        } else {
            checked.pass_over(number);
        }
        number += 1;
    }
    Ok(0)
}

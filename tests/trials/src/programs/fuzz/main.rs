//! `efference-fuzz`: hostile inputs for all that efference reads.

mod targets;

use std::process::ExitCode;

fn main() -> ExitCode {
    efference_trials::fuzz::main(targets::TARGETS)
}

//! What this program and the engine say to people: standard output and standard error, in one place.
//!
//! A reader that has seen enough and went away is no error, on either stream. Any other failure to write the answer of a
//! command on standard output is one: it is reported, and the command's status says so ([`status`]). What cannot be said
//! on standard error is lost, since there is no third place.
use clap::Parser;
use efference_spec::visible;
use std::fmt::Display;
use std::io::{self, Write};
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether something of the answer could not be written.
static FAILED: AtomicBool = AtomicBool::new(false);

/// Prints text for people on standard output. What would steer a terminal is written out.
pub fn print(text: &str) {
    print_data(&visible(text));
}

/// Prints what other programs read on standard output, as it is.
pub fn print_data(text: &str) {
    let mut stdout = io::stdout().lock();
    note(stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()));
}

/// Prints text for people where standard output is another file by now.
pub fn print_to(file: &mut impl Write, text: &str) {
    note(file.write_all(visible(text).as_bytes()).and_then(|()| file.flush()));
}

/// Notes how writing on standard output went.
fn note(written: io::Result<()>) {
    let Err(error) = written else { return };
    if error.kind() != io::ErrorKind::BrokenPipe && !FAILED.swap(true, Ordering::Relaxed) {
        say(format!("error: standard output cannot be written: {error}"));
    }
}

/// The exit status of a command that ends with this one, given whether its answer could be written.
pub fn status(status: u8) -> u8 {
    if status == 0 && FAILED.load(Ordering::Relaxed) { 1 } else { status }
}

/// Prints a line on standard error.
pub fn say(line: impl Display) {
    say_text(&format!("{line}\n"));
}

/// Prints text of several lines on standard error. It may be coloured, and is written as it is.
pub(crate) fn say_report(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

fn say_text(text: &str) {
    say_report(&visible(text));
}

/// Prints an error; returns the exit status of a failure.
pub fn fail(message: impl Display) -> u8 {
    say(format!("error: {message}"));
    1
}

/// Prints what is no error, and to be known all the same.
pub fn say_note(message: impl Display) {
    say(format!("note: {message}"));
}

/// The arguments of this program; or ends it, for wrong arguments, `--help` and `--version`.
pub fn arguments<C: Parser>() -> C {
    C::try_parse().unwrap_or_else(|answer| {
        let printed = answer.print();
        if !answer.use_stderr() {
            note(printed);
        }
        process::exit(status(u8::try_from(answer.exit_code()).unwrap_or(2)).into())
    })
}

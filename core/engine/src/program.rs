//! What the commands of this program have in common.
use efference_cli::{SpecArgs, output};
use efference_engine::log;
use efference_engine::plugins::{OnPrint, Registry, capture_stdout};
use efference_engine::run::{self, Done, LoadedSpec, Request, Start, Stop};
use efference_runs::privacy::masked;
use efference_runs::{Printer, StepRate, metric};
use efference_spec::{PluginStdout, Spec};
use efference_supervision::of_this_process;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

/// The exit status of what failed; the reason was printed.
pub(crate) type Outcome = Result<u8, u8>;

/// Makes the steps of a run, and prints how it ended.
pub(crate) fn make_run(
    spec: &Spec,
    registry: &Registry,
    spec_file: &Path,
    start: Start<'_>,
    force: bool,
) -> Outcome {
    let output = own_stdout(spec).map_err(|e| fail(format!("standard output cannot be used: {e}")))?;
    let summary = output.try_clone().map_err(fail)?;
    let stop = listen()?;
    let parts = load(spec, registry, force)?;
    let request = Request { spec_file, start, output, stop: &stop };
    let mut experiment = None;
    let status = match run::run(spec, &parts, request, &mut experiment) {
        Ok(done) => {
            // Whoever reads the output may have gone, or be asleep; the run is done all the same.
            log::finish();
            let printer = Printer::new(summary, io::sink());
            printer.text(summary_of(&done));
            printer.finish(PATIENCE);
            if done.stopped { 130 } else { 0 }
        }
        Err(error) => fail(error),
    };
    // Whatever the plugins do when they are dropped, this is how it ended.
    of_this_process().set_status(status);
    drop(experiment);
    Ok(status)
}

/// Loads the plugins of a spec. With `force`, more memory may be taken than there seems to be.
pub(crate) fn load<'a>(spec: &'a Spec, registry: &'a Registry, force: bool) -> Result<LoadedSpec<'a>, u8> {
    let mut parts = LoadedSpec::new(spec, registry).map_err(fail)?;
    parts.force = force;
    Ok(parts)
}

/// Reads and checks the spec; mistakes and notes are printed.
pub(crate) fn read(arguments: &SpecArgs) -> Result<(Spec, Registry), u8> {
    let parsed = arguments.parse()?;
    let registry = Registry::scan(&parsed.plugin_paths());
    let spec = parsed.resolve(&registry).map_err(|diagnostics| efference_cli::report(&diagnostics))?;
    if !spec.notes.is_empty() {
        efference_cli::report(&spec.notes);
    }
    if !spec.sweep.is_empty() {
        let file = arguments.file.display();
        output::say_note(format!(
            "{file} has a [sweep], of which this is one run, as if it were not there: `efference sweep {file}` makes all"
        ));
    }
    Ok((spec, registry))
}

pub(crate) fn listen() -> Result<Stop, u8> {
    Stop::on_signals().map_err(|e| fail(format!("signals cannot be listened to: {e}")))
}

/// Keeps what plugins print out of standard output, where that is possible.
fn own_stdout(spec: &Spec) -> io::Result<File> {
    let on_print = match spec.plugin_settings.stdout {
        PluginStdout::Fail => OnPrint::Fail,
        PluginStdout::Log => OnPrint::Log,
    };
    capture_stdout(on_print).or_else(|e| {
        tracing::warn!("what plugins print cannot be kept apart: {e}");
        Ok(File::from(io::stdout().as_fd().try_clone_to_owned()?))
    })
}

/// Prints an error; returns the exit status of a failure.
pub(crate) fn fail(message: impl std::fmt::Display) -> u8 {
    log::finish();
    // A log of a sweep may be where this goes.
    output::fail(masked(&message.to_string()))
}

/// How long whoever reads a summary is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

fn summary_of(done: &Done) -> String {
    let how = if done.stopped { "Stopped" } else { "Finished" };
    let rate = StepRate((done.steps - done.from) as f64 / done.seconds.max(1e-9));
    let mut text = format!("{how} after {} steps in {:.1} s ({rate}).\n", done.steps, done.seconds);
    let shown = metric::in_summary(&done.last);
    if !shown.is_empty() {
        let shown: Vec<_> = shown.iter().map(|(name, value)| format!("{name} {value:.4}")).collect();
        text += &format!("Last recorded: {}.\n", shown.join(", "));
    }
    for note in &done.notes {
        text += &format!("Note: {note}.\n");
    }
    let what = if done.notes.is_empty() { "Everything" } else { "All else" };
    text += &format!("{what} is in {}\n", done.directory.shown().display());
    text
}

//! The `efference-engine` program: what `efference` becomes where libtorch is needed.
//!
//! A run reads from here to [`run`]: read the spec, load the plugins, make the parts, step until the end.
mod commands;

use clap::{Parser, Subcommand};
use efference_abi::{Kind, Size};
use efference_cli::SpecArgs;
use efference_cli::commands::bench::BenchArgs;
use efference_cli::commands::draw::DrawArgs;
use efference_cli::commands::evaluate::EvaluateArgs;
use efference_cli::commands::fork::ForkArgs;
use efference_cli::commands::resume::ResumeArgs;
use efference_cli::commands::run::RunArgs;
use efference_engine::plugins::{OnPrint, Registry, capture_stdout};
use efference_engine::run::{self, Done, LoadedSpec, Request, Start, Stop};
use efference_engine::{bench, describe, draw, log};
use efference_runs::metric;
use efference_spec::{PluginStdout, Spec, plugin_options};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::Path;

/// Runs the experiment of a spec. What people type is `efference`.
#[derive(Parser)]
#[command(name = "efference", bin_name = "efference", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Run(RunArgs),
    Resume(ResumeArgs),
    Fork(ForkArgs),
    Evaluate(EvaluateArgs),
    Bench(BenchArgs),
    Draw(DrawArgs),
    /// Replies to requests about plugins, for `efference check`.
    Describe,
}

/// The exit status of what failed; the reason was printed.
pub(crate) type Outcome = Result<u8, u8>;

fn main() {
    let cli = Cli::parse();
    run::memory::keep();
    log::start();
    let status = match cli.command {
        Command::Run(arguments) => run_command(&arguments),
        Command::Resume(arguments) => commands::resume::run(&arguments),
        Command::Fork(arguments) => commands::fork::run(&arguments),
        Command::Evaluate(arguments) => commands::evaluate::run(&arguments),
        Command::Bench(arguments) => bench_command(&arguments),
        Command::Draw(arguments) => draw_command(&arguments),
        Command::Describe => describe::run().map(|()| 0).map_err(fail),
    };
    let _ = io::stdout().flush();
    // Not by returning: libtorch would first take its operators apart one by one, for a tenth of a second. All
    // that was begun here is finished by now.
    signal_hook::low_level::exit(status.unwrap_or_else(|status| status).into())
}

fn run_command(arguments: &RunArgs) -> Outcome {
    let (spec, registry) = read(&arguments.spec)?;
    let start = Start::New { runs: &arguments.runs, id: arguments.id.as_deref() };
    make_run(&spec, &registry, &arguments.spec.file, start)
}

/// Makes the steps of a run, and prints how it ended.
pub(crate) fn make_run(spec: &Spec, registry: &Registry, spec_file: &Path, start: Start<'_>) -> Outcome {
    let output = own_stdout(spec).map_err(|e| fail(format!("standard output cannot be used: {e}")))?;
    let mut summary = output.try_clone().map_err(fail)?;
    let stop = listen()?;
    let parts = LoadedSpec::new(spec, registry).map_err(fail)?;
    let request = Request { spec_file, start, output, stop: &stop };
    let done = run::run(spec, &parts, request).map_err(fail)?;
    // Whoever reads the output may have gone; the run is done all the same.
    let _ = write_summary(&mut summary, &done);
    Ok(if done.stopped { 130 } else { 0 })
}

fn bench_command(arguments: &BenchArgs) -> Outcome {
    let (spec, registry) = read(&arguments.spec)?;
    let parts = LoadedSpec::new(&spec, &registry).map_err(fail)?;
    let stop = listen()?; // so that what was recorded until then does not stay behind
    let request = bench::Request { warm_up: arguments.warm_up, steps: arguments.steps, stop: &stop };
    let report = bench::measure(&spec, &parts, &request).map_err(|e| {
        let status = fail(format!("{e:#}"));
        if stop.wanted() { 130 } else { status }
    })?;
    let text = match arguments.json {
        true => serde_json::to_string(&report).map_err(fail)? + "\n",
        false => report.to_string(),
    };
    // Whoever reads it may have seen enough.
    let _ = io::stdout().write_all(text.as_bytes());
    Ok(0)
}

fn draw_command(arguments: &DrawArgs) -> Outcome {
    // What the plugin prints is no part of the answer.
    let mut output = capture_stdout(OnPrint::Log).map_err(fail)?;
    let registry = Registry::scan(&arguments.path);
    let choice = plugin_options(Kind::Layer, &arguments.layer, &arguments.set, &registry)
        .map_err(|diagnostics| efference_cli::report(&diagnostics))?;
    let size = Size { ins: arguments.ins, outs: arguments.outs };
    let drawing =
        draw::drawing(&registry, &choice, size, arguments.input).map_err(|e| fail(format!("{e:#}")))?;
    for file in arguments.files() {
        draw::write(&drawing, &file).map_err(fail)?;
        // Whoever reads it may have seen enough.
        let _ = writeln!(output, "{}: {}", file.display(), drawing.summary());
    }
    Ok(0)
}

/// Reads and checks the spec; mistakes and notes are printed.
fn read(arguments: &SpecArgs) -> Result<(Spec, Registry), u8> {
    let parsed = arguments.parse()?;
    let registry = Registry::scan(&parsed.plugin_paths());
    let spec = parsed.resolve(&registry).map_err(|diagnostics| efference_cli::report(&diagnostics))?;
    if !spec.notes.is_empty() {
        efference_cli::report(&spec.notes);
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
    eprintln!("error: {message}");
    1
}

fn write_summary(to: &mut impl Write, done: &Done) -> io::Result<()> {
    let how = if done.stopped { "Stopped" } else { "Finished" };
    let rate = (done.steps - done.from) as f64 / done.seconds.max(1e-9);
    writeln!(to, "{how} after {} steps in {:.1} s ({rate:.0} steps/s).", done.steps, done.seconds)?;
    let shown = metric::in_summary(&done.last);
    if !shown.is_empty() {
        let shown: Vec<_> = shown.iter().map(|(name, value)| format!("{name} {value:.4}")).collect();
        writeln!(to, "Last recorded: {}.", shown.join(", "))?;
    }
    writeln!(to, "Everything is in {}", done.directory.path().display())
}

#[cfg(test)]
mod tests {
    use efference_engine::plugins::this_host;

    /// `efference` lists the plugins in place of the engine, so it must take itself for the same.
    #[test]
    fn both_programs_would_load_the_same_plugins() {
        assert_eq!(efference_cli::engine_identity(), this_host());
    }
}

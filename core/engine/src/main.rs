//! The `efference-host` program: what `efference` becomes where libtorch is needed.

use clap::Parser;
use efference_cli::arguments::{Cli, Command, PluginsCommand, SpecArgs};
use efference_cli::{host_identity, listing};
use efference_engine::bench;
use efference_engine::plugins::{Catalogue, OnPrint, capture_stdout};
use efference_engine::run::{self, Done, Prepared, Request, RunError, Stop};
use efference_registry::PluginFiles;
use efference_spec::{self as spec, PluginCatalogue, ReportStyle, Spec};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::Path;

/// Reads the spec; its mistakes are told.
fn read(args: &SpecArgs) -> Result<(Spec, Catalogue), u8> {
    let told = |mistakes: spec::Mistakes| {
        eprint!("{}", mistakes.report(&ReportStyle::of(&io::stderr())));
        2
    };
    let draft = spec::read(&args.file, &args.set, spec::variables()).map_err(told)?;
    let catalogue = Catalogue::scan(&draft.plugin_paths());
    let spec = draft.resolve(&catalogue).map_err(told)?;
    if !spec.notes.is_empty() {
        eprint!("{}", spec.notes.report(&ReportStyle::of(&io::stderr())));
    }
    Ok((spec, catalogue))
}

fn main() {
    let cli = Cli::parse();
    run::memory::keep();
    efference_engine::log::start();
    let status = answer(cli.command);
    let _ = io::stdout().flush();
    // Not by returning: libtorch would first take its operators apart one by one, for a tenth of a second. All
    // that was begun here is finished by now.
    signal_hook::low_level::exit(status.into())
}

/// Does what was typed; answers with the exit status.
fn answer(command: Command) -> u8 {
    match command {
        Command::Run { spec, runs } => run_command(&spec, &runs),
        Command::Check { spec, explain } => match read(&spec) {
            Ok((resolved, _)) if explain => say(&resolved.to_toml()),
            Ok(_) => say(&format!("{} is a good spec.\n", spec.file.display())),
            Err(status) => status,
        },
        Command::Bench { spec, steps, warm_up, json } => {
            bench_command(&spec, json, |stop| bench::Request { warm_up, steps, stop })
        }
        Command::Plugins { what: None, path } => listing::answer(&PluginFiles::scan(&path, &host_identity())),
        Command::Plugins { what: Some(PluginsCommand::Show { name }), path } => {
            show_plugin(&Catalogue::scan(&path), &name)
        }
    }
}

/// Prints an answer that is there in full; whoever reads it may have seen enough.
fn say(text: &str) -> u8 {
    let _ = io::stdout().write_all(text.as_bytes());
    0
}

fn bench_command(args: &SpecArgs, json: bool, request: impl FnOnce(&Stop) -> bench::Request<'_>) -> u8 {
    let (spec, catalogue) = match read(args) {
        Ok(read) => read,
        Err(status) => return status,
    };
    let prepared = match Prepared::new(&spec, &catalogue) {
        Ok(prepared) => prepared,
        Err(e) => return failed(&e.to_string()),
    };
    // What was recorded until then does not stay behind.
    let stop = match Stop::on_signals() {
        Ok(stop) => stop,
        Err(e) => return failed(&format!("signals cannot be listened to: {e}")),
    };
    match bench::measure(&spec, &prepared, &request(&stop)) {
        Ok(report) if json => match serde_json::to_string(&report) {
            Ok(text) => say(&format!("{text}\n")),
            Err(e) => failed(&e.to_string()),
        },
        Ok(report) => say(&report.to_string()),
        Err(e) => {
            let status = failed(&format!("{e:#}"));
            if stop.wanted() { 130 } else { status }
        }
    }
}

fn run_command(args: &SpecArgs, runs: &Path) -> u8 {
    let outcome = (|| {
        let (spec, catalogue) = read(args)?;
        let output =
            own_stdout(&spec).map_err(|e| failed(&format!("standard output cannot be used: {e}")))?;
        let mut summary = output.try_clone().map_err(|e| failed(&e.to_string()))?;
        let stop = Stop::on_signals().map_err(|e| failed(&format!("signals cannot be listened to: {e}")))?;
        let run = || -> Result<Done, RunError> {
            let prepared = Prepared::new(&spec, &catalogue)?;
            let request = Request { spec_file: &args.file, runs, output, stop: &stop };
            run::run(&spec, &prepared, request)
        };
        let done = run().map_err(|e| failed(&e.to_string()))?;
        // Whoever reads the output may have gone; the run is done all the same.
        let _ = write_summary(&mut summary, &done);
        Ok(if done.stopped { 130 } else { 0 })
    })();
    outcome.unwrap_or_else(|status: u8| status)
}

/// Keeps what plugins print out of standard output, where that is possible.
fn own_stdout(spec: &Spec) -> io::Result<File> {
    let on_print = match spec.plugins.stdout {
        spec::PluginStdout::Fail => OnPrint::Fail,
        spec::PluginStdout::Log => OnPrint::Log,
    };
    capture_stdout(on_print).or_else(|e| {
        tracing::warn!("what plugins print cannot be kept apart: {e}");
        Ok(File::from(io::stdout().as_fd().try_clone_to_owned()?))
    })
}

fn failed(message: &str) -> u8 {
    eprintln!("error: {message}");
    1
}

fn write_summary(to: &mut impl Write, done: &Done) -> io::Result<()> {
    let how = if done.stopped { "Stopped" } else { "Finished" };
    let rate = done.steps as f64 / done.seconds.max(1e-9);
    writeln!(to, "{how} after {} steps in {:.1} s ({rate:.0} steps/s).", done.steps, done.seconds)?;
    let shown: Vec<_> = ["loss", "error", "error_last", "error_mean", "skill", "score"]
        .iter()
        .filter_map(|name| done.last.iter().find(|(n, _)| n == name))
        .map(|(name, value)| format!("{name} {value:.4}"))
        .collect();
    if !shown.is_empty() {
        writeln!(to, "Last recorded: {}.", shown.join(", "))?;
    }
    writeln!(to, "Everything is in {}", done.directory.path().display())
}

fn show_plugin(catalogue: &Catalogue, name: &str) -> u8 {
    let mut text = String::new();
    for found in catalogue.found().iter().filter(|f| f.listed.name == name) {
        let l = &found.listed;
        let (kind, file) = (l.kind.name(), found.file.display());
        text += &format!("{kind} {} {}\n{}\n{file}\n\n", l.name, l.version, l.description);
        match catalogue.schema(l.kind, &l.name) {
            Ok(schema) => text += &spec::options_table(&schema),
            Err(e) => return failed(&e),
        }
    }
    if text.is_empty() {
        let names: Vec<_> = spec::KINDS.into_iter().flat_map(|k| catalogue.names(k)).collect();
        return failed(&format!("there is no plugin '{name}'; there are {}", names.join(", ")));
    }
    say(&text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use efference_engine::plugins::this_host;

    /// `efference` lists the plugins in place of the host, so it must take itself for the same.
    #[test]
    fn both_programs_would_load_the_same_plugins() {
        assert_eq!(host_identity(), this_host());
    }
}

//! Measures what efference promises of its speed: one line a row, with its target, `ok` or `short`.
//!
//! `efference-bench [--json] [ROW …]` measures all rows or those named; `efference-bench --peer PYTHON` measures the same agent
//! in plain PyTorch beside ours. `efference-bench --plot FILE.svg` measures how
//! the time of a step grows with the state, and draws it. The machine should have nothing else to do.
#![allow(clippy::print_stdout)] // tables on standard output are what it is for

mod agents;
mod company;
mod measure;
mod noise;
mod peer;
mod plot;
mod rows;
mod small;
mod table;

use clap::Parser;
use clap::builder::PossibleValuesParser;
use efference_engine::plugins::Registry;
use efference_sdk::{Result, ensure};
use measure::Bench;
use rows::ALL;
use serde_json::Value;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Measures what efference promises of its speed. The machine should have nothing else to do.
#[derive(Parser)]
#[command(name = "efference-bench")]
struct Arguments {
    /// Rows to measure [default: all of them]
    #[arg(value_name = "ROW", value_parser = PossibleValuesParser::new(ALL.map(|(name, _)| name)))]
    rows: Vec<String>,
    /// Print the rows as JSON
    #[arg(long)]
    json: bool,
    /// Measure no rows but the time of a step for states of many sizes, and draw it; the numbers go to FILE.json
    #[arg(long, value_name = "FILE.svg", conflicts_with_all = ["rows", "json"])]
    plot: Option<PathBuf>,
    /// Measure no rows but how long the same agent takes in plain PyTorch, by turns with ours: a Python that has torch
    #[arg(long, value_name = "PYTHON", conflicts_with_all = ["rows", "plot"])]
    peer: Option<PathBuf>,
    /// Measure nothing, and draw the numbers in this file again
    #[arg(long, value_name = "FILE.json", requires = "plot")]
    from: Option<PathBuf>,
}

fn main() -> std::process::ExitCode {
    // As `efference` does it. It counts when libtorch is loaded, so this program begins once more.
    if let Ok(own) = std::env::current_exe() {
        let mut again = Command::new(own);
        if efference_cli::engine::prepare(&mut again) {
            let error = again.args(std::env::args_os().skip(1)).exec();
            eprintln!("warning: threads and memory are as they are by default: {error}");
        }
    }
    match run(&Arguments::parse()) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e:#}");
            std::process::ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    efference_engine::run::memory::keep();
    let files = arguments.plot.as_deref().map(plot::Files::new).transpose()?;
    if let (Some(files), Some(numbers)) = (&files, &arguments.from) {
        return files.draw(&plot::Plot::read(numbers)?);
    }
    let directory = tempfile::tempdir()?;
    let registry = Registry::scan(&[]);
    let bench = Bench { registry: &registry, directory: directory.path() };
    match files {
        Some(files) => files.keep(&plot::measure(&bench)?),
        None => measure_rows(&bench, arguments),
    }
}

/// Each kind of rows in a process of its own, so that none finds the memory and the threads of another one.
fn measure_rows(bench: &Bench<'_>, Arguments { rows, json, peer, .. }: &Arguments) -> Result<()> {
    let wanted = || ALL.iter().filter(|(name, _)| rows.is_empty() || rows.iter().any(|w| w == name));
    let mut all = Vec::new();
    let here = match (peer, &wanted().collect::<Vec<_>>()[..]) {
        (Some(python), _) => Some(peer::peer(bench, python)?),
        (None, [(_, measure)]) => Some(measure(bench)?),
        (None, _) => None,
    };
    if let Some(rows) = here {
        for row in rows {
            if !json {
                println!("{}", row.line());
            }
            all.push(row.json());
        }
    } else {
        for (name, _) in wanted() {
            let mut command = Command::new(std::env::current_exe()?);
            command.arg(name).args(json.then_some("--json"));
            let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
            ensure!(output.status.success(), "the rows '{name}' could not be measured: {}", output.status);
            match json {
                true => all.extend(serde_json::from_slice::<Vec<Value>>(&output.stdout)?),
                false => print!("{}", String::from_utf8_lossy(&output.stdout)),
            }
        }
    }
    if *json {
        println!("{}", serde_json::to_string_pretty(&all)?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn what_cannot_go_together_is_refused() {
        let refused = |words: &[&str]| {
            let words = ["efference-bench"].iter().chain(words);
            Arguments::try_parse_from(words).err().map(|e| e.to_string()).unwrap_or_default()
        };
        assert_eq!(refused(&["--json", "growth", "streams"]), "");
        assert_eq!(refused(&["--plot", "a.svg", "--from", "a.json"]), "");
        assert!(refused(&["--plot", "a.svg", "--json"]).contains("cannot be used with"));
        assert!(refused(&["--peer", "python3", "growth"]).contains("cannot be used with"));
        assert!(refused(&["--plot", "a.svg", "growth"]).contains("cannot be used with"));
        assert!(refused(&["--from", "a.json"]).contains("--plot"));
        assert!(refused(&["grwth"]).contains("growth"));
    }
}

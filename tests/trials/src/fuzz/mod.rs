//! Hostile inputs for everything that efference reads: specs, libraries, records of runs, protocols.
//!
//! Real inputs (the files in `corpus/`, and what the program itself writes) are changed at random, and each must be read
//! or refused: without a panic, in little time and memory, and with an answer that is right. It needs nothing but stable
//! Rust. There is no coverage to guide it; instead, each target knows the words of its format, and puts right what would
//! hide the rest, such as a checksum.
#![allow(clippy::print_stdout)] // what was tried and what failed is the command's answer

mod campaign;
mod memory;
mod minimise;
mod mutate;
mod target;
mod worker;

pub use target::{
    Entry, Failure, Made, Make, Scratch, Target, entry, equal, files, holds, is_plain, make_directory, write,
};

use campaign::{Campaign, again};
use clap::Parser;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use std::{env, fs, thread};
use worker::{Order, work};

/// Tries hostile inputs on everything that efference reads.
#[derive(Parser)]
#[command(name = "efference-fuzz")]
struct Arguments {
    /// Only these targets
    targets: Vec<String>,
    /// How long each target is tried
    #[arg(long, default_value_t = 10.0, value_name = "S")]
    seconds: f64,
    /// How many inputs of each target are tried at most
    #[arg(long, value_name = "N")]
    runs: Option<u64>,
    /// The same seed makes the same inputs
    #[arg(long, default_value_t = 1, value_name = "K")]
    seed: u64,
    /// Try this one input of one target
    #[arg(long, value_name = "FILE", conflicts_with = "runs")]
    input: Option<PathBuf>,
    /// How many targets are tried at once [default: as many as there are cores]
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// How long an input that ends its process is made smaller
    #[arg(long, default_value_t = 30, value_name = "S")]
    minimise: u64,
    /// Where failing inputs go [default: target/fuzz]
    #[arg(long, value_name = "DIR")]
    failures: Option<PathBuf>,
    /// List the targets
    #[arg(long)]
    list: bool,
    /// Try one target in this process, and report into this directory
    #[arg(long, hide = true)]
    worker: Option<PathBuf>,
}

/// What a program of targets does: its `main`.
pub fn main(table: &'static [Entry]) -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.list {
        table.iter().for_each(|entry| println!("{:<13} {}", entry.name, entry.reads));
        return ExitCode::SUCCESS;
    }
    let targets: Vec<&'static Entry> = match arguments.targets.as_slice() {
        [] => table.iter().collect(),
        names => {
            if let Some(unknown) = names.iter().find(|name| table.iter().all(|entry| entry.name != **name)) {
                let known: Vec<&str> = table.iter().map(|entry| entry.name).collect();
                eprintln!("error: there is no target '{unknown}'; there are: {}", known.join(", "));
                return ExitCode::FAILURE;
            }
            table.iter().filter(|entry| names.iter().any(|name| name == entry.name)).collect()
        }
    };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let Arguments { seed, seconds, runs, input, jobs, worker, .. } = arguments;
    let minimise = Duration::from_secs(arguments.minimise);
    let failures = arguments.failures.unwrap_or_else(failures);
    let jobs = jobs.unwrap_or(cores);
    match (worker, input, targets.as_slice()) {
        (Some(scratch), input, [entry]) => {
            work(entry, &Order { seed, seconds, runs, input, scratch });
            ExitCode::SUCCESS
        }
        (None, Some(path), [entry]) => one_input(entry, &path),
        (None, None, targets) => {
            let campaign = Campaign { seed, seconds, runs, jobs, minimise, failures };
            if campaign.run(targets) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        _ => {
            eprintln!("error: name one target, to which the input belongs");
            ExitCode::FAILURE
        }
    }
}

fn one_input(entry: &'static Entry, path: &std::path::Path) -> ExitCode {
    let input = match fs::read(path) {
        Ok(input) => input,
        Err(e) => {
            eprintln!("error: cannot read {}: {e}", path.display());
            return ExitCode::FAILURE;
        }
    };
    match again(entry, &input) {
        None => {
            println!("{}: {} is read or refused as it should be", entry.name, path.display());
            ExitCode::SUCCESS
        }
        Some(what) => {
            println!("{}: {what}", entry.name);
            ExitCode::FAILURE
        }
    }
}

/// `fuzz/` beside the directory of this program, which is cargo's `target`.
fn failures() -> PathBuf {
    let own = env::current_exe().unwrap_or_default();
    own.parent().and_then(|profile| profile.parent()).map_or_else(env::temp_dir, Into::into).join("fuzz")
}

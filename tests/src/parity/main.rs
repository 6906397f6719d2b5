//! `efference-parity [DIR]`: compares the plugins with the numbers under DIR, and says how many cases passed.
//!
//! What the folders hold and mean is said in `tests/parity/README.md`.

mod agent;
mod case;
mod gradmax;
mod network;
mod parts;
mod report;

use efference_sdk::{Result, ResultExt, bail};
use parts::Parts;
use report::Report;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The cases that belong to this project.
const OWN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/parity");

#[allow(clippy::print_stdout)] // what passed and what failed is the command's answer
fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let directory = PathBuf::from(arguments.next().unwrap_or_else(|| OWN.into()));
    if arguments.next().is_some() || directory.as_os_str().to_string_lossy().starts_with('-') {
        eprintln!(
            "Usage: efference-parity [DIR]\n\nCompares the plugins with the numbers under DIR (default: {OWN})."
        );
        return ExitCode::from(2);
    }
    let files = match files_under(&directory) {
        Ok(files) if files.is_empty() => {
            eprintln!("There is no .safetensors file in a folder under {}.", directory.display());
            return ExitCode::FAILURE;
        }
        Ok(files) => files,
        Err(error) => {
            eprintln!("{error:#}");
            return ExitCode::FAILURE;
        }
    };
    let ways = Parts::ways();
    let (mut passed, mut failed) = (0, 0);
    for file in files {
        let name = file.strip_prefix(&directory).unwrap_or(&file).with_extension("");
        let (summary, failures) = match check_all_ways(&file, &ways) {
            Ok(report) => (report.summary(), report.failures().to_vec()),
            Err(error) => ("could not be checked".to_owned(), vec![format!("{error:#}")]),
        };
        let verdict = if failures.is_empty() { "ok  " } else { "FAIL" };
        println!("{verdict} {:<32} {summary}", name.display());
        for failure in &failures {
            println!("       {failure}");
        }
        if failures.is_empty() { passed += 1 } else { failed += 1 }
    }
    println!("{passed} passed, {failed} failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// All files of numbers in the folder and those within, sorted.
fn files_under(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let entries =
        std::fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(files_under(&path)?);
        } else if path.extension().is_some_and(|e| e == "safetensors") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Checks one file in each of the ways in which its numbers can be computed.
fn check_all_ways(file: &Path, ways: &[Parts]) -> Result<Report> {
    let mut all = Report::new(0.0);
    for parts in ways {
        all.add(check(file, parts).with_context(|| format!("({})", parts.way()))?, &parts.way());
    }
    Ok(all)
}

/// Checks one file, by what its folder is called.
fn check(file: &Path, parts: &Parts) -> Result<Report> {
    let folder =
        file.canonicalize()?.parent().and_then(Path::file_name).map(|n| n.to_string_lossy().into_owned());
    let case = case::Case::read(file)?;
    let mut report = match folder.as_deref() {
        Some("ldl") => network::layer(&case, parts),
        Some("stack") => network::stack(&case, parts),
        Some("mgu") => network::cell(&case, parts),
        Some("split") => network::split(&case, parts),
        Some("gradmax") => gradmax::gradmax(&case, parts),
        Some("agent") => agent::agent(&case, parts),
        _ => bail!(
            "no check goes by the name of the folder '{}'; there are ldl, stack, mgu, split, gradmax and agent",
            folder.unwrap_or_default()
        ),
    }?;
    let unused = case.unused();
    if !unused.is_empty() {
        let more = if unused.len() > 4 { format!(" and {} more", unused.len() - 4) } else { String::new() };
        report.fail(format!(
            "the file has more than this check knows: {}{more}",
            unused[..unused.len().min(4)].join(", ")
        ));
    }
    if report.compared() == 0 {
        report.fail("the file holds no number to compare with");
    }
    Ok(report)
}

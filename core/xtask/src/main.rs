//! `cargo xtask …`: the set-up, build, test and bench of efference on a machine that has only Rust, a C++
//! compiler and Python's pip. Nothing here links libtorch: this is the program that fetches it.

mod browser;
mod cargo;
mod commands;
mod error;
mod libtorch;
mod packages;
mod places;
mod plugins;
mod python;
mod report;
mod spec;
mod tidy;

use clap::builder::PossibleValuesParser;
use clap::{Parser, Subcommand};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

/// Sets efference up, builds it, and runs, tests or measures it.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Find libtorch, or fetch it, and point this clone at it; every other command does this first
    ///
    /// The order: LIBTORCH if it is set; what this clone was set up with before; the user's cache folder;
    /// else PyTorch's wheel by pip.
    Setup(SetUp),
    /// Build the host and the plugins (release profile)
    Build,
    /// Build the host and the plugins that an experiment names, then run it: `cargo xtask run experiments/first-light.toml`
    Run {
        /// The experiment, a TOML file
        spec: PathBuf,
        /// Passed on to `efference run` as they are
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
        rest: Vec<OsString>,
    },
    /// Build, then run every test, doc tests and parity cases included
    Test {
        /// Run only the tests whose name contains this (and no parity cases)
        filter: Option<String>,
    },
    /// Build, then compare with the expected numbers of every parity case under a folder
    Parity {
        /// [default: tests/parity of this workspace]
        folder: Option<PathBuf>,
    },
    /// Build, then run the benches
    Bench {
        /// Passed on to `efference-bench` as they are
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
        rest: Vec<OsString>,
    },
    /// Build, then try hostile inputs on everything that efference reads: `cargo xtask fuzz specs --seconds 60`
    Fuzz {
        /// Passed on to `efference-fuzz` as they are
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
        rest: Vec<OsString>,
    },
    /// Build, then disturb runs of the real program, and check what becomes of them: `cargo xtask chaos --seconds 60`
    Chaos {
        /// Passed on to `efference-chaos` as they are
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
        rest: Vec<OsString>,
    },
    /// Build the documentation; warnings are errors
    Docs,
    /// Check what neither rustfmt nor clippy looks at: words, lengths, circles, dead items, `use`, documents, the book, the boundary
    Tidy {
        /// Only these checks
        #[arg(value_parser = PossibleValuesParser::new(tidy::names()), value_name = "CHECK")]
        checks: Vec<String>,
        /// Rewrite the `use` lines that are in another style, and append what is new to the layout of the boundary
        #[arg(long)]
        fix: bool,
    },
}

#[derive(clap::Args)]
struct SetUp {
    /// Take a libtorch that can use an NVIDIA GPU (default: if an NVIDIA driver is found)
    #[arg(long, conflicts_with = "cpu")]
    cuda: bool,
    /// Take the smaller libtorch that knows the CPU alone
    #[arg(long)]
    cpu: bool,
    /// Fetch libtorch again even if the cache has it
    #[arg(long)]
    force: bool,
}

fn main() -> ExitCode {
    let task = Arguments::parse().command;
    let outcome = places::Places::find().and_then(|places| match task {
        Task::Setup(SetUp { cuda, cpu, force }) => commands::set_up(&places, cuda, cpu, force),
        Task::Build => commands::build(&places),
        Task::Run { spec, rest } => commands::run(&places, &spec, &rest),
        Task::Test { filter } => commands::test(&places, filter.as_deref()),
        Task::Parity { folder } => commands::parity(&places, folder),
        Task::Bench { rest } => commands::program(&places, "efference-bench", &rest),
        Task::Fuzz { rest } => commands::program(&places, "efference-fuzz", &rest),
        Task::Chaos { rest } => commands::program(&places, "efference-chaos", &rest),
        Task::Docs => commands::docs(&places),
        Task::Tidy { checks, fix } => tidy::run(&places, &checks, fix),
    });
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
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
    fn options_after_the_spec_belong_to_efference() {
        let line = ["cargo xtask", "run", "spec.toml", "--set", "trainer.unroll_length=1", "--help"];
        let Task::Run { spec, rest } = Arguments::try_parse_from(line).unwrap().command else {
            panic!("not run")
        };
        assert_eq!(spec, PathBuf::from("spec.toml"));
        assert_eq!(rest, ["--set", "trainer.unroll_length=1", "--help"]);
    }
}

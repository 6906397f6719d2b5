//! Runs of the real program under disturbances of every kind: killed, stopped, out of room, with nobody to listen.
//!
//! Each trial is a small run that is disturbed once to a few times, each time goes on from its last checkpoint, and at last
//! comes to its end. Then it must be the run that nobody disturbed, bit for bit, and nothing of it may be left behind. The
//! choices follow from the seed; the moments at which they fall depend on the machine, so that a failure is not sure to
//! come again.
#![allow(clippy::print_stdout)] // what was done and what failed is the command's answer

mod check;
mod disturb;
mod processes;
mod session;
mod trial;

use clap::Parser;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs, thread};
use trial::{Counts, Undisturbed, possible, trial};

/// Disturbs runs of the real program, and checks what becomes of them.
#[derive(Parser)]
#[command(name = "efference-chaos")]
struct Arguments {
    /// Only disturbances whose name contains one of these
    kinds: Vec<String>,
    /// How long trials are begun
    #[arg(long, default_value_t = 60, value_name = "S")]
    seconds: u64,
    /// The same seed makes the same choices
    #[arg(long, default_value_t = 1, value_name = "K")]
    seed: u64,
    /// Only the trial of this number
    #[arg(long, value_name = "N")]
    trial: Option<u64>,
    /// How many trials go on at once [default: as many as there are cores]
    #[arg(long, value_name = "N")]
    jobs: Option<u64>,
    /// Goes on after a failure
    #[arg(long)]
    keep_going: bool,
    /// Whether this process has mounts of its own
    #[arg(long, hide = true)]
    apart: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if !arguments.apart {
        become_apart();
    }
    let place = match tempfile::Builder::new().prefix("efference-chaos-").tempdir() {
        Ok(place) => place,
        Err(e) => {
            eprintln!("error: there is no room for trials: {e}");
            return ExitCode::FAILURE;
        }
    };
    let program = session::program().unwrap_or_default();
    if !program.is_file() {
        eprintln!("error: there is no {}; `cargo xtask build` makes it", program.display());
        return ExitCode::FAILURE;
    }
    let good = run(&arguments, place.path());
    if !good {
        println!("what is left of trials that failed: {}", place.keep().display());
    }
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Becomes this program in a mount namespace of its own, so that small disks can be mounted, and go with it however it ends.
/// Returns if that can't be done.
fn become_apart() {
    let can = Command::new("unshare").args(["--mount", "--propagation", "private", "true"]).output();
    if let (true, Ok(own)) = (can.is_ok_and(|output| output.status.success()), env::current_exe()) {
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--propagation", "private"])
            .arg(own)
            .args(env::args_os().skip(1))
            .arg("--apart");
        // It returns only if it fails; then there are no small disks.
        let _ = command.exec();
    }
}

/// Whether a small disk can be mounted.
fn has_small_disks(place: &Path) -> bool {
    let at = place.join("try");
    let mount = |command: &mut Command| command.output().is_ok_and(|output| output.status.success());
    fs::create_dir(&at).is_ok()
        && mount(Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(&at))
        && mount(Command::new("umount").arg(&at))
}

fn run(arguments: &Arguments, place: &Path) -> bool {
    let began = Instant::now();
    let disk = arguments.apart && has_small_disks(place);
    let (kinds, skipped) = possible(disk, &arguments.kinds);
    skipped.iter().for_each(|line| println!("{line}"));
    if kinds.is_empty() {
        println!("no disturbance has such a name");
        return false;
    }
    let cores = thread::available_parallelism().map_or(1, usize::from) as u64;
    let jobs = if arguments.trial.is_some() { 1 } else { arguments.jobs.unwrap_or(cores) };
    let (next, good) = (AtomicU64::new(arguments.trial.unwrap_or(0)), AtomicBool::new(true));
    let (undisturbed, counts) = (Undisturbed::new(place.to_owned()), Mutex::new(Counts::default()));
    let goes_on = || {
        (arguments.keep_going || good.load(Ordering::Relaxed))
            && began.elapsed() < Duration::from_secs(arguments.seconds)
    };
    thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while goes_on() {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if arguments.trial.is_some_and(|only| only != number) {
                        break;
                    }
                    let own = place.join(format!("trial-{number}"));
                    match trial(number, arguments.seed, &kinds, &own, &undisturbed, &counts) {
                        Ok(()) => remove(&own),
                        Err(what) => {
                            good.store(false, Ordering::Relaxed);
                            println!(
                                "FAILED trial {number}: {what}\n   again: cargo xtask chaos --seed {} --trial {number}",
                                arguments.seed
                            );
                        }
                    }
                }
            });
        }
    });
    report(&counts.into_inner().unwrap_or_default(), began);
    good.into_inner()
}

/// Removes what a trial left: its directory, and the files beside it.
fn remove(own: &Path) {
    let _ = fs::remove_dir_all(own);
    let beside = own.file_name().map(|name| format!("{}.", name.to_string_lossy())).unwrap_or_default();
    for entry in own.parent().and_then(|parent| fs::read_dir(parent).ok()).into_iter().flatten().flatten() {
        let path: PathBuf = entry.path();
        if entry.file_name().to_string_lossy().starts_with(&beside) {
            let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path));
        }
    }
}

fn report(counts: &Counts, began: Instant) {
    println!("{:<28} {:>7} {:>9}", "disturbance", "times", "too late");
    for (name, (times, late)) in &counts.done {
        println!("{name:<28} {times:>7} {late:>9}");
    }
    println!(
        "{} trials, {} runs; {} records checked; {} brought to their end, {} of them compared bit for bit with a run that \
         nobody disturbed; {} s",
        counts.trials,
        counts.runs,
        counts.records,
        counts.resumed,
        counts.compared,
        began.elapsed().as_secs()
    );
}

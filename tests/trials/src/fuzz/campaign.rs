//! Tries targets side by side, each in a process of its own: an input may end that process, or hold it for ever.
use super::minimise::minimise;
use super::target::{Entry, Made, make_directory, write};
use super::worker::{CURRENT, REPORT, Report, Tally, VERDICT};
use efference_runs::{Bytes, Grouped};
use sha2::{Digest, Sha256};
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use std::{env, thread};

/// What all targets have in common.
pub(crate) struct Campaign {
    pub(crate) seed: u64,
    pub(crate) seconds: f64,
    pub(crate) runs: Option<u64>,
    pub(crate) jobs: usize,
    /// How long an input that ends its process is made smaller: each try is a process.
    pub(crate) minimise: Duration,
    /// Where failing inputs go.
    pub(crate) failures: PathBuf,
}

impl Campaign {
    /// Tries all of them; returns whether nothing failed.
    pub(crate) fn run(&self, targets: &[&'static Entry]) -> bool {
        let (next, good, output) = (AtomicUsize::new(0), AtomicBool::new(true), Mutex::new(()));
        thread::scope(|scope| {
            for _ in 0..self.jobs.min(targets.len()) {
                scope.spawn(|| {
                    while let Some(entry) = targets.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let (text, fine) = self.one(entry);
                        good.fetch_and(fine, Ordering::Relaxed);
                        let _turn = output.lock();
                        println!("{text}");
                    }
                });
            }
        });
        good.into_inner()
    }

    /// Tries one target; returns what is to be printed, and whether nothing failed.
    fn one(&self, entry: &'static Entry) -> (String, bool) {
        let mut order: Vec<OsString> = ["--seed", &self.seed.to_string()].map(OsString::from).into();
        order.extend(["--seconds", &self.seconds.to_string()].map(OsString::from));
        order.extend(self.runs.iter().flat_map(|runs| ["--runs".into(), runs.to_string().into()]));
        let scratch = match scratch() {
            Ok(scratch) => scratch,
            Err(e) => return (format!("{:<13} FAILED: no room to write: {e}", entry.name), false),
        };
        let name = entry.name;
        match tried(entry, &order, scratch.path()) {
            Tried::Reported(Report::Skipped(why)) => (format!("{name:<13} SKIPPED: {why}"), true),
            Tried::Reported(Report::Done(tally)) => (format!("{name:<13} {}", said(&tally)), true),
            Tried::Reported(Report::Failed(tally, what)) => {
                let input = fs::read(scratch.path().join(CURRENT)).unwrap_or_default();
                let after = format!("after {} inputs", Grouped(tally.inputs));
                (self.failure(name, &format!("{after}: {what}"), &input), false)
            }
            Tried::Died(what) => {
                let input = fs::read(scratch.path().join(CURRENT)).unwrap_or_default();
                let small = minimise(
                    input,
                    self.minimise,
                    |rest| matches!(again(entry, rest), Some(other) if kind(&other) == kind(&what)),
                );
                (self.failure(name, &what, &small), false)
            }
        }
    }

    /// Saves the input, and says what it shows and how to see it again.
    fn failure(&self, name: &str, what: &str, input: &[u8]) -> String {
        let hash: String = Sha256::digest(input).iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        let path = self.failures.join(format!("{name}-{hash}"));
        make_directory(&self.failures);
        write(&path, input);
        format!(
            "{name:<13} FAILED {what}\n{:14}the input: {} ({} bytes); seed {}\n{:14}again: cargo xtask fuzz {name} \
             --input {}\n{:14}when it is mended, move the input to tests/trials/corpus/{name}/",
            "",
            path.display(),
            input.len(),
            self.seed,
            "",
            path.display(),
            ""
        )
    }
}

/// What became of a process that tried a target.
enum Tried {
    Reported(Report),
    /// How it ended.
    Died(String),
}

/// One input of a target, in a process of its own; returns what fails.
pub(crate) fn again(entry: &'static Entry, input: &[u8]) -> Option<String> {
    let scratch = scratch().ok()?;
    let path = scratch.path().join("input");
    write(&path, input);
    match tried(entry, &["--input".into(), path.into()], scratch.path()) {
        Tried::Reported(Report::Done(_)) => None,
        Tried::Reported(Report::Failed(_, what))
        | Tried::Reported(Report::Skipped(what))
        | Tried::Died(what) => Some(what),
    }
}

fn tried(entry: &'static Entry, order: &[OsString], scratch: &Path) -> Tried {
    let run = || {
        let own = env::current_exe()?;
        let own = match entry.made {
            Made::Here(_) => own,
            Made::By(program) => own.with_file_name(program),
        };
        let errors = File::create(scratch.join("stderr"))?;
        let mut command = Command::new(own);
        command.arg(entry.name).args(order).arg("--worker").arg(scratch);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors).status()
    };
    let status = match run() {
        Ok(status) => status,
        Err(e) => return Tried::Died(format!("it cannot be started: {e}")),
    };
    let report = fs::read(scratch.join(REPORT)).ok().and_then(|text| serde_json::from_slice(&text).ok());
    if let (true, Some(report)) = (status.success(), report) {
        return Tried::Reported(report);
    }
    let verdict =
        fs::read_to_string(scratch.join(VERDICT)).unwrap_or_else(|_| format!("the process ended: {status}"));
    let errors = fs::read(scratch.join("stderr")).unwrap_or_default();
    let errors = String::from_utf8_lossy(&errors).trim().chars().take(500).collect::<String>();
    Tried::Died(if errors.is_empty() { verdict } else { format!("{verdict}: {errors}") })
}

/// What is the same for each input that shows the same fault.
fn kind(what: &str) -> &str {
    what.split(':').next().unwrap_or(what)
}

/// In memory, where there is such a place: targets write files by the thousand a second.
fn scratch() -> std::io::Result<tempfile::TempDir> {
    let memory = Path::new("/dev/shm");
    let place = tempfile::Builder::new().prefix("efference-fuzz-").tempdir_in(memory);
    place.or_else(|_| tempfile::Builder::new().prefix("efference-fuzz-").tempdir())
}

fn said(tally: &Tally) -> String {
    format!(
        "{:>10} inputs, {:>10} accepted, in {:.1} s; slowest {:.1} ms, most memory {}",
        Grouped(tally.inputs).to_string(),
        Grouped(tally.accepted).to_string(),
        tally.seconds,
        1e3 * tally.slowest,
        Bytes(tally.memory as f64)
    )
}

//! One trial: a run that is disturbed, goes on, is disturbed again, and at last is brought to its end.
use crate::check;
use crate::disturb::Disturbance::{DiskFull, DiskFullForAWhile, FileLimit, FileRemoved};
use crate::disturb::{self, ALL, Disturbance, Expected};
use crate::session::{Ended, Output, Session};
use efference_runs::directory::{Ending, RunDirectory};
use fastrand::Rng;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::{fs, io};

/// Room of a small disk: enough for a run that is not disturbed.
const DISK: &str = "size=24m";

/// How many different experiments there are.
const VARIANTS: u64 = 6;

/// Runs that nobody disturbs, to compare with: one an experiment.
pub(crate) struct Undisturbed {
    directory: PathBuf,
    made: [Mutex<Option<Arc<RunDirectory>>>; VARIANTS as usize],
}

/// What is counted.
#[derive(Default)]
pub(crate) struct Counts {
    /// By kind of disturbance: how often it was done, and how often the run had ended before.
    pub(crate) done: BTreeMap<String, (u64, u64)>,
    pub(crate) trials: u64,
    /// How often the program was started.
    pub(crate) runs: u64,
    pub(crate) resumed: u64,
    pub(crate) compared: u64,
    pub(crate) records: u64,
}

/// A small experiment. Which one it is decides all that its numbers depend on.
fn spec(variant: u64) -> (String, u64) {
    let mut random = Rng::with_seed(variant);
    let steps = random.u64(4..20) * 100;
    let layer = ["dense", "ldl"][random.usize(..2)];
    let goal = ["predict", "maximize"][random.usize(..2)];
    let world = ["bounce", "catch"][random.usize(..2)];
    let text = format!(
        "name = \"chaos\"\nseed = {}\nsteps = {steps}\ndevice = \"cpu\"\nthreads = 1\n[environment]\nplugin = \"worlds\"\n\
         world = \"{world}\"\n[state]\nsize = {}\n[layer]\nplugin = \"{layer}\"\n[trainer]\nplugin = \"bptt\"\nunroll_length = {}\n\
         [goal]\nplugin = \"{goal}\"\n[record]\nevery = {}\npictures_every = {}\nconsole_every_seconds = 0.01\n[checkpoint]\nevery = {}\n",
        variant + 1,
        [160, 192, 256][random.usize(..3)],
        random.u64(1..4),
        random.u64(1..6),
        random.u64(20..100),
        random.u64(3..40),
    );
    (text, steps)
}

impl Undisturbed {
    pub(crate) fn new(directory: PathBuf) -> Self {
        Undisturbed { directory, made: Default::default() }
    }

    fn of(&self, variant: u64) -> Result<Arc<RunDirectory>, String> {
        let mut made = self.made[variant as usize].lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(run) = &*made {
            return Ok(Arc::clone(run));
        }
        let place = self.directory.join(format!("undisturbed-{variant}"));
        let mut session =
            prepare(&place, variant, &format!("undisturbed-{variant}")).map_err(|e| e.to_string())?;
        let ended =
            start(&mut session, Output::File, None)?.wait().ok_or("an undisturbed run does not end")?;
        let run = session.run().filter(|_| ended.status.success());
        let run = Arc::new(run.ok_or_else(|| format!("an undisturbed run fails: {ended}"))?);
        *made = Some(Arc::clone(&run));
        Ok(run)
    }
}

fn prepare(place: &Path, variant: u64, mark: &str) -> io::Result<Session> {
    let session = Session::new(place.to_owned(), mark.to_owned());
    fs::create_dir_all(place)?;
    fs::create_dir_all(session.temporary())?;
    fs::write(place.join("spec.toml"), spec(variant).0)?;
    Ok(session)
}

fn start(
    session: &mut Session,
    output: Output,
    limit: Option<u64>,
) -> Result<crate::session::Started, String> {
    let runs = session.runs.display().to_string();
    let directory = session.directory();
    let resumes = directory.join("spec.toml").exists();
    if !resumes {
        // Killed while it was made, it is no run yet.
        let _ = fs::remove_dir_all(&directory);
    }
    let directory = directory.display().to_string();
    let arguments = match resumes {
        true => vec!["resume", &directory],
        false => vec!["run", "spec.toml", "--id", "a", "--runs", &runs],
    };
    session.start(&arguments, output, limit).map_err(|e| format!("the program can't be started: {e}"))
}

/// Does the trial of a number, in a directory that is not there yet.
///
/// # Errors
/// What was not as it must be, with what was done until then.
pub(crate) fn trial(
    number: u64,
    seed: u64,
    kinds: &[Disturbance],
    place: &Path,
    undisturbed: &Undisturbed,
    counts: &Mutex<Counts>,
) -> Result<(), String> {
    let mut random = Rng::with_seed(seed.wrapping_mul(1_000_003).wrapping_add(number));
    let variant = random.u64(..VARIANTS);
    let steps = spec(variant).1;
    let undisturbed = undisturbed.of(variant)?;
    let mut session = prepare(place, variant, &format!("{seed}-{number}-{}", std::process::id()))
        .map_err(|e| e.to_string())?;
    count(counts, |counts| counts.trials += 1);
    let mut history: Vec<String> = Vec::new();
    let (mut removed, mut full) = (false, false);
    let rounds: Vec<Disturbance> =
        (0..random.u32(1..5)).map(|_| kinds[random.usize(..kinds.len())]).collect();
    let disk = rounds.iter().any(|kind| kind.needs_small_disk());
    if disk {
        let runs = place.with_extension("disk");
        fs::create_dir_all(&runs).map_err(|e| e.to_string())?;
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", DISK, "tmpfs"]).arg(&runs).status();
        mounted.ok().filter(|status| status.success()).ok_or("a small disk can't be made any more")?;
        session.runs = runs;
    }
    let mut finished = false;
    let result = rounds.into_iter().chain([Disturbance::Nothing]).try_for_each(|kind| {
        if finished {
            return Ok(());
        }
        history.push(kind.name());
        if !session.place.exists() {
            fs::create_dir_all(&session.place)
                .and_then(|()| fs::write(session.place.join("spec.toml"), spec(variant).0))
                .map_err(|e| e.to_string())?;
        }
        let before = session.run().and_then(|run| how_it_ended(&run));
        let (output, limit) = kind.start(&mut random);
        let mut started = start(&mut session, output, limit)?;
        count(counts, |counts| counts.runs += 1);
        let done = kind.apply(&mut session, &mut started, &mut random);
        let ended = started.wait();
        let whole = disturb::put_back(&session.runs);
        let Some(ended) = ended else {
            session.end_all();
            return Err("it does not end".to_owned());
        };
        count(counts, |counts| {
            let (times, late) = counts.done.entry(kind.name()).or_default();
            *(if done { times } else { late }) += 1;
        });
        check::alone(&session)?;
        whole?;
        let run = session.run();
        let mut expects = if done { kind.expected() } else { Expected::Finishes };
        if removed && expects == Expected::Finishes {
            expects = Expected::FinishesOrFails;
        }
        expected(expects, before, run.as_ref(), &ended)?;
        let Some(run) = run else { return Ok(()) };
        finished = run.end().is_ok_and(|end| end.is_some_and(|end| end.how == Ending::Finished));
        // What was removed may be gone, if that was said or came after the last look at it. Where nothing was said, it was
        // before the run had it open: then all of it is there.
        removed |= done
            && match kind {
                FileRemoved(name @ ("metrics.jsonl" | "fingerprints.bin")) => {
                    !ended.stderr.is_empty() || !run.path().join(name).exists()
                }
                FileRemoved(_) => true,
                _ => false,
            };
        // Pictures that a disk did not take are left out.
        full |= done && matches!(kind, DiskFull | DiskFullForAWhile | FileLimit);
        if !removed {
            check::record(&run)?;
            count(counts, |counts| counts.records += 1);
        }
        Ok(())
    });
    let result = result.and_then(|()| {
        let run = session.run().ok_or("there is no run at the end")?;
        count(counts, |counts| counts.resumed += 1);
        if removed {
            return Ok(());
        }
        check::tidy(&session, &run)?;
        count(counts, |counts| counts.compared += 1);
        check::same(&run, &undisturbed, steps, full)
    });
    session.end_all();
    if disk {
        if result.is_err() {
            // It goes with the disk otherwise.
            let _ = Command::new("cp").arg("-r").arg(&session.runs).arg(place.join("runs")).status();
        }
        let _ = Command::new("umount").arg(&session.runs).status();
    }
    result.map_err(|what| {
        format!("{what}\n   after: {}\n   experiment {variant}, {steps} steps", history.join(", "))
    })
}

fn count(counts: &Mutex<Counts>, change: impl FnOnce(&mut Counts)) {
    change(&mut counts.lock().unwrap_or_else(PoisonError::into_inner));
}

fn how_it_ended(run: &RunDirectory) -> Option<Ending> {
    run.end().ok().flatten().map(|end| end.how)
}

/// Whether what came is what may come; `before` is how the run had ended the time before.
fn expected(
    expected: Expected,
    before: Option<Ending>,
    run: Option<&RunDirectory>,
    ended: &Ended,
) -> Result<(), String> {
    let how = run.and_then(how_it_ended);
    // Asked to stop before it began, it leaves everything as it was.
    if expected == Expected::Stops && ended.by_signal() && ended.stdout.is_empty() && how == before {
        return Ok(());
    }
    // A run whose directory is not there yet or any more is not begun, and that is said.
    let refused = !ended.status.success() && ended.stdout.is_empty() && !ended.stderr.is_empty();
    if refused && (expected == Expected::FinishesOrFails || run.is_none()) {
        return Ok(());
    }
    let finished = || ended.status.success() && how == Some(Ending::Finished);
    let right = match expected {
        Expected::Finishes => finished(),
        // It may have come to its end before.
        Expected::Stops => finished() || how == Some(Ending::Stopped),
        Expected::Killed | Expected::Anything => true,
        Expected::FinishesOrFails => finished() || !ended.status.success(),
    };
    if !right {
        return Err(format!("{expected:?} was to come, and end.json says {how:?}: {ended}"));
    }
    match expected {
        Expected::Killed if ended.by_signal() => Ok(()),
        Expected::Anything => Ok(()),
        _ => check::end(run, ended),
    }
}

/// The kinds that can be tried, and a sentence a kind that can't be.
pub(crate) fn possible(disk: bool, names: &[String]) -> (Vec<Disturbance>, Vec<String>) {
    let named = |kind: &&Disturbance| {
        names.is_empty() || names.iter().any(|name| kind.name().contains(name.as_str()))
    };
    let (possible, rest) =
        ALL.iter().filter(named).partition::<Vec<_>, _>(|kind| disk || !kind.needs_small_disk());
    let why = |kind: &Disturbance| {
        format!(
            "SKIPPED: {}: no small disk can be made here (that takes root, `unshare` and `mount`)",
            kind.name()
        )
    };
    (possible, rest.iter().map(why).collect())
}

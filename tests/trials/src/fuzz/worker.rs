//! One target in this process: input after input, until one shows a fault or the time is over.
//!
//! The input that is tried stands in a file before it is tried, so that one which ends the process, or never returns, is
//! known to the process that started this one.
use super::memory::peak_of;
use super::minimise::minimise;
use super::mutate::mutate;
use super::target::{Entry, Failure, Made, Scratch, Target, write};
use fastrand::Rng;
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{env, fs, panic, process, thread};

/// What one input may take of the processor, in seconds; of the processor, so that other work on the machine is no fault.
const LIMIT: f64 = 1.0;
/// An input that takes this much of it does not return.
const HUNG: f64 = 5.0;
/// An input that takes this long does not return, whatever it waits for.
const WAITS: Duration = Duration::from_secs(30);
/// How long a failing input is made smaller.
const MINIMISE: Duration = Duration::from_secs(10);

/// The input that is tried, the reason why it was given up, what the whole came to, in the scratch directory.
pub(crate) const CURRENT: &str = "current";
pub(crate) const VERDICT: &str = "verdict";
pub(crate) const REPORT: &str = "report.json";

/// What is to be done.
pub(crate) struct Order {
    pub(crate) seed: u64,
    pub(crate) seconds: f64,
    pub(crate) runs: Option<u64>,
    /// This input alone.
    pub(crate) input: Option<PathBuf>,
    pub(crate) scratch: PathBuf,
}

/// What was done.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Tally {
    pub(crate) inputs: u64,
    pub(crate) accepted: u64,
    pub(crate) seconds: f64,
    /// The longest that an input took of the processor, in seconds.
    pub(crate) slowest: f64,
    /// The most memory that an input took at once, in bytes.
    pub(crate) memory: usize,
}

/// What it came to.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Report {
    /// It can't be tried here: why.
    Skipped(String),
    Done(Tally),
    /// An input showed a fault; it stands in the scratch directory.
    Failed(Tally, String),
}

/// The folder of a target's inputs.
pub(crate) fn corpus(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name)
}

pub(crate) fn work(entry: &Entry, order: &Order) {
    // From now on panics are what is looked for: they are noted, not printed.
    panic::set_hook(Box::new(|info| {
        let text = info.payload_as_str().unwrap_or_default().to_owned();
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        *PANIC.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Failure::new(format!("a panic at {place}"), text));
    }));
    let scratch = Scratch::new(order.scratch.clone());
    let made = match entry.made {
        Made::Here(make) => make(&scratch),
        Made::By(program) => Err(format!("{program} makes it")),
    };
    let report = match made {
        Ok(target) => Attempts::new(target, &scratch).all(entry, order),
        Err(why) => Report::Skipped(why),
    };
    let text = serde_json::to_vec(&report).unwrap_or_default();
    write(&scratch.path(REPORT), text);
}

static PANIC: Mutex<Option<Failure>> = Mutex::new(None);

struct Attempts {
    target: Box<dyn Target>,
    current: File,
    /// Even: nothing is tried. Grows with each input.
    serial: Arc<AtomicU64>,
    tally: Tally,
}

impl Attempts {
    fn new(target: Box<dyn Target>, scratch: &Scratch) -> Self {
        let path = scratch.path(CURRENT);
        let current = File::create(&path).unwrap_or_else(|e| panic!("cannot make {}: {e}", path.display()));
        let serial = Arc::new(AtomicU64::new(0));
        let (seen, verdict) = (Arc::clone(&serial), scratch.path(VERDICT));
        thread::spawn(move || give_up(&seen, &verdict));
        Attempts { target, current, serial, tally: Tally::default() }
    }

    fn all(mut self, entry: &Entry, order: &Order) -> Report {
        let began = Instant::now();
        let failed = match &order.input {
            Some(path) => {
                let input = fs::read(path).unwrap_or_else(|e| panic!("cannot read {}: {e}", path.display()));
                self.attempt(&input).err().map(|failure| (input, failure))
            }
            None => self.search(entry, order, began),
        };
        self.tally.seconds = began.elapsed().as_secs_f64();
        let tally = self.tally.clone();
        let Some((input, failure)) = failed else { return Report::Done(tally) };
        let small = match order.input {
            Some(_) => input,
            None => {
                minimise(input, MINIMISE, |rest| self.attempt(rest).is_err_and(|f| f.what == failure.what))
            }
        };
        let last = self.attempt(&small).err().unwrap_or(failure);
        Report::Failed(tally, last.to_string())
    }

    /// The seeds as they are, then changed ones.
    fn search(&mut self, entry: &Entry, order: &Order, began: Instant) -> Option<(Vec<u8>, Failure)> {
        let mut seeds = self.target.seeds();
        let mut paths: Vec<PathBuf> = fs::read_dir(corpus(entry.name))
            .into_iter()
            .flatten()
            .flatten()
            .map(|file| file.path())
            .collect();
        paths.sort();
        seeds.extend(paths.iter().filter_map(|path| fs::read(path).ok()));
        seeds.push(Vec::new());
        for seed in &seeds {
            if let Err(failure) = self.attempt(seed) {
                return Some((seed.clone(), failure));
            }
        }
        let words = self.target.words();
        // Of each target its own inputs, whichever others are tried.
        let name =
            entry.name.bytes().fold(order.seed, |seed, b| seed.wrapping_mul(31).wrapping_add(b.into()));
        let mut random = Rng::with_seed(name);
        let (mut last, mut same) = (seeds[0].clone(), 0);
        while began.elapsed().as_secs_f64() < order.seconds
            && order.runs.is_none_or(|runs| self.tally.inputs < runs)
        {
            // Some inputs are changes of the last accepted one: faults may lie several changes away.
            let mut input = if same > 0 { last.clone() } else { seeds[random.usize(..seeds.len())].clone() };
            same = if same > 0 { same - 1 } else { 0 };
            mutate(&mut random, &mut input, &seeds, words);
            match self.attempt(&input) {
                Ok(false) => {}
                Ok(true) if random.u8(..) < 32 => (last, same) = (input, 16),
                Ok(true) => {}
                Err(failure) => return Some((input, failure)),
            }
        }
        None
    }

    fn attempt(&mut self, input: &[u8]) -> Result<bool, Failure> {
        let written = self.current.set_len(0).and_then(|()| self.current.write_all_at(input, 0));
        written.unwrap_or_else(|e| panic!("cannot write the input that is tried: {e}"));
        let before = processor();
        self.serial.fetch_add(1, Ordering::SeqCst);
        let (memory, checked) = peak_of(|| catch_unwind(AssertUnwindSafe(|| self.target.check(input))));
        self.serial.fetch_add(1, Ordering::SeqCst);
        let took = processor() - before;
        let accepted = checked.unwrap_or_else(|_| {
            let noted = PANIC.lock().unwrap_or_else(PoisonError::into_inner).take();
            Err(noted.unwrap_or_else(|| Failure::new("a panic", "")))
        })?;
        self.tally.inputs += 1;
        self.tally.accepted += u64::from(accepted);
        self.tally.slowest = self.tally.slowest.max(took);
        self.tally.memory = self.tally.memory.max(memory);
        if took > LIMIT {
            return Err(Failure::new("it takes too long", format!("{took:.2} s for {} bytes", input.len())));
        }
        if memory > self.target.memory() {
            let detail = format!("{} MiB for {} bytes", memory >> 20, input.len());
            return Err(Failure::new("it takes too much memory", detail));
        }
        Ok(accepted)
    }
}

/// What this process has used of the processor, in seconds.
fn processor() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

/// Ends the process when an input does not return.
fn give_up(serial: &AtomicU64, verdict: &Path) {
    let (mut seen, mut used, mut since) = (0, processor(), Instant::now());
    loop {
        thread::sleep(Duration::from_millis(50));
        let now = serial.load(Ordering::SeqCst);
        if now != seen || now.is_multiple_of(2) {
            (seen, used, since) = (now, processor(), Instant::now());
        } else if processor() - used > HUNG || since.elapsed() > WAITS {
            // Best effort: without it, the process that started this one sees that it was aborted.
            let _ = fs::write(verdict, format!("it does not return within {HUNG} s"));
            process::abort();
        }
    }
}

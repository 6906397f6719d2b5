//! The log: `tracing` events of the host and its plugins, on standard error and in the run's `log.txt`.
//!
//! Which events are heard is said by the variable `EFFERENCE_LOG`, or `RUST_LOG`, in the form of
//! `tracing-subscriber`'s filters: `info`, or `warn,efference_browser=debug`. Without either, or where it is empty, warnings and errors
//! go to standard error, and what is of note besides to `log.txt`.
//!
//! A thread prints and writes it: nobody who logs waits for the terminal, the pipe or the disk. User info and queries of
//! URLs are masked.
use efference_runs::privacy::masked;
use efference_runs::{Aside, Printer};
use parking_lot::Mutex;
use std::fmt::Debug;
use std::fs::File;
use std::io::{self, Write};
use std::sync::OnceLock;
use std::time::Duration;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

static FILE: Mutex<Option<Printer>> = Mutex::new(None);
static ASIDE: Mutex<Option<Aside>> = Mutex::new(None);
/// Prints what comes while there is no progress.
static ALONE: OnceLock<Printer> = OnceLock::new();

/// Whoever reads standard error is waited for at the end…
const PATIENCE: Duration = Duration::from_secs(2);
/// …and the disk.
const PATIENCE_WITH_THE_DISK: Duration = Duration::from_secs(10);

/// Starts the log of this process.
pub fn start() {
    let said = ["EFFERENCE_LOG", "RUST_LOG"]
        .iter()
        .find_map(|v| std::env::var(v).ok().filter(|said| !said.is_empty()));
    let filter = |default: &str| EnvFilter::new(said.as_deref().unwrap_or(default));
    let terminal = fmt::layer().with_writer(|| Terminal).without_time().with_ansi(false);
    let file = fmt::layer().with_writer(ToFile).with_ansi(false);
    // A second start, as in tests, leaves the first one's log.
    let _ = tracing_subscriber::registry()
        .with(terminal.with_filter(filter("warn")))
        .with(file.with_filter(filter("info")))
        .try_init();
}

/// Hears what the host has to say of plugins, in place of the log, for who asks for it ([`complaints`]).
pub fn collect_complaints() {
    let _ = tracing_subscriber::registry().with(Complaints).try_init();
}

/// What the host has said of plugins since the last call, warnings and errors.
pub fn complaints() -> Vec<String> {
    std::mem::take(&mut HEARD.lock())
}

static HEARD: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Complaints;

impl<S: Subscriber> Layer<S> for Complaints {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        // The engine's, and those of the SDK's bridge, which is in each library.
        let is_of_host = ["efference_engine::plugins", "efference_sdk::bridge"]
            .iter()
            .any(|module| metadata.target().starts_with(module));
        if is_of_host && *metadata.level() <= Level::WARN {
            event.record(&mut Heard);
        }
    }
}

struct Heard;

impl Visit for Heard {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            HEARD.lock().push(format!("{value:?}"));
        }
    }
}

/// Waits a little until everything is on standard error. To be called before something else is printed there, and at the end
/// of the process.
pub fn finish() {
    let aside = ASIDE.lock().clone();
    aside.iter().for_each(|aside| aside.finish(PATIENCE));
    if let Some(alone) = ALONE.get() {
        alone.finish(PATIENCE);
    }
}

/// From now on, events go to this file as well, until the answer is dropped.
pub fn to_file(file: File) -> Guard {
    *FILE.lock() = Some(Printer::new(io::sink(), file));
    Guard(())
}

/// Lets the log be printed beside progress; `None`: there is none any more.
pub fn aside(aside: Option<Aside>) {
    // In the order in which it came.
    finish();
    *ASIDE.lock() = aside;
}

/// See [`to_file`].
pub struct Guard(());

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(file) = FILE.lock().take() {
            file.finish(PATIENCE_WITH_THE_DISK);
        }
    }
}

struct Terminal;

impl Write for Terminal {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = masked(&String::from_utf8_lossy(bytes));
        match ASIDE.lock().as_ref() {
            Some(aside) => aside.write(text.as_bytes()),
            None => ALONE.get_or_init(|| Printer::new(io::sink(), io::stderr())).beside(text.as_bytes()),
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct ToFile;

impl Write for ToFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(file) = &*FILE.lock() {
            file.beside(masked(&String::from_utf8_lossy(bytes)).as_bytes());
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for ToFile {
    type Writer = ToFile;

    fn make_writer(&'a self) -> ToFile {
        ToFile
    }
}

//! The log: `tracing` events of the host and its plugins, on standard error and in the run's `log.txt`.
//!
//! Which events are heard is said by the variable `EFFERENCE_LOG`, or `RUST_LOG`, in the form of
//! `tracing-subscriber`'s filters: `info`, or `warn,efference_browser=debug`. Without either, or where it is empty, warnings and errors
//! go to standard error, and what is of note besides to `log.txt`.
use efference_runs::Aside;
use parking_lot::Mutex;
use std::fs::File;
use std::io::{self, Write};
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

static FILE: Mutex<Option<File>> = Mutex::new(None);
static ASIDE: Mutex<Option<Aside>> = Mutex::new(None);

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

/// From now on, events go to this file as well, until the answer is dropped.
pub fn to_file(file: File) -> Guard {
    *FILE.lock() = Some(file);
    Guard(())
}

/// Keeps the log from running into a progress bar.
pub fn aside(aside: Aside) {
    *ASIDE.lock() = Some(aside);
}

/// See [`to_file`].
pub struct Guard(());

impl Drop for Guard {
    fn drop(&mut self) {
        *FILE.lock() = None;
    }
}

struct Terminal;

impl Write for Terminal {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let aside = ASIDE.lock().clone().unwrap_or_default();
        aside.write(|| io::stderr().write_all(bytes))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct ToFile;

impl Write for ToFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(file) = &mut *FILE.lock() {
            file.write_all(bytes)?;
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

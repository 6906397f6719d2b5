//! Panics: their texts and places, for the errors that they become.
//!
//! Each library has a `std`, and so a panic hook, of its own. The one that is set here prints nothing: it puts aside what is
//! known of the panic. Whoever catches it [takes that](caught); if nobody does, the thread ends, and says so in its last moment.
use crate::Error;
use crate::error::panic_text;
use std::any::Any;
use std::cell::Cell;
use std::panic::PanicHookInfo;
use std::sync::{Mutex, PoisonError};
use std::thread;

thread_local!(static LAST: Cell<Last> = const { Cell::new(Last(None)) });

/// Plugins of this library that were made; none in a host.
static PLUGINS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// The last panic of a thread, while nobody has caught it.
#[derive(Default)]
struct Last(Option<Panic>);

struct Panic {
    /// ` at file:line`
    place: String,
    text: String,
    /// ` 'name'` of the thread, if it has one.
    thread: String,
}

impl Panic {
    fn of(info: &PanicHookInfo<'_>) -> Panic {
        Panic {
            place: info.location().map(|l| format!(" at {}:{}", l.file(), l.line())).unwrap_or_default(),
            text: info.payload_as_str().unwrap_or("(no text)").to_owned(),
            thread: thread::current().name().map(|name| format!(" '{name}'")).unwrap_or_default(),
        }
    }
}

/// The thread ends with its panic: what it was there for is not done, and nobody else may notice.
impl Drop for Last {
    fn drop(&mut self) {
        let Some(Panic { place, text, thread }) = self.0.take() else { return };
        let plugins = PLUGINS.lock().unwrap_or_else(PoisonError::into_inner);
        match &plugins[..] {
            [] => tracing::error!("a thread{thread} of efference panicked{place}: {text}. Please report it"),
            plugins => tracing::error!(
                "a thread{thread} of {} panicked{place}: {text}. What it was doing is not done",
                plugins.join(" or ")
            ),
        }
    }
}

/// Sets the panic hook of this library or program.
pub fn collect_panics() {
    std::panic::set_hook(Box::new(|info| {
        // One that somebody else has caught is no news: the new one takes its place.
        LAST.replace(Last(Some(Panic::of(info)))).0 = None;
    }));
}

/// Notes that this library has made a plugin.
pub(super) fn has_made(plugin: String) {
    let mut plugins = PLUGINS.lock().unwrap_or_else(PoisonError::into_inner);
    if !plugins.contains(&plugin) {
        plugins.push(plugin);
    }
}

/// Says in the log what a destructor panicked with.
pub fn panicked_while_dropped(payload: Box<dyn Any + Send>) {
    let error = caught(payload);
    let plugins = PLUGINS.lock().unwrap_or_else(PoisonError::into_inner);
    tracing::warn!("{}: when it was dropped it {error:#}", plugins.join(" or "));
}

/// The error that a caught panic becomes, with its text and place.
pub fn caught(payload: Box<dyn Any + Send>) -> Error {
    let place = LAST.take().0.take().map(|panic| panic.place).unwrap_or_default();
    Error::panic(format!("panicked{place}: {}", panic_text(payload)))
}

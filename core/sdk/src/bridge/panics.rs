//! Panics: their texts and places, for the errors that they become.
//!
//! Each library has a `std`, and so a panic hook, of its own. The one that is set here prints nothing: it puts aside what is
//! known of the panic. Whoever catches it [takes that](caught); if nobody does, the thread ends, and says so in its last moment.
use crate::Error;
use crate::error::panic_text;
use std::any::Any;
use std::backtrace::Backtrace;
use std::cell::Cell;
use std::panic::{Location, PanicHookInfo};
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
            place: info.location().map(place).unwrap_or_default(),
            text: info.payload_as_str().unwrap_or("(no text)").to_owned(),
            thread: thread::current().name().map(|name| format!(" '{name}'")).unwrap_or_default(),
        }
    }
}

/// ` at file:line`, and who called what panicked there, if that is a crate of others, such as tch: its own line helps nobody.
fn place(location: &Location<'_>) -> String {
    let (file, line) = (location.file(), location.line());
    match is_of_others(file).then(|| caller(&Backtrace::force_capture().to_string())).flatten() {
        Some(caller) => format!(" in {caller}, at {file}:{line}"),
        None => format!(" at {file}:{line}"),
    }
}

/// Whether a source file is that of a crate of others, or of the standard library.
fn is_of_others(file: &str) -> bool {
    ["/registry/src/", "/git/checkouts/", "/rustc/"].iter().any(|folder| file.contains(folder))
}

/// The innermost frame of a backtrace that is a plugin's or the host's own: `function (file:line)`, without the bracket where
/// the library holds no line numbers. Frames further out than the call of the plugin are those of who called it.
fn caller(trace: &str) -> Option<String> {
    const OTHERS: [&str; 7] = ["std", "core", "alloc", "tch", "torch_sys", "efference_sdk", "rustc_demangle"];
    const CALL_OF_A_PLUGIN: &str = "efference_sdk::bridge::call::guard";
    let mut lines = trace.lines().map(str::trim).peekable();
    while let Some(line) = lines.next() {
        let Some((number, function)) = line.split_once(": ") else { continue };
        if number.parse::<usize>().is_err() {
            continue;
        }
        if function.starts_with(CALL_OF_A_PLUGIN) {
            return None;
        }
        let at = lines.next_if(|next| next.starts_with("at ")).map(|at| &at["at ".len()..]);
        let place = at.and_then(|at| at.rsplit_once(':')).map(|(file_and_line, _column)| file_and_line);
        let path = function.trim_start_matches(['<', '&', '*']);
        let is_own = match path.split_once("::") {
            Some((owner, _)) => !OTHERS.contains(&owner) && !owner.starts_with("__rust"),
            // One that was put into its caller has a name without a path, where the library knows its lines.
            None => place.is_some_and(|place| !is_of_others(place)),
        };
        if is_own {
            return Some(place.map_or(function.to_owned(), |place| format!("{function} ({place})")));
        }
    }
    None
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caller_is_the_first_frame_that_is_not_of_others() {
        let trace = "   0: std::backtrace::Backtrace::create\n   1: __rustc::rust_begin_unwind\n   2: core::result::unwrap_failed\n\
                     \x20            at /rustc/4a4ef/library/core/src/result.rs:1871:5\n   3: tch::wrappers::tensor::mm\n   4: \
                     <my_layer::Mine as efference_sdk::layer::Layer>::forward\n             at ./src/lib.rs:34:22\n   5: \
                     efference_sdk::bridge::call::guard\n   6: main";
        let with_line = "<my_layer::Mine as efference_sdk::layer::Layer>::forward (./src/lib.rs:34)";
        assert_eq!(caller(trace).as_deref(), Some(with_line));
        let without = trace.replace("             at ./src/lib.rs:34:22\n", "");
        assert_eq!(
            caller(&without).as_deref(),
            Some("<my_layer::Mine as efference_sdk::layer::Layer>::forward")
        );
        assert_eq!(caller("   0: std::panic::x\n   1: main"), None);
        let inlined = "   0: std::panic::x\n             at /rustc/4a4ef/library/std/src/panic.rs:1:1\n   1: unwrap\n             at \
                       /rustc/4a4ef/library/core/src/result.rs:9:5\n   2: forward\n             at ./src/lib.rs:52:39\n   3: main";
        assert_eq!(caller(inlined).as_deref(), Some("forward (./src/lib.rs:52)"));
        let of_the_caller = "   0: tch::wrappers::mm\n   1: efference_sdk::bridge::call::guard\n   2: efference_mgu::Mgu::new";
        assert_eq!(caller(of_the_caller), None);
    }
}

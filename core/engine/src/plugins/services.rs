//! What the host does for every plugin: its log and its metrics.
//!
//! Rules of the unsafe code here: the texts that plugins pass are borrowed for the call, and are read by the SDK's
//! bridge.
#![allow(unsafe_code)]
use efference_abi::{Error, FEATURES, HostApi, Slice, Status, Str};
use efference_sdk::autograd::{self, Task, run_tasks};
use efference_sdk::bridge::{guard, read_str};
use efference_sdk::derive_seed;
use std::collections::HashMap;
use std::ffi::c_void;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, OnceLock, PoisonError};
use tracing_core::callsite::Identifier;
use tracing_core::field::{FieldSet, Value};
use tracing_core::{Callsite, Event, Interest, Level, Metadata, dispatcher};

/// The services, as plugins get them.
pub(super) static HOST: &HostApi = &HostApi {
    size: size_of::<HostApi>(),
    features: Slice::new(FEATURE_NAMES),
    log_enabled,
    log,
    metric,
    step_seed,
    latest: Some(latest),
    parallel: Some(parallel),
    threads: Some(threads),
};

const FEATURE_NAMES: &[Str] = &{
    let mut names = [Str::new(""); FEATURES.len()];
    let mut i = 0;
    while i < names.len() {
        names[i] = Str::new(FEATURES[i]);
        i += 1;
    }
    names
};

/// A place in a plugin's source that logs, made known to the host when it first does.
struct Place(OnceLock<Metadata<'static>>);

impl Callsite for Place {
    fn set_interest(&self, _: Interest) {}

    fn metadata(&self) -> &Metadata<'_> {
        self.0.get().expect("filled where it is made")
    }
}

type Key = (u32, String, String, u32);

/// Leaked, one for each place in the sources: `tracing` keeps its metadata for ever.
fn metadata(level: u32, target: &str, file: &str, line: u32) -> &'static Metadata<'static> {
    static ALL: LazyLock<Mutex<HashMap<Key, &'static Metadata<'static>>>> = LazyLock::new(Mutex::default);
    let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
    all.entry((level, target.into(), file.into(), line)).or_insert_with(|| {
        let place: &'static Place = Box::leak(Box::new(Place(OnceLock::new())));
        let leak = |s: &str| -> &'static str { Box::leak(s.to_owned().into_boxed_str()) };
        let level = match level {
            0 | 1 => Level::ERROR,
            2 => Level::WARN,
            3 => Level::INFO,
            4 => Level::DEBUG,
            _ => Level::TRACE,
        };
        let target = leak(target);
        place.0.get_or_init(|| {
            let fields = FieldSet::new(&["message"], Identifier(place));
            let (file, kind) = (Some(leak(file)), tracing_core::Kind::EVENT);
            Metadata::new("plugin event", target, level, file, Some(line), Some(target), fields, kind)
        })
    })
}

unsafe extern "C" fn log_enabled(level: u32, target: Str, out: *mut bool, err: *mut Error) -> Status {
    // SAFETY: a borrowed text; `out` and `err` are writable.
    unsafe {
        guard(err, || {
            let target = read_str(target);
            out.write(dispatcher::get_default(|d| d.enabled(metadata(level, &target, "", 0))));
            Ok(())
        })
    }
}

unsafe extern "C" fn log(
    level: u32,
    target: Str,
    file: Str,
    line: u32,
    message: Str,
    _: *mut c_void,
    err: *mut Error,
) -> Status {
    // SAFETY: borrowed texts; `err` is writable.
    unsafe {
        guard(err, || {
            let (target, file, message) = (read_str(target), read_str(file), read_str(message));
            let metadata = metadata(level, &target, &file, line);
            dispatcher::get_default(|d| {
                let fields = metadata.fields();
                let Some(field) = fields.field("message") else { return };
                if d.enabled(metadata) {
                    let text = format_args!("{message}");
                    d.event(&Event::new(metadata, &fields.value_set(&[(&field, Some(&text as &dyn Value))])));
                }
            });
            Ok(())
        })
    }
}

/// A metric that a plugin has recorded.
#[derive(Debug, Clone, PartialEq)]
pub struct PluginMetric {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: f64,
    /// Whether the last value of a window counts, and not the mean.
    pub latest: bool,
}

static METRICS: Mutex<Vec<PluginMetric>> = Mutex::new(Vec::new());

fn record(name: Str, value: f64, latest: bool, err: *mut Error) -> Status {
    // SAFETY: a borrowed text; `err` is writable.
    unsafe {
        guard(err, || {
            let metric = PluginMetric { name: read_str(name), value, latest };
            METRICS.lock().unwrap_or_else(PoisonError::into_inner).push(metric);
            Ok(())
        })
    }
}

unsafe extern "C" fn metric(name: Str, value: f64, _: *mut c_void, err: *mut Error) -> Status {
    record(name, value, false, err)
}

unsafe extern "C" fn latest(name: Str, value: f64, _: *mut c_void, err: *mut Error) -> Status {
    record(name, value, true, err)
}

unsafe extern "C" fn parallel(
    tasks: usize,
    task: unsafe extern "C" fn(*const c_void, usize),
    argument: *const c_void,
    _: *mut c_void,
    err: *mut Error,
) -> Status {
    // SAFETY: the plugin promises that `task` may be called so, by several threads at once; `err` is writable.
    unsafe {
        guard(err, || {
            run_tasks(tasks, &Task { call: task, argument });
            Ok(())
        })
    }
}

unsafe extern "C" fn threads(out: *mut usize, err: *mut Error) -> Status {
    // SAFETY: `out` and `err` are writable.
    unsafe {
        guard(err, || {
            out.write(autograd::threads());
            Ok(())
        })
    }
}

/// What the seeds of the current step are derived from.
static STEP_SEED: AtomicU64 = AtomicU64::new(0);

/// Says what the seeds that plugins ask for in this step are derived from.
pub(crate) fn set_step_seed(seed: u64) {
    STEP_SEED.store(seed, Ordering::Relaxed);
}

unsafe extern "C" fn step_seed(purpose: Str, out: *mut u64, err: *mut Error) -> Status {
    // SAFETY: a borrowed text; `out` and `err` are writable.
    unsafe {
        guard(err, || {
            out.write(derive_seed(STEP_SEED.load(Ordering::Relaxed), &read_str(purpose)));
            Ok(())
        })
    }
}

/// What plugins have recorded since the last call, in order.
pub fn take_metrics() -> Vec<PluginMetric> {
    std::mem::take(&mut METRICS.lock().unwrap_or_else(PoisonError::into_inner))
}

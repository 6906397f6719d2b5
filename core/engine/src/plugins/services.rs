//! What the host does for every plugin: its log and its metrics.
//!
//! Rules of the unsafe code here: the texts that plugins pass are lent for the call, and are read by the SDK's
//! boundary.
#![allow(unsafe_code)]
use efference_abi::{HostApi, Str};
use efference_sdk::boundary::see_str;
use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, OnceLock, PoisonError};
use tracing_core::callsite::Identifier;
use tracing_core::field::{FieldSet, Value};
use tracing_core::{Callsite, Event, Interest, Level, Metadata, dispatcher};

/// The services, as plugins get them.
pub(super) static HOST: &HostApi = &HostApi { size: size_of::<HostApi>(), log_enabled, log, metric };

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

unsafe extern "C" fn log_enabled(level: u32, target: Str) -> bool {
    // SAFETY: a lent text.
    let target = unsafe { see_str(target) };
    dispatcher::get_default(|d| d.enabled(metadata(level, &target, "", 0)))
}

unsafe extern "C" fn log(level: u32, target: Str, file: Str, line: u32, message: Str) {
    // SAFETY: lent texts.
    let (target, file, message) = unsafe { (see_str(target), see_str(file), see_str(message)) };
    let metadata = metadata(level, &target, &file, line);
    dispatcher::get_default(|d| {
        let fields = metadata.fields();
        let Some(field) = fields.field("message") else { return };
        if d.enabled(metadata) {
            let text = format_args!("{message}");
            d.event(&Event::new(metadata, &fields.value_set(&[(&field, Some(&text as &dyn Value))])));
        }
    });
}

static METRICS: Mutex<Vec<(String, f64)>> = Mutex::new(Vec::new());

unsafe extern "C" fn metric(name: Str, value: f64) {
    // SAFETY: a lent text.
    let name = unsafe { see_str(name) };
    METRICS.lock().unwrap_or_else(PoisonError::into_inner).push((name, value));
}

/// What plugins have recorded since the last call, in order.
pub fn take_metrics() -> Vec<(String, f64)> {
    std::mem::take(&mut METRICS.lock().unwrap_or_else(PoisonError::into_inner))
}

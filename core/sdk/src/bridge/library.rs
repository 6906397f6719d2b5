//! A plugin library's own side: its start, its log and metrics, its options, and how its plugins are made.
use super::call::{Caller, Method, call, guard};
use super::cross::Ret;
use super::lists::{list, read_str, take_list};
use super::panics::{collect_panics, has_made};
use crate::autograd::Task;
use crate::{IntoKind, Options, Outline, Plugin, PluginId, PluginKind, Result, Spaces, ensure, options};
use efference_abi::{self as abi, Entry, HostApi, List, Object, Status, Str};
use std::ffi::c_void;
use std::fmt::{Debug, Write};
use std::ptr::null_mut;
use std::sync::OnceLock;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber, span};

static HOST: OnceLock<&'static HostApi> = OnceLock::new();

/// The first call of a library.
///
/// # Safety
/// `host` lives as long as the process; `err` is as for [`guard`].
pub(crate) unsafe extern "C" fn init_library(
    host: *const HostApi,
    _: *mut c_void,
    err: *mut abi::Error,
) -> Status {
    // SAFETY: by the caller's promise.
    unsafe {
        guard(err, || {
            if HOST.set(&*host).is_ok() {
                // An error means that the library has a subscriber of its own already: leave it.
                let _ = tracing::subscriber::set_global_default(ToHost);
                collect_panics();
            }
            Ok(())
        })
    }
}

/// Starts a library: passes the host's services to it.
///
/// # Safety
/// `init` is the function of a library whose manifest was checked.
pub unsafe fn init(
    init: unsafe extern "C" fn(*const HostApi, *mut c_void, *mut abi::Error) -> Status,
    host: &'static HostApi,
) -> Result<()> {
    // SAFETY: by the caller's promise.
    call(|err| unsafe { init(host, null_mut(), err) })
}

/// Records `value` under `name` for this step. Several values between two recordings are averaged. Does
/// nothing in a plugin that no host has loaded, as in a test.
pub fn metric(name: &str, value: f64) {
    if let Some(host) = HOST.get() {
        // SAFETY: the host's own function. A host that cannot record a metric logs that itself.
        let _ = call(|err| unsafe { (host.metric)(Str::new(name), value, null_mut(), err) });
    }
}

/// As [`metric`], but of several values between two recordings the last one counts: for what sums up a whole run. Does
/// nothing under a host of before, which has no such function.
pub fn latest_metric(name: &str, value: f64) {
    let Some(host) = HOST.get() else { return };
    if host.size < std::mem::offset_of!(HostApi, latest) + size_of::<usize>() {
        return;
    }
    if let Some(latest) = host.latest {
        // SAFETY: the host's own function, which its table has.
        let _ = call(|err| unsafe { latest(Str::new(name), value, null_mut(), err) });
    }
}

/// The threads that the host has for kernels.
pub(crate) struct HostThreads {
    parallel: unsafe extern "C" fn(
        tasks: usize,
        task: unsafe extern "C" fn(argument: *const c_void, i: usize),
        argument: *const c_void,
        out: *mut c_void,
        err: *mut abi::Error,
    ) -> Status,
    threads: unsafe extern "C" fn(out: *mut usize, err: *mut abi::Error) -> Status,
}

/// The host's threads; none in a plugin that no host has loaded, and under a host of before.
pub(crate) fn host_threads() -> Option<HostThreads> {
    let host = HOST.get()?;
    if host.size < std::mem::offset_of!(HostApi, threads) + size_of::<usize>() {
        return None;
    }
    Some(HostThreads { parallel: host.parallel?, threads: host.threads? })
}

impl HostThreads {
    /// How many there are now.
    pub(crate) fn threads(&self) -> usize {
        let mut threads = 1;
        // SAFETY: the host's own function. Without a reply, it is one.
        let _ = call(|err| unsafe { (self.threads)(&raw mut threads, err) });
        threads
    }

    /// Calls `task` once for each number in `0..tasks` on them.
    ///
    /// # Safety
    /// See [`Task`].
    pub(crate) unsafe fn parallel(&self, tasks: usize, task: &Task) {
        // SAFETY: the host's own function; by the caller's promise.
        let done = call(|err| unsafe { (self.parallel)(tasks, task.call, task.argument, null_mut(), err) });
        if let Err(error) = done {
            panic!("the host's threads did not do all that there was to do: {error:#}");
        }
    }
}

/// A seed for random numbers of the current step, from the experiment's seed, the step and `purpose`: with it, a cell
/// draws the same numbers whenever the step is computed. In a plugin that no host has loaded, as in a test, it depends
/// on `purpose` alone.
pub fn step_seed(purpose: &str) -> Result<u64> {
    let Some(host) = HOST.get() else { return Ok(crate::derive_seed(0, purpose)) };
    let mut seed = 0;
    // SAFETY: the host's own function.
    call(|err| unsafe { (host.step_seed)(Str::new(purpose), &raw mut seed, err) })?;
    Ok(seed)
}

fn level(level: &Level) -> u32 {
    match *level {
        Level::ERROR => 1,
        Level::WARN => 2,
        Level::INFO => 3,
        Level::DEBUG => 4,
        Level::TRACE => 5,
    }
}

/// Passes events on. Spans stay on this side: their events carry their own fields.
struct ToHost;

#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // Writing to a `String` cannot fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}

impl Subscriber for ToHost {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let recorded = |host: &&HostApi| {
            let (level, target) = (level(metadata.level()), Str::new(metadata.target()));
            let mut enabled = false;
            // SAFETY: the host's own function.
            let asked = call(|err| unsafe { (host.log_enabled)(level, target, &raw mut enabled, err) });
            asked.is_ok() && enabled
        };
        metadata.is_event() && HOST.get().is_some_and(recorded)
    }

    fn event(&self, event: &Event<'_>) {
        let Some(host) = HOST.get() else { return };
        let mut text = Text::default();
        event.record(&mut text);
        let metadata = event.metadata();
        let message = text.message + &text.fields;
        let (target, file) = (Str::new(metadata.target()), Str::new(metadata.file().unwrap_or_default()));
        let (level, line) = (level(metadata.level()), metadata.line().unwrap_or_default());
        // SAFETY: the host's own function; the texts outlive the call. An event that cannot be logged is lost.
        let _ =
            call(|err| unsafe { (host.log)(level, target, file, line, Str::new(&message), null_mut(), err) });
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

pub(crate) unsafe extern "C" fn options_schema_of<O: Options>(
    out: *mut List<u8>,
    err: *mut abi::Error,
) -> Status {
    // SAFETY: `out` and `err` are writable by the rules of the boundary.
    unsafe {
        guard(err, || {
            out.write(list(serde_json::to_vec(&schemars::schema_for!(O))?));
            Ok(())
        })
    }
}

pub(crate) unsafe extern "C" fn check_options_of<P: Plugin>(
    json: Str,
    _: *mut c_void,
    err: *mut abi::Error,
) -> Status {
    // SAFETY: `json` is borrowed and `err` writable by the rules of the boundary.
    unsafe {
        guard(err, || {
            let options = options::read::<P::Options>(&read_str(json))?;
            P::outline(&options).map(drop)
        })
    }
}

/// What options of the plugin `P` say of it.
pub(crate) unsafe extern "C" fn outline_of<P: Plugin>(
    json: Str,
    out: *mut abi::Outline,
    err: *mut abi::Error,
) -> Status {
    // SAFETY: `json` is borrowed, and `out` and `err` are writable by the rules of the boundary.
    unsafe {
        guard(err, || {
            let options = options::read::<P::Options>(&read_str(json))?;
            let Outline { streams, spaces } = P::outline(&options)?;
            out.write(abi::Outline {
                size: size_of::<abi::Outline>(),
                streams: streams.unwrap_or(0) as u64,
                spaces: Ret::into_raw(spaces),
            });
            Ok(())
        })
    }
}

/// Makes an object of the plugin `P`.
pub(crate) unsafe extern "C" fn create_of<P: Plugin>(
    json: Str,
    setup: *const c_void,
    out: *mut Object<c_void>,
    err: *mut abi::Error,
) -> Status
where
    Box<P>: IntoKind<P::Kind>,
{
    // SAFETY: borrowed options, a setup of the kind's type; `out` and `err` are writable.
    unsafe {
        guard(err, || {
            has_made(PluginId { kind: P::Kind::KIND, name: P::NAME.to_owned() }.to_string());
            let options = options::read::<P::Options>(&read_str(json))?;
            let object = <P::Kind as PluginKind>::see_setup(setup.cast(), |setup| P::new(options, setup))?;
            let Object { this_, vtable } = <P::Kind as PluginKind>::into_raw(Box::new(object).into_kind());
            out.write(Object { this_, vtable: vtable.cast() });
            Ok(())
        })
    }
}

/// The JSON Schema of a plugin's options.
pub fn options_schema(entry: &'static Entry) -> Result<serde_json::Value> {
    let mut out = List::EMPTY;
    // SAFETY: an entry of a library that was checked and started.
    let bytes = unsafe {
        call(|err| (entry.options_schema)(&raw mut out, err))?;
        take_list(out, |byte: u8| byte)
    };
    Ok(serde_json::from_slice(&bytes)?)
}

/// Lets a plugin read its options. An error names the option that is wrong.
pub fn check_options(entry: &'static Entry, options: &serde_json::Value) -> Result<()> {
    let json = options.to_string();
    // SAFETY: an entry of a library that was checked and started.
    call(|err| unsafe { (entry.check_options)(Str::new(&json), null_mut(), err) })
}

/// What options say of a plugin that is not made yet; nothing, of one that does not know.
///
/// # Errors
/// Options that contradict each other.
pub fn outline(entry: &'static Entry, options: &serde_json::Value) -> Result<Outline> {
    // An entry of an earlier SDK ends before this field.
    if entry.size < size_of::<Entry>() {
        return Ok(Outline::default());
    }
    let Some(function) = entry.outline else { return Ok(Outline::default()) };
    let json = options.to_string();
    let mut out = abi::Outline { size: 0, streams: 0, spaces: Ret::into_raw(None::<Spaces>) };
    // SAFETY: an entry of a library that was checked and started; what it wrote is taken once.
    unsafe {
        call(|err| function(Str::new(&json), &raw mut out, err))?;
        let streams = usize::try_from(out.streams).ok().filter(|streams| *streams > 0);
        Ok(Outline { streams, spaces: Ret::from_raw(out.spaces)? })
    }
}

/// Makes an object of a plugin.
pub fn create<K: ?Sized + PluginKind>(
    entry: &'static Entry,
    options: &serde_json::Value,
    setup: &K::Setup<'_>,
    caller: Caller,
) -> Result<Box<K>> {
    ensure!(
        entry.size >= std::mem::offset_of!(Entry, outline) && entry.kind == K::KIND as u32,
        "it is no {} plugin of this boundary",
        K::KIND.name()
    );
    static NEW: Method = Method::new("new");
    let json = options.to_string();
    let mut object: Object<c_void> = Object::NULL;
    let made = K::lend_setup(setup, |setup| {
        // SAFETY: an entry of a library that was checked and started, of this kind; what is borrowed outlives the call.
        caller
            .call(&NEW, |err| unsafe { (entry.create)(Str::new(&json), setup.cast(), &raw mut object, err) })
    });
    made?;
    let Object { this_, vtable } = object;
    // SAFETY: the object was moved here; its table is that of the kind.
    let object = unsafe { K::from_raw(Object { this_, vtable: vtable.cast() }, caller.clone()) };
    caller.attribute(object)
}

//! What an engine is doing, as far as a process can know it that only sees its memory.
use crate::text::{Names, Text};
use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Where an engine is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum Phase {
    /// It is being loaded, or reads its arguments.
    Starting = 0,
    /// It does what it was asked for, and there is no run, or not yet.
    Working = 1,
    /// It makes steps.
    Stepping = 2,
    /// An agent is evaluated between two steps, which takes as long as it takes.
    Evaluating = 3,
    /// No more steps: it writes what is left to be written.
    Ending = 4,
    /// It has written how the run ended.
    Ended = 5,
}

impl Phase {
    fn of(number: u32) -> Phase {
        let all = [
            Phase::Starting,
            Phase::Working,
            Phase::Stepping,
            Phase::Evaluating,
            Phase::Ending,
            Phase::Ended,
        ];
        all.get(number as usize).copied().unwrap_or(Phase::Starting)
    }
}

/// Whether an engine stands still between two steps, since someone who looks at its run wants it so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Standing {
    /// It makes steps.
    No = 0,
    /// It stands still.
    Paused = 1,
    /// It has stood still, and makes steps again as nobody looks at it any more.
    LeftAlone = 2,
}

/// A function of a plugin that is being called: the plugin's number in the lower half, that of the function in the upper one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call(u32);

impl Call {
    /// This function of this plugin, by their numbers.
    pub fn new(plugin: u32, method: u32) -> Call {
        Call(plugin & 0xffff | method << 16)
    }

    /// As a number, and back by [`of_bits`](Self::of_bits).
    pub fn bits(self) -> u32 {
        self.0
    }

    /// See [`bits`](Self::bits).
    pub fn of_bits(bits: u32) -> Call {
        Call(bits)
    }
}

/// What an engine is doing. It writes with relaxed order, a few instructions a call of a plugin; who reads sees each value
/// as it was a moment ago, and does not rely on two of them being of the same moment.
///
/// The process that reads lives on with whatever a plugin has written over it: numbers are taken as they are, and texts are
/// bounded.
#[repr(C)]
pub struct Activity {
    pub(crate) magic: AtomicU64,
    phase: AtomicU32,
    /// The exit status of the engine, plus one, once it is known.
    status: AtomicU32,
    /// The innermost call.
    call: AtomicU32,
    /// Whether it listens to signals.
    listening: AtomicU32,
    /// How many calls began.
    calls: AtomicU64,
    /// Steps made.
    step: AtomicU64,
    /// When the run began, in seconds since 1970, as the bits of a float.
    began: AtomicU64,
    /// How often the engine was asked to stop, and how often its parent.
    asked: AtomicU32,
    parent_asked: AtomicU32,
    /// Whether the engine stands still since its parent does.
    suspended: AtomicU32,
    /// The signal by which the engine was asked to stop.
    asked_by: AtomicU32,
    standing: AtomicU32,
    run: Text<4096>,
    plugins: Names<64, 96>,
    methods: Names<128, 48>,
}

/// A moment of an [`Activity`].
#[derive(Debug, Clone, PartialEq)]
pub struct Doing {
    /// Where the engine is.
    pub phase: Phase,
    /// Steps made; so it is in the step of this number, as steps count from 0.
    pub step: u64,
    /// How many calls of plugins began.
    pub calls: u64,
    /// The innermost one that goes on: the plugin, such as `layer 'ldl'`, and the function.
    pub call: Option<(String, String)>,
    /// The directory of the run, once there is one.
    pub run: Option<PathBuf>,
    /// When the run began, in seconds since 1970; as much earlier as it had taken before if it goes on.
    pub began: f64,
    /// The engine's exit status, once it is known.
    pub status: Option<u8>,
    /// Whether the engine takes signals for what they mean to a run, by itself.
    pub listening: bool,
    /// How often the engine itself was asked to stop.
    pub asked: u32,
    /// By which signal; 0 if it was not.
    pub asked_by: i32,
    /// Whether the engine stands still since its parent does.
    pub suspended: bool,
    /// Whether it stands still between two steps, since someone wants it so.
    pub standing: Standing,
}

impl fmt::Debug for Activity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.doing().fmt(f)
    }
}

impl Default for Activity {
    fn default() -> Self {
        Activity::new()
    }
}

/// Names get their numbers one after another.
static NUMBERING: Mutex<()> = Mutex::new(());

impl Activity {
    /// What an engine is doing that has done nothing.
    pub const fn new() -> Activity {
        Activity {
            magic: AtomicU64::new(0),
            phase: AtomicU32::new(0),
            status: AtomicU32::new(0),
            call: AtomicU32::new(0),
            listening: AtomicU32::new(0),
            calls: AtomicU64::new(0),
            step: AtomicU64::new(0),
            began: AtomicU64::new(0),
            asked: AtomicU32::new(0),
            parent_asked: AtomicU32::new(0),
            suspended: AtomicU32::new(0),
            asked_by: AtomicU32::new(0),
            standing: AtomicU32::new(0),
            run: Text::new(),
            plugins: Names::new(),
            methods: Names::new(),
        }
    }

    /// The number of a plugin, such as `layer 'ldl'`.
    pub fn plugin(&self, name: &str) -> u32 {
        let _one = NUMBERING.lock();
        self.plugins.number(name)
    }

    /// The number of a function that plugins have.
    pub fn method(&self, name: &str) -> u32 {
        let _one = NUMBERING.lock();
        self.methods.number(name)
    }

    /// A call begins; returns the one around it, for [`leave`](Self::leave).
    #[inline]
    pub fn enter(&self, call: Call) -> Call {
        // One thread calls plugins. Where two do, a count is lost, and nothing depends on it.
        self.calls.store(self.calls.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        let around = Call(self.call.load(Ordering::Relaxed));
        self.call.store(call.0, Ordering::Relaxed);
        around
    }

    /// A call ends; the one around it goes on.
    #[inline]
    pub fn leave(&self, around: Call) {
        self.call.store(around.0, Ordering::Relaxed);
    }

    /// So many steps are made.
    #[inline]
    pub fn set_step(&self, step: u64) {
        self.step.store(step, Ordering::Relaxed);
    }

    /// Where the engine is from now on; returns where it was.
    pub fn set_phase(&self, phase: Phase) -> Phase {
        Phase::of(self.phase.swap(phase as u32, Ordering::Release))
    }

    /// From now on there is a run, in this directory, which began so many seconds after 1970.
    pub fn begin_run(&self, directory: &Path, began: f64) {
        self.began.store(began.to_bits(), Ordering::Relaxed);
        self.run.set(directory.as_os_str().as_bytes());
    }

    /// The engine's exit status is known.
    pub fn set_status(&self, status: u8) {
        self.status.store(u32::from(status) + 1, Ordering::Release);
    }

    /// The engine takes signals for what they mean to a run.
    pub fn listens(&self) {
        self.listening.store(1, Ordering::Release);
    }

    /// The engine is asked to stop by a signal: once more, or (`once_only`) if it was not yet. How often that makes. May be
    /// called by a handler of signals.
    pub fn ask(&self, signal: i32, once_only: bool) -> u32 {
        self.asked_by.store(signal as u32, Ordering::Relaxed);
        count(&self.asked, once_only)
    }

    /// As [`ask`](Self::ask), by the parent. Both may hear of one Ctrl-C: the larger of the counts is what was wanted.
    pub fn parent_asks(&self, once_only: bool) -> u32 {
        count(&self.parent_asked, once_only)
    }

    /// How often it was wanted that the engine stops.
    #[inline]
    pub fn stops(&self) -> u32 {
        self.asked.load(Ordering::Relaxed).max(self.parent_asked.load(Ordering::Relaxed))
    }

    /// The engine stands still since its parent does, or no longer.
    pub fn set_suspended(&self, suspended: bool) {
        self.suspended.store(u32::from(suspended), Ordering::Release);
    }

    /// Whether the engine stands still between two steps.
    pub fn set_standing(&self, standing: Standing) {
        self.standing.store(standing as u32, Ordering::Release);
    }

    /// What it is doing now.
    pub fn doing(&self) -> Doing {
        let call = self.call.load(Ordering::Relaxed);
        let plugin = self.plugins.name(call & 0xffff);
        let run = self.run.get();
        let status = self.status.load(Ordering::Acquire);
        Doing {
            phase: Phase::of(self.phase.load(Ordering::Acquire)),
            step: self.step.load(Ordering::Relaxed),
            calls: self.calls.load(Ordering::Relaxed),
            call: plugin.map(|plugin| (plugin, self.methods.name(call >> 16).unwrap_or_default())),
            run: (!run.is_empty()).then(|| PathBuf::from(OsString::from_vec(run))),
            began: f64::from_bits(self.began.load(Ordering::Relaxed)),
            status: status.checked_sub(1).map(|status| status as u8),
            listening: self.listening.load(Ordering::Acquire) != 0,
            asked: self.asked.load(Ordering::Relaxed),
            asked_by: self.asked_by.load(Ordering::Relaxed) as i32,
            suspended: self.suspended.load(Ordering::Acquire) != 0,
            standing: match self.standing.load(Ordering::Acquire) {
                1 => Standing::Paused,
                2 => Standing::LeftAlone,
                _ => Standing::No,
            },
        }
    }
}

fn count(asked: &AtomicU32, once_only: bool) -> u32 {
    match once_only {
        true => asked.fetch_max(1, Ordering::Relaxed).max(1),
        false => asked.fetch_add(1, Ordering::Relaxed) + 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_call_counts_and_the_one_around_it_comes_back() {
        let activity = Activity::new();
        let cell = Call::new(activity.plugin("cell 'mgu'"), activity.method("forward"));
        let layer = Call::new(activity.plugin("layer 'ldl'"), activity.method("backward"));
        let named = |plugin: &str, method: &str| Some((plugin.to_owned(), method.to_owned()));
        let outer = activity.enter(cell);
        let inner = activity.enter(layer);
        assert_eq!(activity.doing().call, named("layer 'ldl'", "backward"));
        activity.leave(inner);
        assert_eq!(activity.doing().call, named("cell 'mgu'", "forward"));
        activity.leave(outer);
        assert_eq!((activity.doing().call, activity.doing().calls), (None, 2));
    }

    #[test]
    fn one_ctrl_c_that_both_hear_of_is_one() {
        let activity = Activity::new();
        assert_eq!(activity.stops(), 0);
        assert_eq!((activity.ask(2, false), activity.parent_asks(false)), (1, 1));
        assert_eq!(activity.stops(), 1);
        // What comes each second, such as SIGXCPU, is no second Ctrl-C.
        assert_eq!((activity.ask(24, true), activity.ask(24, true)), (1, 1));
        assert_eq!((activity.parent_asks(false), activity.stops()), (2, 2));
    }
}

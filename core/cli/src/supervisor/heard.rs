//! Signals, and that the engine has ended: what this program waits for.
use efference_supervision::{Meaning, is_ignored, meaning};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Signal;
use signal_hook::consts::SIGCHLD;
use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::SignalOnly;
use std::io;
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// What ends a process that does not listen to it: it is the engine that is meant, and how that ended is for this one to say.
const PASSED_ON: [Signal; 7] =
    [Signal::QUIT, Signal::ALARM, Signal::VTALARM, Signal::PROF, Signal::IO, Signal::POWER, Signal::STKFLT];

/// Something that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// A signal that means this to a run.
    Wish(i32, Meaning),
    /// A signal that is for the engine.
    PassOn(i32),
}

/// Listens to all that this program waits for.
pub(super) struct Heard {
    delivery: SignalDelivery<UnixStream, SignalOnly>,
}

impl Heard {
    /// Listens from now on, but not to signals that this process was started to ignore.
    pub(super) fn new() -> io::Result<Heard> {
        let wishes = meaning().map(|(signal, _)| signal);
        let passed_on = PASSED_ON.map(Signal::as_raw);
        let signals = wishes.into_iter().chain(passed_on).filter(|signal| !is_ignored(*signal));
        let (read, write) = UnixStream::pair()?;
        let delivery = SignalDelivery::with_pipe(read, write, SignalOnly, signals.chain([SIGCHLD]))?;
        Ok(Heard { delivery })
    }

    /// What came since the last call.
    pub(super) fn events(&mut self) -> Vec<Event> {
        let event = |signal: i32| {
            let meant = meaning().into_iter().find(|(known, _)| *known == signal);
            match meant {
                Some((_, meaning)) => Some(Event::Wish(signal, meaning)),
                None => (signal != SIGCHLD).then_some(Event::PassOn(signal)),
            }
        };
        self.delivery.pending().filter_map(event).collect()
    }

    /// Waits until something comes, or so long.
    pub(super) fn wait(&self, timeout: Duration) {
        let timeout = Timespec { tv_sec: timeout.as_secs() as i64, tv_nsec: timeout.subsec_nanos().into() };
        // An interruption is one of the signals; and whatever else goes wrong, the next look is no earlier for it.
        let _ = poll(&mut [PollFd::new(self.delivery.get_read(), PollFlags::IN)], Some(&timeout));
    }
}

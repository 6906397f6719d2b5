//! Keeping the streams going: pages that break are mended, and a browser that ends is started again, while no call waits for
//! an answer.
use crate::chromium::Chromium;
use crate::devtools::Failure;
use crate::gate::Gate;
use crate::lock_step::{self, Pace};
use crate::memory::MemoryBound;
use crate::options::Options;
use crate::stream::{Stream, StreamFailure};
use crate::troubles::Troubles;
use efference_sdk::{Error, Result, ResultExt};
use std::path::PathBuf;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// A browser that ends more often than this within a minute is given up.
const MAX_RESTARTS: usize = 5;

/// Browsers that are being ended, which takes a moment.
#[derive(Default)]
struct Ending(Vec<JoinHandle<()>>);

impl Ending {
    /// Ends a browser on a thread of its own.
    fn end(&mut self, chromium: Chromium) {
        self.0.retain(|thread| !thread.is_finished());
        let name = "efference-browser-end".to_owned();
        // Without a thread it is dropped, and thereby ended, here.
        self.0.extend(thread::Builder::new().name(name).spawn(move || drop(chromium)));
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        for thread in self.0.drain(..) {
            let _ = thread.join(); // a panic was reported when it happened
        }
    }
}

/// What keeps a browser and its streams going.
pub(crate) struct Supervision {
    program: PathBuf,
    /// How the time of pages goes, if it goes step by step.
    pace: Option<Pace>,
    /// Through which pages reach the network; `None`: there is no rule.
    pub(crate) gate: Option<Gate>,
    pub(crate) troubles: Troubles,
    memory: MemoryBound,
    ending: Ending,
    /// When browsers ended, of the last minute.
    restarts: Vec<Instant>,
}

impl Supervision {
    pub(crate) fn new(program: PathBuf, pace: Option<Pace>, gate: Option<Gate>, options: &Options) -> Self {
        Supervision {
            program,
            pace,
            gate,
            troubles: Troubles::default(),
            memory: MemoryBound::new(options.memory),
            ending: Ending::default(),
            restarts: Vec::new(),
        }
    }

    /// Starts a browser.
    pub(crate) fn start(&self, options: &Options) -> Result<Chromium> {
        Chromium::start(&self.program, options, self.pace, self.gate.as_ref())
    }

    /// Why a browser that was just started cannot be used.
    pub(crate) fn explain(&self, chromium: &Chromium, options: &Options, failure: &Failure) -> Error {
        chromium.explain(&self.program, options, failure)
    }

    /// Recovers from faults of pages and from the end of the whole browser.
    pub(crate) fn check(
        &mut self,
        chromium: &mut Chromium,
        streams: &mut [Stream],
        options: &Options,
    ) -> Result<()> {
        self.troubles.look(Instant::now());
        let checked = self.check_pages(chromium, streams, options);
        self.recover(checked, chromium, streams, options)
    }

    /// Looks what pages say of their episodes.
    pub(crate) fn follow_episodes(
        &mut self,
        chromium: &mut Chromium,
        streams: &mut [Stream],
        options: &Options,
    ) -> Result<()> {
        let followed = streams.iter_mut().try_for_each(Stream::follow_episodes);
        self.recover(followed, chromium, streams, options)
    }

    fn recover(
        &mut self,
        checked: Result<(), StreamFailure>,
        chromium: &mut Chromium,
        streams: &mut [Stream],
        options: &Options,
    ) -> Result<()> {
        match checked {
            Ok(()) => Ok(()),
            Err(StreamFailure::Browser(failure)) => self.restart(chromium, streams, options, &failure),
            Err(StreamFailure::Page { url, why }) => {
                let more = self.gate.as_ref().and_then(|gate| gate.failure(&url));
                let more = more.map(|why| format!(" ({why})")).unwrap_or_default();
                Err(Error::msg(format!("{url} cannot be opened: {why}{more}")))
            }
        }
    }

    fn check_pages(
        &mut self,
        chromium: &mut Chromium,
        streams: &mut [Stream],
        options: &Options,
    ) -> Result<(), StreamFailure> {
        if !chromium.check(&self.program)? {
            streams.iter_mut().for_each(|stream| stream.tab.excuse());
            return Ok(());
        }
        self.memory.check(chromium, &mut self.troubles)?;
        for stream in streams {
            stream.check_faults(chromium, options, &mut self.troubles)?;
            stream.follow_episodes()?;
        }
        Ok(())
    }

    fn restart(
        &mut self,
        chromium: &mut Chromium,
        streams: &mut [Stream],
        options: &Options,
        failure: &Failure,
    ) -> Result<()> {
        if self.pace.is_some() && lock_step::is_unknown(failure) {
            let message = format!(
                "{} cannot draw step by step, as pace = \"lock-step\" needs it; set chromium to the program of a newer \
                 chromium-headless-shell (on Debian: apt-get install chromium-headless-shell), or choose pace = \"real-time\"",
                self.program.display()
            );
            return Err(Error::msg(failure).context(message));
        }
        if !chromium.is_ready() && self.restarts.is_empty() {
            return Err(self.explain(chromium, options, failure));
        }
        let now = Instant::now();
        self.restarts.retain(|at| now.duration_since(*at) < Duration::from_secs(60));
        self.restarts.push(now);
        let error = chromium.exit_error(failure);
        if self.restarts.len() > MAX_RESTARTS {
            return Err(
                error.context(format!("the browser ended {} times within a minute", self.restarts.len()))
            );
        }
        self.troubles.warn("browser", &format!("the browser is started again: {error:#}"));
        let new = self.start(options).context("the browser ended and cannot be started again")?;
        new.bridge.set_one_picture(chromium.bridge.gives_one_picture());
        self.ending.end(std::mem::replace(chromium, new));
        for stream in streams {
            // If this fails as well, the next look finds the connection closed.
            let _ = stream.move_to(chromium, options);
        }
        Ok(())
    }
}

//! Keeping the streams going: pages that break are mended, and a browser that ends is started again, while no call waits for
//! an answer.
use crate::Browser;
use crate::chromium::Chromium;
use crate::devtools::Failure;
use crate::lock_step;
use crate::stream::StreamFailure;
use efference_sdk::{Error, Result, ResultExt};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// A browser that ends more often than this within a minute is given up.
const MAX_RESTARTS: usize = 5;

/// Browsers that are being ended, which takes a moment.
#[derive(Default)]
pub(crate) struct Ending(Vec<JoinHandle<()>>);

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

impl Browser {
    /// Recovers from faults of pages and from the end of the whole browser.
    pub(crate) fn check_faults(&mut self) -> Result<()> {
        self.troubles.look(Instant::now());
        match self.check_pages() {
            Ok(()) => Ok(()),
            Err(StreamFailure::Browser(failure)) => self.restart(&failure),
            Err(StreamFailure::Page { url, why }) => {
                let more = self.gate.as_ref().and_then(|gate| gate.failure(&url));
                let more = more.map(|why| format!(" ({why})")).unwrap_or_default();
                Err(Error::msg(format!("{url} cannot be opened: {why}{more}")))
            }
        }
    }

    fn check_pages(&mut self) -> Result<(), StreamFailure> {
        if !self.chromium.check(&self.program)? {
            self.streams.iter_mut().for_each(|stream| stream.tab.excuse());
            return Ok(());
        }
        self.memory.check(&self.chromium, &mut self.troubles)?;
        for stream in &mut self.streams {
            stream.check_faults(&self.chromium, &self.options, &mut self.troubles)?;
        }
        Ok(())
    }

    /// How many times a stream had to be brought back.
    pub(crate) fn recoveries(&self) -> u64 {
        self.streams.iter().map(|stream| stream.recoveries).sum()
    }

    fn restart(&mut self, failure: &Failure) -> Result<()> {
        if self.chromium.pace.is_some() && lock_step::is_unknown(failure) {
            let message = format!(
                "{} cannot draw step by step, as pace = \"lock-step\" needs it; set chromium to the program of a newer \
                 chromium-headless-shell (on Debian: apt-get install chromium-headless-shell), or choose pace = \"real-time\"",
                self.program.display()
            );
            return Err(Error::msg(failure).context(message));
        }
        if !self.chromium.is_ready() && self.restarts.is_empty() {
            return Err(self.chromium.explain(&self.program, &self.options, failure));
        }
        let now = Instant::now();
        self.restarts.retain(|at| now.duration_since(*at) < Duration::from_secs(60));
        self.restarts.push(now);
        let error = self.chromium.exit_error(failure);
        if self.restarts.len() > MAX_RESTARTS {
            return Err(
                error.context(format!("the browser ended {} times within a minute", self.restarts.len()))
            );
        }
        self.troubles.warn("browser", &format!("the browser is started again: {error:#}"));
        let new = Chromium::start(&self.program, &self.options, self.chromium.pace, self.gate.as_ref())
            .context("the browser ended and cannot be started again")?;
        self.ending.end(std::mem::replace(&mut self.chromium, new));
        for stream in &mut self.streams {
            // If this fails as well, the next look finds the connection closed.
            let _ = stream.move_to(&self.chromium, &self.options);
        }
        self.chromium.bridge.set_one_picture(self.one_by_one);
        Ok(())
    }
}

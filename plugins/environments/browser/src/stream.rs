//! One stream: a page, what it acts with, and its last picture. It outlives its tabs.
use crate::actions::Hands;
use crate::chromium::Chromium;
use crate::devtools::Failure;
use crate::options::Options;
use crate::tab::{PageFault, Tab, new_context};
use crate::view::Window;
use efference_sdk::tracing;
use std::time::{Duration, Instant};
use url::Url;

/// After this long without a fault the next recovery is immediate again.
const BACKOFF_RESET: Duration = Duration::from_secs(3);
/// The longest wait before the next recovery of a page.
const MAX_BACKOFF: Duration = Duration::from_secs(10);

pub(crate) struct Stream {
    pub(crate) tab: Tab,
    pub(crate) hands: Hands,
    pub(crate) window: Window,
    /// When the picture was drawn, and that of the last frame, in seconds of the browser's clock.
    drawn: Option<f64>,
    drawn_before: Option<f64>,
    /// Whether the picture is newer than the last frame.
    pub(crate) fresh: bool,
    context: String,
    /// The fault to recover from, and when.
    fault: Option<(Instant, PageFault)>,
    /// Recoveries in a row, and when the last one was.
    recoveries: (u32, Instant),
}

impl Stream {
    /// Opens a page and begins to load the address.
    pub(crate) fn open(chromium: &Chromium, options: &Options, url: &Url) -> Result<Stream, Failure> {
        let context = new_context(chromium)?;
        Ok(Stream {
            tab: Tab::open(chromium, &context, options, url)?,
            hands: Hands::new(options),
            window: Window::default(),
            drawn: None,
            drawn_before: None,
            fresh: false,
            context,
            fault: None,
            recoveries: (0, Instant::now()),
        })
    }

    /// Goes on in another browser.
    pub(crate) fn move_to(
        &mut self,
        chromium: &Chromium,
        options: &Options,
        url: &Url,
    ) -> Result<(), Failure> {
        self.context = new_context(chromium)?;
        self.replace(chromium, options, url)
    }

    /// Decodes the newest picture, if there is one that was not looked at yet.
    pub(crate) fn take_picture(&mut self, options: &Options) {
        let news = self.tab.news(|news| Some((news.picture.take()?, news.picture_time)));
        if let Some(Some((picture, time))) = news
            && self.window.take(&picture, options.width, options.height)
        {
            self.fresh = true;
            self.drawn = time;
        }
    }

    /// A frame is sent: the seconds from the picture of the last one to this one's.
    pub(crate) fn frame_time(&mut self) -> Option<f64> {
        let before = std::mem::replace(&mut self.drawn_before, self.drawn);
        Some((self.drawn? - before?).max(0.0))
    }

    /// Recovers from faults of the page, at once the first time and then after longer and longer waits.
    pub(crate) fn check_faults(
        &mut self,
        chromium: &Chromium,
        options: &Options,
        url: &Url,
    ) -> Result<(), Failure> {
        let now = Instant::now();
        if self.fault.is_none() {
            let patience = Duration::try_from_secs_f64(options.patience).unwrap_or(Duration::MAX);
            let Some(fault) = self.tab.check_faults(patience)? else { return Ok(()) };
            if now.duration_since(self.recoveries.1) > BACKOFF_RESET {
                self.recoveries.0 = 0;
            }
            let wait = match self.recoveries.0 {
                0 => Duration::ZERO,
                n => MAX_BACKOFF.min(Duration::from_millis(50 << n.min(10))),
            };
            tracing::warn!(%fault, wait = wait.as_secs_f64(), "recovering from a page fault");
            self.fault = Some((now + wait, fault));
        }
        if self.fault.as_ref().is_some_and(|(at, _)| *at > now) {
            return Ok(());
        }
        let Some((_, fault)) = self.fault.take() else { return Ok(()) };
        self.recoveries = (self.recoveries.0 + 1, now);
        if fault.needs_new_tab() {
            self.replace(chromium, options, url)
        } else {
            self.hands.forget();
            self.tab.reload(url)
        }
    }

    /// Forgets past recoveries, so that a test does not wait.
    #[cfg(test)]
    pub(crate) fn reset_backoff(&mut self) {
        self.recoveries.0 = 0;
    }

    fn replace(&mut self, chromium: &Chromium, options: &Options, url: &Url) -> Result<(), Failure> {
        self.tab = Tab::open(chromium, &self.context, options, url)?;
        self.fault = None;
        self.hands.forget();
        Ok(())
    }
}

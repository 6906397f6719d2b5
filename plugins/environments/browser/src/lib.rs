//! Environment plugin: a headless Chromium to watch and to drive.
//!
//! Each stream is a page. What a stream **observes** is the list `sees` of the options, one part after the other:
//!
//! ```toml
//! [[environment.sees]]
//! kind = "viewport"          # the whole window, squares of 8 pixels averaged
//! shrink = 8
//! [[environment.sees]]
//! kind = "fovea"             # 5,000 points around the mouse, the denser the nearer
//! radius = 100
//! points = 5_000
//! ```
//!
//! | kind | elements |
//! |---|---|
//! | `viewport`, `mouse_rectangle` | red, green and blue of each square of `shrink` pixels, row by row from the top left: `(2c − 255) / 255` of the average colour; −1 outside of the window |
//! | `fovea` | the same of each point's cell of pixels; a pixel of exactly the colour `mask` makes its cell a missing value |
//! | `mouse_position` | 2: −1 at the left and the top of the window, 1 at the right and the bottom |
//! | `frame_time` | 1: how much later the picture was drawn than the last one, −1 for not at all, 1 for `longest` seconds |
//! | `constant` | 1: `value` |
//! | `link` | `size`: what the page offers by `directLink(vector)`, an array of so many numbers in −1…1; the newest one, whenever it came; missing values before the first one of a page |
//! | `audio` | `samples`: the newest of what the page plays through Web Audio or media elements, both sides mixed |
//!
//! Without a list, it is the rectangle around the mouse that `view_width`, `view_height` and `shrink` say, and where the mouse
//! is. What is drawn of an observation is the first part that is a picture.
//!
//! What it can **do** is the list `does`, whose actions follow each other:
//!
//! | kind | actions |
//! |---|---|
//! | `mouse_absolute` | 2 values: where the mouse is, as it is observed |
//! | `mouse_relative` | 2 values: the mouse goes right and down by `a · speed` pixels |
//! | `mouse_springy` | 2 values: the mouse is `a · reach` pixels away from where the others put it (alone: from the middle) |
//! | `mouse_directions` | a choice: it stays, or goes by `speed` pixels in one of 2, 4 or 8 directions |
//! | `buttons` | a value for each of its buttons, which is held while `a ≥ 0.5` |
//! | `wheel` | a value: the page is scrolled down by `a · speed` pixels |
//! | `keyboard` | a value for each of its keys, which is held while `a ≥ 0.5` and at most `most − 1` of them are higher |
//! | `triggers` | a value for each way to another page (`homepage`, `back`, `random_link`), which is taken if `a ≥ 0.5`, and not again within `cooldown` seconds; and by itself each `interval` seconds |
//!
//! With `choice = true` buttons, wheel and triggers are one choice each, of nothing or one of them, and a keyboard is `most` of
//! these, for goals that choose. Without a list there are four values: a relative mouse by `mouse_speed` and `mouse_spring`, its
//! left button, and the wheel by `scroll_speed`.
//!
//! The mouse cannot leave the window, nor end at its edge: a relative one loses `spring` of its way from the middle in each
//! step, and one that is pushed against an edge in 200 steps in a row begins again in the middle.
//!
//! Its **reward** is what the page gives by `directScore(x)`: the mean of the numbers given since the last frame, in
//! standard deviations from the mean of that page's rewards so far, of which three are 0.99. It is absent in a frame
//! before which the page gave none. Pages without `directScore` give no reward. Streams have no episodes.
//!
//! Pages are not trusted. What one may do is bounded: it runs in Chromium's sandbox (as root: as a user that owns
//! nothing), it cannot reach the DevTools pipe, its texts are escaped and cut before they are logged. If it crashes, hangs,
//! closes itself or cannot be loaded, the address of the options is loaded again, and the stream goes on with the
//! last picture until then. Popups and downloads are denied, dialogs are answered. As in any browser, a page can
//! send requests to servers on this machine and in its network.
//!
//! Nothing stays behind: processes and files of the browser end with the environment, and when the host is killed.

mod actions;
mod bridge;
mod bundled;
mod chromium;
mod cleanup;
mod devtools;
mod options;
mod process;
mod profile;
pub mod replay;
mod reward;
mod sight;
#[cfg(test)]
mod sight_tests;
mod stream;
mod tab;
#[cfg(test)]
mod tests;
mod travel;
mod view;

pub use actions::{
    Button, Buttons, Directions, Do, Keyboard, MouseAbsolute, MouseDirections, MouseRelative, MouseSpringy,
    Trigger, Triggers, Wheel,
};
pub use options::{Image, Options};
pub use sight::{
    Audio, Constant, FoveaOptions, FrameTime, Link, MousePosition, MouseRectangle, See, Viewport,
};

use crate::actions::Abilities;
use crate::chromium::Chromium;
use crate::devtools::Failure;
use crate::reward::Normaliser;
use crate::sight::{Look, Sight};
use crate::stream::Stream;
use efference_sdk::{
    Environment, EnvironmentSetup, Error, Frame, Frames, Outline, Picture, Plugin, Random, Result, ResultExt,
    RewardRange, Spaces, StepType, bail, tracing,
};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use url::Url;

/// How long all pages may take until their first picture.
const OPEN_LIMIT: Duration = Duration::from_secs(60);
/// How often the pages are checked for faults while no event comes.
const FAULT_CHECK_PERIOD: Duration = Duration::from_millis(200);
/// A browser that ends more often than this within a minute is given up.
const MAX_RESTARTS: usize = 5;

/// The environment: pages of one browser.
pub struct Browser {
    options: Options,
    url: Url,
    program: PathBuf,
    sight: Sight,
    abilities: Abilities,
    /// Draws links to follow.
    random: Random,
    // Before the browser, so that they are dropped first.
    streams: Vec<Stream>,
    chromium: Chromium,
    /// When browsers ended, of the last minute.
    restarts: Vec<Instant>,
    normaliser: Normaliser,
    clock: Clock,
    observation: Vec<f32>,
}

impl Plugin for Browser {
    const NAME: &'static str = "browser";
    const DESCRIPTION: &'static str =
        "A headless Chromium: sees and hears pages, moves the mouse, clicks, scrolls and types.";
    type Options = Options;
    type Kind = dyn Environment;

    fn outline(options: &Options) -> Result<Outline> {
        options.check()?;
        Ok(Outline { streams: Some(options.streams), spaces: Some(options.spaces()) })
    }

    fn new(options: Options, setup: &EnvironmentSetup) -> Result<Self> {
        let url = options.check()?;
        let program = chromium::find(&options.chromium)?;
        let chromium = Chromium::start(&program, &options)?;
        let streams: Result<Vec<_>, _> =
            (0..options.streams).map(|_| Stream::open(&chromium, &options, &url)).collect();
        let mut browser = Browser {
            clock: Clock::new(options.frames_per_second),
            sight: Sight::new(&options)?,
            abilities: Abilities::new(&options)?,
            random: Random::new(setup.seed),
            streams: streams.context("the browser runs, but opens no page")?,
            options,
            url,
            program,
            chromium,
            restarts: Vec::new(),
            normaliser: Normaliser::default(),
            observation: Vec::new(),
        };
        browser.wait_for_pages()?;
        Ok(browser)
    }
}

impl Options {
    fn spaces(&self) -> Spaces {
        Spaces {
            observation: self.features(),
            actions: self.action_groups(),
            reward: RewardRange { min: -reward::MAX, max: reward::MAX },
        }
    }
}

impl Environment for Browser {
    /// May take longer than `timeout` while a browser that has ended is started again, usually about a second.
    fn poll(&mut self, timeout: Duration, frames: &mut dyn Frames) -> Result<()> {
        let now = Instant::now();
        let deadline = now.checked_add(timeout).unwrap_or(now + Duration::from_secs(3600));
        loop {
            self.check_faults()?;
            let changes = self.chromium.bridge.changes();
            let now = Instant::now();
            let waits_for_pictures = self.clock.period.is_none();
            if waits_for_pictures || self.clock.due(now, false) {
                self.streams.iter_mut().for_each(|stream| stream.take_picture(&self.options));
            }
            if self.clock.due(now, self.streams.iter().all(|stream| stream.fresh)) {
                self.clock.tick(now);
                return self.send_frames(frames);
            }
            if now >= deadline {
                return Ok(());
            }
            let until = deadline.min(self.clock.next).min(now + FAULT_CHECK_PERIOD);
            if waits_for_pictures {
                self.chromium.bridge.wait(changes, until);
            } else {
                // No event until then would change when the next frame is due.
                std::thread::sleep(until.saturating_duration_since(now));
            }
        }
    }

    fn act(&mut self, stream: u64, _prediction: &[f32], action: &[f32]) -> Result<()> {
        let count = self.streams.len();
        let found = usize::try_from(stream).ok().and_then(|i| self.streams.get_mut(i));
        let Some(Stream { tab, hands, .. }) = found else {
            bail!("there is no stream {stream}: streams = {count}");
        };
        let send = |event: actions::Event| tab.input(event.method, &event.params);
        let trigger = hands.act(&self.abilities, action, Instant::now(), send);
        // The only failure is that the browser is gone, from which `poll` recovers.
        if let Ok(Some(trigger)) = trigger {
            let _ = travel::follow(tab, trigger, &self.url, &mut self.random);
        }
        Ok(())
    }

    fn spaces(&self) -> Result<Option<Spaces>> {
        Ok(Some(self.options.spaces()))
    }

    fn picture(&self, _stream: u64, observation: &[f32]) -> Result<Option<Picture>> {
        Ok(self.sight.draw(observation))
    }
}

impl Browser {
    /// Waits until each page was loaded and drawn once.
    fn wait_for_pages(&mut self) -> Result<()> {
        let deadline = Instant::now() + OPEN_LIMIT;
        let patience = OPEN_LIMIT;
        for stream in &mut self.streams {
            while stream.window.is_empty() {
                let changes = self.chromium.bridge.changes();
                let fault = stream.tab.check_faults(patience);
                if let Some(fault) = fault.map_err(|failure| self.chromium.exit_error(&failure))? {
                    bail!("{} cannot be opened: {fault}", self.url);
                }
                if Instant::now() > deadline {
                    bail!("{} was not drawn within {} s", self.url, OPEN_LIMIT.as_secs());
                }
                stream.take_picture(&self.options);
                self.chromium.bridge.wait(changes, Instant::now() + Duration::from_millis(20));
            }
        }
        Ok(())
    }

    /// Recovers from faults of pages and from the end of the whole browser.
    fn check_faults(&mut self) -> Result<()> {
        loop {
            match self.poll_pages() {
                Ok(()) => return Ok(()),
                Err(failure) => self.restart(&failure)?,
            }
        }
    }

    fn poll_pages(&mut self) -> Result<(), Failure> {
        for stream in &mut self.streams {
            stream.check_faults(&self.chromium, &self.options, &self.url)?;
        }
        if self.chromium.bridge.take_unknown_targets() {
            let own: Vec<_> = self.streams.iter().map(|stream| stream.tab.target.as_str()).collect();
            self.chromium.close_unknown_targets(&own)?;
        }
        Ok(())
    }

    fn restart(&mut self, failure: &Failure) -> Result<()> {
        let now = Instant::now();
        self.restarts.retain(|at| now.duration_since(*at) < Duration::from_secs(60));
        self.restarts.push(now);
        let error = self.chromium.exit_error(failure);
        if self.restarts.len() > MAX_RESTARTS {
            return Err(
                error.context(format!("the browser ended {} times within a minute", self.restarts.len()))
            );
        }
        tracing::warn!(why = format!("{error:#}"), "the browser is started again");
        self.chromium.end();
        self.chromium = Chromium::start(&self.program, &self.options)
            .context("the browser ended and cannot be started again")?;
        for stream in &mut self.streams {
            if let Err(failure) = stream.move_to(&self.chromium, &self.options, &self.url) {
                // The next `check_faults` finds the connection closed.
                tracing::warn!(%failure, "the new browser fails as well");
                self.chromium.end();
                break;
            }
        }
        Ok(())
    }

    fn send_frames(&mut self, frames: &mut dyn Frames) -> Result<()> {
        for (i, stream) in self.streams.iter_mut().enumerate() {
            self.observation.clear();
            let heard = if self.sight.listens() { stream.tab.news(|news| news.heard.clone()) } else { None };
            let look = Look {
                frame_time: stream.frame_time(),
                window: &stream.window,
                mouse: stream.hands.mouse.pixel(),
                mouse_position: stream.hands.mouse.observed(),
                heard: &heard.unwrap_or_default(),
            };
            self.sight.observe(&look, &mut self.observation);
            let normaliser = &mut self.normaliser;
            let reward = stream.tab.news(|news| normaliser.take(&mut news.rewards)).flatten();
            stream.fresh = false;
            frames.frame(Frame {
                stream: i as u64,
                observation: &self.observation,
                actions: &self.abilities.groups,
                reward,
                step_type: StepType::MIDDLE,
            })?;
        }
        Ok(())
    }
}

impl Chromium {
    /// The failure, with the end of the browser's stderr.
    fn exit_error(&self, failure: &Failure) -> Error {
        match self.stderr_tail() {
            tail if tail.is_empty() => Error::msg(failure),
            tail => Error::msg(format!("its stderr ends with: {tail}")).context(failure),
        }
    }
}

/// When frames are due.
struct Clock {
    /// Seconds from frame to frame; `None`: as the browser draws.
    period: Option<Duration>,
    /// When the next frame is due, whatever the browser draws.
    next: Instant,
}

impl Clock {
    /// How long a picture may stand still before it is sent again, if there is no period.
    const STILL: Duration = Duration::from_millis(100);

    fn new(frames_per_second: f64) -> Self {
        let period = (frames_per_second > 0.0).then(|| {
            Duration::try_from_secs_f64(1.0 / frames_per_second).unwrap_or(Duration::from_secs(3600))
        });
        Clock { period, next: Instant::now() }
    }

    fn due(&self, now: Instant, fresh: bool) -> bool {
        now >= self.next || (self.period.is_none() && fresh)
    }

    /// A frame is sent. A late one is not made up for by quick ones.
    fn tick(&mut self, now: Instant) {
        self.next = match self.period {
            None => now + Self::STILL,
            Some(period) if now < self.next + period => self.next + period,
            Some(period) => now + period,
        };
    }
}

efference_sdk::export! { environment: Browser }

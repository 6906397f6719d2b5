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
//! | `link` | `size`: what the page offers by `directLink(vector)`, an array of `size` values in −1…1; the newest one, whenever it came; missing values before the first one of a page |
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
//! | `mouse_grid` | a choice: it stays, or is put into the middle of one of `columns × rows` cells of the window, row by row from the top left |
//! | `buttons` | a value for each of its buttons, which is held while `a ≥ 0.5`; with `clicks = true` it is let go in the same step |
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
//! standard deviations from the mean of that page's rewards so far, of which three are 0.99; with `reward = "raw"` as they
//! are, within ±10⁹. It is absent in a frame before which the page gave none. Pages without `directScore` give no reward.
//! Streams have no episodes, unless their pages are [`tasks`], as MiniWoB's are. The raw mean is the **metric** `browser/reward` in any case, by which runs can be compared;
//! `browser/recoveries` counts how often a page had to be brought back. In real time `browser/picture_age` is how many seconds ago
//! the picture of a frame came: it grows while a page stands still, or hangs; `browser/missed_pictures` is how many
//! pictures between two frames nobody looked at, and `browser/reaction_time` how many seconds after a picture the agent acted on it.
//!
//! A **page** is an address, a folder or a file, which the plugin serves, or one that comes along. Several are taken by the streams in
//! turn. All open at once, a stream begins with its first picture, and no call waits for a page or for the browser.
//!
//! Whose **time** goes is `pace`. In real time, as it is by default, the newest picture is observed and no page waits. In lock-step a
//! page's time stands still until the agent has acted: a step is one period of it, of 1 / `frames_per_second` seconds, and one
//! picture at its end. So a click shows in the next observation, and what is seen depends neither on how long the agent thinks
//! nor on what else the machine does. Chance (`Math.random`) begins from the experiment's seed, `performance.now` with the page:
//! two runs see the same, bit for bit, of a page on which no server takes its time and that draws by these clocks, in animation
//! frames or by CSS. Timers (`setTimeout`) may come some milliseconds of the page's time earlier or later than in another run, and
//! Chromium rounds the times of CSS animations to 0.1 ms, by chance up or down: one that jumps just when a step ends may do so a step later. A
//! request that does not end within `patience` holds a page up once. A run that is resumed **plays again** what the agent had done
//! since each page was loaded, of which `replay` actions are remembered, and goes on where it was, if the page does the same
//! again; if not, it says so, and goes on with the page as it is. All streams step at once, and are drawn one after the other. Now and
//! then Chromium does not answer when it is to draw: the page is loaded anew then, after twice `patience`. On a quiet machine that is rare; where
//! others took the cores, it was so once in one of four to ten runs of 120 steps, with "png" as with "jpeg". Lock-step needs Chromium's headless shell (on Debian the package
//! `chromium-headless-shell`). `frame_time`, `cooldown` and `interval` are in seconds of the page's time.
//!
//! Pages are not trusted. What one may do is bounded: it runs in Chromium's sandbox (as root: as a user that owns
//! nothing), it cannot reach the DevTools pipe, its texts are escaped and cut before they are logged. If it crashes, hangs,
//! takes too much memory, closes itself or cannot be loaded, its address is loaded again, the second time in a row with new
//! cookies, and the stream goes on with the last picture until then. Popups and downloads are denied, dialogs are answered. It
//! reaches no server of this machine and its network but the one that `url` names, unless `local_network = true`: all
//! connections go through a proxy of the plugin's own, which looks at the addresses that names stand for. Other proxies are
//! not used then, whatever the variables `http_proxy` and the like say.
//!
//! Lists of `<select>`, which a headless browser does not draw, are drawn into the page, and can be clicked. Calendars and the like
//! of `<input>` are not opened: dates and times can be typed.
//!
//! Nothing stays behind: processes and files of the browser end with the environment, and when the host is killed.

mod actions;
mod address;
mod bridge;
mod bundled;
mod chromium;
mod cleanup;
mod clock;
mod devtools;
mod gate;
mod history;
mod lock_step;
mod memory;
mod nearest;
mod opening;
mod options;
mod page_fault;
mod process;
mod profile;
mod program;
pub mod replay;
mod restoring;
mod reward;
mod set_up;
mod sight;
mod stream;
mod supervision;
mod tab;
pub mod tasks;
#[cfg(test)]
mod tests;
mod travel;
mod troubles;
mod view;

pub use actions::{
    Button, Buttons, Directions, Do, Keyboard, MouseAbsolute, MouseDirections, MouseGrid, MouseRelative,
    MouseSpringy, Trigger, Triggers, Wheel,
};
pub use options::{Image, OneOrMore, Options, Pace, Reward};
pub use sight::{
    Audio, Constant, FoveaOptions, FrameTime, Link, MousePosition, MouseRectangle, See, Viewport,
};

use crate::actions::Abilities;
use crate::chromium::Chromium;
use crate::clock::Clock;
use crate::gate::{Gate, Named, Rules};
use crate::lock_step::Standing;
use crate::options::Pages;
use crate::reward::Normaliser;
use crate::sight::{Look, Sight};
use crate::stream::Stream;
use crate::supervision::Supervision;
use efference_sdk::{
    Environment, EnvironmentSetup, Frame, Frames, Outline, Picture, Plugin, Restores, Result, RewardRange,
    Spaces, bail, latest_metric, metric, tracing,
};
use std::time::{Duration, Instant};

/// How often the pages are checked for faults while no event comes.
const FAULT_CHECK_PERIOD: Duration = Duration::from_millis(200);

/// The environment: pages of one browser.
pub struct Browser {
    options: Options,
    sight: Sight,
    abilities: Abilities,
    // Before the browser, so that they are dropped first.
    streams: Vec<Stream>,
    chromium: Chromium,
    supervision: Supervision,
    /// Whether pictures are asked for one by one.
    one_by_one: bool,
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
        let pages = options.check()?;
        let program = program::find(&options)?;
        let pace = program.lock_step.then(|| lock_step::Pace::new(&options, setup.seed));
        if options.pace == Pace::Auto {
            let pace = if pace.is_some() { "in lock-step" } else { "in real time" };
            tracing::info!("pages go {pace}: pace is \"auto\", and {} is there", program.path.display());
        }
        let supervision = Supervision::new(program.path, pace, options.gate(&pages)?, &options);
        let chromium = supervision.start(&options)?;
        let streams: Result<Vec<_>, _> = (0..options.streams)
            .map(|i| Stream::open(i, &chromium, &options, pages.of(i), setup.seed))
            .collect();
        Ok(Browser {
            clock: Clock::new(options.frames_per_second),
            sight: Sight::new(&options)?,
            abilities: Abilities::new(&options)?,
            streams: streams.map_err(|failure| supervision.explain(&chromium, &options, &failure))?,
            options,
            chromium,
            supervision,
            one_by_one: false,
            normaliser: Normaliser::default(),
            observation: Vec::new(),
        })
    }
}

impl Options {
    /// What stands between the pages and the network.
    fn gate(&self, pages: &Pages) -> Result<Option<Gate>> {
        let Pages { urls, folders } = pages.clone();
        if self.local_network && folders.is_empty() {
            return Ok(None);
        }
        let named = urls.iter().filter_map(Named::of).collect();
        Gate::open(Rules { local_network: self.local_network, named, folders }).map(Some)
    }

    fn spaces(&self) -> Spaces {
        Spaces {
            observation: self.features(),
            actions: self.action_groups(),
            reward: if self.has_raw_reward() {
                RewardRange { min: -reward::LIMIT as f32, max: reward::LIMIT as f32 }
            } else {
                RewardRange { min: -reward::MAX, max: reward::MAX }
            },
        }
    }

    fn has_raw_reward(&self) -> bool {
        match self.reward {
            Reward::Raw => true,
            Reward::Normalised => false,
            Reward::Auto => self.has_tasks(),
        }
    }
}

impl Environment for Browser {
    /// Waits for nothing but the next frame: whatever the browser does meanwhile, the call ends after `timeout`.
    fn poll(&mut self, timeout: Duration, frames: &mut dyn Frames) -> Result<()> {
        let now = Instant::now();
        let deadline = now.checked_add(timeout).unwrap_or(now + Duration::from_secs(3600));
        if self.chromium.pace.is_some() {
            return self.poll_in_lock_step(deadline, frames);
        }
        let one_by_one = self.clock.agent_is_back(now);
        self.set_pace(one_by_one);
        loop {
            self.supervision.check(&mut self.chromium, &mut self.streams, &self.options)?;
            let changes = self.chromium.bridge.changes();
            let now = Instant::now();
            if self.one_by_one && self.clock.asks(now) {
                self.streams.iter_mut().for_each(Stream::ask_for_picture);
            }
            let follows = self.clock.follows_pictures();
            for stream in self.streams.iter_mut().filter(|s| follows || s.frame().is_none()) {
                stream.take_picture(&self.options);
            }
            let mut shown = self.streams.iter().filter(|stream| stream.frame().is_some()).peekable();
            if shown.peek().is_some() && self.clock.due(now, shown.all(|stream| stream.is_fresh(follows))) {
                self.clock.tick(now);
                self.streams.iter_mut().for_each(|stream| stream.take_picture(&self.options));
                return self.send_frames(frames, |_| true);
            }
            if now >= deadline {
                return Ok(());
            }
            let look_again = self.clock.look_again(now, self.one_by_one).max(now + Duration::from_millis(1));
            let until = deadline.min(look_again).min(now + FAULT_CHECK_PERIOD);
            self.chromium.bridge.wait(changes, until);
        }
    }

    fn act(&mut self, stream: u64, _prediction: &[f32], action: &[f32]) -> Result<()> {
        let count = self.streams.len();
        let found = usize::try_from(stream).ok().and_then(|i| self.streams.get_mut(i));
        let Some(stream) = found else {
            bail!("there is no stream {stream}: streams = {count}");
        };
        if !stream.takes_actions() {
            return Ok(());
        }
        stream.act(&self.abilities, action);
        Ok(())
    }

    fn spaces(&self) -> Result<Option<Spaces>> {
        Ok(Some(self.options.spaces()))
    }

    fn picture(&self, _stream: u64, observation: &[f32]) -> Result<Option<Picture>> {
        Ok(self.sight.draw(observation))
    }

    fn restores(&self) -> Result<Restores> {
        Ok(self.restores_by_replay())
    }

    fn save(&self) -> Result<Vec<u8>> {
        self.save_streams()
    }

    /// Begins to play again what had happened, which `poll` then does before anything else.
    fn restore(&mut self, saved: &[u8]) -> Result<()> {
        self.restore_streams(saved)
    }
}

impl Browser {
    /// Waits until each page has made its step, and sends the frames.
    fn poll_in_lock_step(&mut self, deadline: Instant, frames: &mut dyn Frames) -> Result<()> {
        loop {
            self.supervision.check(&mut self.chromium, &mut self.streams, &self.options)?;
            self.play_again();
            // Those whose pages are where they were wait for the others.
            let plays_again = self.plays_again();
            if !plays_again && self.streams.iter().any(Stream::is_cut_off) {
                return self.send_frames(frames, Stream::is_cut_off);
            }
            let changes = self.chromium.bridge.changes();
            let now = Instant::now();
            let mut standings = Vec::with_capacity(self.streams.len());
            for stream in &self.streams {
                let waits = plays_again && stream.played_again.is_none();
                standings.push(if waits { Standing::Out } else { stream.step(now) });
            }
            if standings.contains(&Standing::Done) && !standings.contains(&Standing::Steps) {
                let done = self.streams.iter_mut().zip(&standings).filter(|(_, s)| **s == Standing::Done);
                done.for_each(|(stream, _)| stream.stepped());
                self.streams.iter_mut().for_each(|stream| stream.take_picture(&self.options));
                // What a page says in a step has come before the step's end.
                self.supervision.follow_episodes(&mut self.chromium, &mut self.streams, &self.options)?;
                if plays_again {
                    let done = self.streams.iter_mut().zip(&standings).filter(|(_, s)| **s == Standing::Done);
                    done.filter(|(stream, _)| stream.played_again.is_some())
                        .for_each(|(stream, _)| stream.step_played_again());
                } else if self.streams.iter().any(|stream| stream.frame().is_some()) {
                    return self.send_frames(frames, |_| true);
                }
                continue;
            }
            if now >= deadline {
                return Ok(());
            }
            self.chromium.bridge.wait(changes, deadline.min(now + FAULT_CHECK_PERIOD));
        }
    }

    /// Has pictures come one by one, as they are asked for, or as the browser draws.
    fn set_pace(&mut self, one_by_one: bool) {
        if std::mem::replace(&mut self.one_by_one, one_by_one) && !one_by_one {
            self.streams.iter_mut().for_each(Stream::ask_for_picture);
        }
        self.chromium.bridge.set_one_picture(one_by_one);
    }

    /// Sends the frames of those streams that have one, and of which this holds.
    fn send_frames(&mut self, frames: &mut dyn Frames, of: impl Fn(&Stream) -> bool) -> Result<()> {
        let recoveries: u64 = self.streams.iter().map(|stream| stream.recoveries).sum();
        latest_metric("browser/recoveries", recoveries as f64);
        for (i, stream) in self.streams.iter_mut().enumerate() {
            let Some(step_type) = stream.frame().filter(|_| of(stream)) else { continue };
            if self.chromium.pace.is_none() {
                metric("browser/picture_age", stream.pictured.elapsed().as_secs_f64());
                let missed = stream.tab.news(|news| std::mem::take(&mut news.missed)).unwrap_or_default();
                metric("browser/missed_pictures", f64::from(missed));
                if let Some(reaction) = stream.reaction.take() {
                    metric("browser/reaction_time", reaction.as_secs_f64());
                }
            }
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
            let reward = self.normaliser.take(&mut stream.rewards).map(|given| {
                metric("browser/reward", given.raw);
                match (self.options.has_raw_reward(), self.options.has_tasks()) {
                    (false, _) => given.normalised,
                    (true, false) => given.raw as f32,
                    (true, true) => given.sum as f32,
                }
            });
            frames.frame(Frame {
                stream: i as u64,
                observation: &self.observation,
                actions: &self.abilities.groups,
                reward,
                step_type,
            })?;
            stream.sent();
        }
        Ok(())
    }
}

efference_sdk::export! { environment: Browser }

//! Lock-step: a page's time stands still but for one period a step, at whose end the page is drawn once.
//!
//! Chromium's virtual time advances by what a step grants (`Emulation.setVirtualTimePolicy`) and stands still while a request is
//! under way; `HeadlessExperimental.beginFrame` then draws. So what an agent sees does not depend on how long it thinks, nor
//! on how busy the machine is, and what it does shows in its next observation. Timers of a page are the exception: within a
//! period they may come earlier or later.
use crate::devtools::{Connection, Failure, lock};
use crate::options::{Image, Options};
use serde::Deserialize;
use serde_json::json;
use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

/// What `Date.now()` is when the first page of a stream begins, in seconds: 1 January 2026.
const EPOCH: f64 = 1_767_225_600.0;

/// How long a page is drawn again and again that gives no picture.
const UNTIL_DRAWN: Duration = Duration::from_millis(300);

/// How often a period that does not pass is granted again.
const MOST_RETRIES: u32 = 3;

/// How the time of pages goes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Pace {
    /// Of a page, in milliseconds: whole ones, so that they add up exactly.
    pub(crate) period: u32,
    pub(crate) image: Image,
    /// Of the pages' random numbers.
    pub(crate) seed: u64,
    /// How long a request may hold a page's time back.
    pub(crate) patience: Duration,
}

impl Pace {
    pub(crate) fn new(options: &Options, seed: u64) -> Self {
        let period = if options.frames_per_second > 0.0 { 1_000.0 / options.frames_per_second } else { 16.0 };
        Pace {
            period: period.round().clamp(1.0, 60_000.0) as u32,
            image: options.image,
            seed,
            patience: Duration::try_from_secs_f64(options.patience).unwrap_or(Duration::MAX),
        }
    }

    /// What a page runs before its own scripts: random numbers from a seed, and times that begin with the page.
    pub(crate) fn script(&self, stream: usize) -> String {
        let seed = efference_sdk::derive_seed(self.seed, &format!("page of stream {stream}"));
        // Numbers of JavaScript are exact up to 2^53.
        format!("{{ const SEED = {};\n{}\n}}", seed % (1 << 32), include_str!("page/lock_step.js"))
    }
}

/// A picture in base64, when it came, and when it was drawn in seconds of the page's time.
pub(crate) type Drawn = ((Vec<u8>, Instant), Option<f64>);

/// The steps of one page.
pub(crate) struct LockStep {
    connection: Arc<Connection>,
    session: String,
    pace: Pace,
    turns: Arc<Turns>,
    /// How much time of the stream's pages had passed before.
    before: Duration,
    state: Mutex<State>,
    /// Called when a step is done.
    wake: Box<dyn Fn() + Send + Sync>,
}

#[derive(Default)]
struct State {
    phase: Phase,
    /// Chromium's clock when the page's time was stopped, in milliseconds; `None`: it is not yet.
    base: Option<f64>,
    /// Milliseconds of the page's time since then.
    elapsed: u64,
    /// When its phase began.
    since: Option<Instant>,
    /// How often its period was granted again.
    retries: u32,
    /// Whether time goes on though requests are under way: one did not end.
    goes_on: bool,
    /// Whether there was no picture of its last step.
    undrawn: bool,
    /// What was drawn last, if it was not taken yet.
    picture: Option<Drawn>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Its time is about to be stopped.
    #[default]
    Opening,
    /// Its time stands still.
    Still,
    /// A period is granted.
    Advancing,
    /// It has passed, and another page of the browser is being drawn.
    Waiting,
    /// A picture is being drawn.
    Drawing,
    /// It is drawn, and what it said has not come yet.
    Hearing,
    /// The step is done.
    Done,
}

/// How a stream stands in a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// The others wait for it.
    Steps,
    /// It has stepped.
    Done,
    /// Its page is being mended: nobody waits for it.
    Out,
}

impl LockStep {
    /// Stops the time of a page that was not loaded yet, `before` which so much time of the stream's pages had passed.
    pub(crate) fn begin(
        connection: &Arc<Connection>,
        session: &str,
        pace: Pace,
        turns: &Arc<Turns>,
        before: Duration,
        wake: impl Fn() + Send + Sync + 'static,
    ) -> Result<Arc<LockStep>, Failure> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Stopped {
            virtual_time_ticks_base: f64,
        }
        let page = Arc::new(LockStep {
            connection: Arc::clone(connection),
            session: session.to_owned(),
            pace,
            turns: Arc::clone(turns),
            before,
            state: Mutex::default(),
            wake: Box::new(wake),
        });
        let stopping = Arc::clone(&page);
        let stop = json!({ "policy": "pause", "initialVirtualTime": EPOCH + before.as_secs_f64() });
        connection.send_then(session, "Emulation.setVirtualTimePolicy", stop, move |answer| {
            let stopped = answer.ok().and_then(|answer| serde_json::from_str::<Stopped>(answer).ok());
            let mut state = lock(&stopping.state);
            state.base = stopped.map(|stopped| stopped.virtual_time_ticks_base);
            if state.base.is_some() && state.phase == Phase::Opening {
                state.phase = Phase::Still;
            }
            drop(state);
            (stopping.wake)();
        })?;
        Ok(page)
    }

    /// Begins a step, or looks after one that is under way.
    pub(crate) fn step(&self, now: Instant) -> Result<Standing, Failure> {
        let mut state = lock(&self.state);
        match state.phase {
            Phase::Done => return Ok(Standing::Done),
            Phase::Still => {
                (state.phase, state.since, state.retries) = (Phase::Advancing, Some(now), 0);
                let goes_on = state.goes_on;
                drop(state);
                self.grant(goes_on)?;
            }
            Phase::Advancing if state.since.is_some_and(|t| now.duration_since(t) > self.pace.patience) => {
                // A request that never ends, or a page that another one replaced with what was granted to it.
                (state.goes_on, state.since) = (true, Some(now));
                state.retries += 1;
                drop(state);
                self.grant(true)?;
            }
            _ => {}
        }
        Ok(Standing::Steps)
    }

    fn grant(&self, goes_on: bool) -> Result<(), Failure> {
        let grant = json!({
            "policy": if goes_on { "advance" } else { "pauseIfNetworkFetchesPending" },
            "budget": self.pace.period,
        });
        self.connection.send(&self.session, "Emulation.setVirtualTimePolicy", grant)
    }

    /// What was granted has passed: draws the page, as soon as no other one is being drawn.
    pub(crate) fn period_is_over(self: &Arc<Self>) {
        {
            let mut state = lock(&self.state);
            if state.phase != Phase::Advancing {
                return;
            }
            state.phase = Phase::Waiting;
        }
        self.turns.ask(self);
    }

    fn draw(self: &Arc<Self>, turn: Turn) -> Result<(), Failure> {
        let ticks = {
            let mut state = lock(&self.state);
            let (Phase::Waiting, Some(base)) = (state.phase, state.base) else { return Ok(()) };
            (state.phase, state.since) = (Phase::Drawing, Some(Instant::now()));
            state.elapsed += u64::from(self.pace.period);
            // Chromium cuts it to whole microseconds, of which the base is so many: half of one more, so that none is lost.
            base + state.elapsed as f64 + 0.000_5
        };
        self.begin_frame(ticks, turn)
    }

    fn begin_frame(self: &Arc<Self>, ticks: f64, turn: Turn) -> Result<(), Failure> {
        let draw = json!({
            "frameTimeTicks": ticks,
            "interval": self.pace.period,
            "screenshot": self.pace.image.format(),
        });
        let page = Arc::clone(self);
        self.connection.send_then(&self.session, "HeadlessExperimental.beginFrame", draw, move |answer| {
            if page.drawn(answer.ok()) {
                drop(turn);
            } else {
                // A microsecond later.
                let _ = page.begin_frame(ticks + 0.001, turn);
            }
        })
    }

    /// Takes what was drawn; returns whether that will do.
    fn drawn(self: &Arc<Self>, answer: Option<&str>) -> bool {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Answer<'a> {
            #[serde(borrow)]
            screenshot_data: Option<Cow<'a, str>>,
        }
        let drawn = answer.and_then(|answer| serde_json::from_str::<Answer<'_>>(answer).ok());
        let picture =
            drawn.and_then(|drawn| drawn.screenshot_data).map(|data| data.into_owned().into_bytes());
        let mut state = lock(&self.state);
        // A page that has just been loaded may need a moment until it can be drawn; how long depends on how busy the machine
        // is. From one that cannot be drawn the last picture stays.
        let waits = state.since.is_some_and(|since| since.elapsed() < UNTIL_DRAWN);
        if answer.is_some() && picture.is_none() && waits && !state.undrawn {
            return false;
        }
        state.undrawn = picture.is_none();
        state.phase = Phase::Hearing;
        let seconds = state.elapsed as f64 / 1_000.0;
        if let Some(picture) = picture {
            state.picture = Some(((picture, Instant::now()), Some(seconds)));
        }
        drop(state);
        self.hear();
        true
    }

    /// Waits for what the page said in this step: that comes another way than pictures, in order with what is asked of its
    /// scripts.
    fn hear(self: &Arc<Self>) {
        let page = Arc::clone(self);
        let nothing = json!({ "expression": "0", "returnByValue": true });
        // A failure is that of the browser, which the next look finds.
        let _ = self.connection.send_then(&self.session, "Runtime.evaluate", nothing, move |_| {
            let mut state = lock(&page.state);
            if state.phase == Phase::Hearing {
                state.phase = Phase::Done;
            }
            drop(state);
            (page.wake)();
        });
    }

    /// What was drawn in this step; the next one may begin.
    pub(crate) fn take_picture(&self) -> Option<Drawn> {
        let mut state = lock(&self.state);
        if state.phase == Phase::Done {
            state.phase = Phase::Still;
        }
        state.picture.take()
    }

    /// Whether its step does not end, though no request holds it up any more.
    pub(crate) fn is_stuck(&self, now: Instant) -> bool {
        let state = lock(&self.state);
        let late = || state.since.is_some_and(|since| now.duration_since(since) > 2 * self.pace.patience);
        match state.phase {
            Phase::Drawing | Phase::Hearing => late(),
            Phase::Advancing => state.retries >= MOST_RETRIES,
            Phase::Opening | Phase::Still | Phase::Waiting | Phase::Done => false,
        }
    }

    /// Whether no step is under way.
    pub(crate) fn stands_still(&self) -> bool {
        lock(&self.state).phase == Phase::Still
    }

    /// How much time of the stream's pages has passed.
    pub(crate) fn time(&self) -> Duration {
        self.before + Duration::from_millis(lock(&self.state).elapsed)
    }

    /// Another page is loaded into the tab: what was under way is forgotten.
    pub(crate) fn begin_again(&self) {
        let mut state = lock(&self.state);
        state.goes_on = false;
        state.since = None;
        if state.base.is_some() {
            state.phase = Phase::Still;
        }
    }
}

/// Whose turn it is to be drawn: of two pages that are drawn at once, Chromium finishes neither.
#[derive(Default)]
pub(crate) struct Turns(Mutex<Queue>);

#[derive(Default)]
struct Queue {
    busy: bool,
    waiting: VecDeque<Weak<LockStep>>,
}

impl Turns {
    /// Draws a page, now or in its turn.
    fn ask(self: &Arc<Self>, page: &Arc<LockStep>) {
        {
            let mut queue = lock(&self.0);
            if queue.busy {
                return queue.waiting.push_back(Arc::downgrade(page));
            }
            queue.busy = true;
        }
        let _ = page.draw(Turn(Arc::clone(self)));
    }
}

/// The turn of a page. It is the next one's when it is dropped: with the answer, or with the page.
struct Turn(Arc<Turns>);

impl Drop for Turn {
    fn drop(&mut self) {
        let next = {
            let mut queue = lock(&self.0.0);
            let next = std::iter::from_fn(|| queue.waiting.pop_front()).find_map(|page| page.upgrade());
            queue.busy = next.is_some();
            next
        };
        if let Some(page) = next {
            // A failure is that of the browser, which the next look finds.
            let _ = page.draw(Turn(Arc::clone(&self.0)));
        }
    }
}

/// Whether a browser fails since it knows nothing of drawing step by step.
pub(crate) fn is_unknown(failure: &Failure) -> bool {
    match failure {
        Failure::Refused { method, message } => {
            message.contains("BeginFrameControl") || method.starts_with("HeadlessExperimental")
        }
        _ => false,
    }
}

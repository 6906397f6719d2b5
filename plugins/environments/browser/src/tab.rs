//! One page of the browser: setting it up, sending it input, and noticing its faults.
use crate::bridge::{Bridge, News};
use crate::chromium::{ANSWER_LIMIT, Chromium};
use crate::devtools::{Connection, Failure, lock, printable};
use crate::lock_step::LockStep;
use crate::opening::{Opening, Plan};
use crate::options::{Image, Options};
use crate::page_fault::{DIALOGS, PageFault};
use crate::set_up;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use url::Url;

/// How many inputs may wait for the page: one that hangs answers none.
const INPUTS: usize = 64;
/// How often the page is asked for a sign of life.
const PING: Duration = Duration::from_millis(500);
/// How much longer than a page a server may take to begin its answer.
const LOAD_PATIENCE: f64 = 6.0;

/// A page, maybe still being opened; it is closed when dropped.
pub(crate) struct Tab {
    opening: Arc<Opening>,
    /// When it was first looked at: from then on it has to open.
    waited_for: Option<Instant>,
    pub(crate) connection: Arc<Connection>,
    pub(crate) bridge: Arc<Bridge>,
    image: Image,
    in_lock_step: bool,
    /// How much time of the stream's pages had passed before, in lock-step.
    before: Duration,
    pub(crate) patience: Duration,
    pub(crate) load_limit: Duration,
    /// Whether pictures were asked for, and not refused.
    screencast: Arc<AtomicBool>,
    /// When the browser had heard that a picture is asked for anew.
    asked_anew: Arc<Mutex<Option<Instant>>>,
    /// Inputs on their way.
    inputs: Arc<AtomicUsize>,
    /// Of them, those that do not wait for the page to be drawn.
    arriving: Arc<AtomicUsize>,
    navigation: Arc<Mutex<Navigation>>,
    /// Answers to signs of life, and how many of them were seen.
    pongs: Arc<AtomicU64>,
    pongs_seen: u64,
    last_pong: Option<Instant>,
    last_ping: Option<Instant>,
    /// When the first ping was sent after the last answer.
    unanswered: Option<Instant>,
    /// Until when a pending navigation held the answers back.
    held_back: Option<Instant>,
    /// Whether scripts were stopped since the last sign of life.
    stopped: bool,
    dialogs_since: Instant,
}

enum Navigation {
    Settled,
    Pending(Instant),
    Failed(String),
}

impl Tab {
    /// Begins to open a page and to load the address, with cookies where those of `context` are, or in a new place; `before`: as
    /// [`LockStep::begin`] takes it.
    pub(crate) fn open(
        chromium: &Chromium,
        number: usize,
        context: Option<String>,
        before: Duration,
        options: &Options,
        url: &Url,
    ) -> Result<Tab, Failure> {
        let (connection, bridge) = (Arc::clone(&chromium.connection), Arc::clone(&chromium.bridge));
        let navigation = Arc::new(Mutex::new(Navigation::Settled));
        let then = {
            let (connection, bridge, url) = (Arc::clone(&connection), Arc::downgrade(&bridge), url.clone());
            let (navigation, pace) = (Arc::clone(&navigation), chromium.pace);
            let turns = Arc::clone(&chromium.turns);
            move |session: &str| {
                if let (Some(pace), Some(bridge)) = (pace, bridge.upgrade()) {
                    let waking = Arc::downgrade(&bridge);
                    let wake = move || waking.upgrade().iter().for_each(|bridge| bridge.wake());
                    let page = LockStep::begin(&connection, session, pace, &turns, before, wake)?;
                    bridge.news(session, |news| news.lock_step = Some(page));
                }
                navigate(&connection, session, &url, &navigation)
            }
        };
        let plan = Plan {
            connection: Arc::clone(&connection),
            bridge: Arc::clone(&bridge),
            context,
            size: (options.width, options.height),
            lock_step: chromium.pace.is_some(),
            set_up: set_up::messages(options, url, number, chromium.pace),
            then: Box::new(then),
        };
        let seconds = |s: f64| Duration::try_from_secs_f64(s).unwrap_or(Duration::MAX);
        Ok(Tab {
            opening: Opening::begin(plan)?,
            waited_for: None,
            connection,
            bridge,
            image: options.image,
            before,
            in_lock_step: chromium.pace.is_some(),
            patience: seconds(options.patience),
            load_limit: seconds(options.patience * LOAD_PATIENCE),
            screencast: Arc::new(AtomicBool::new(true)),
            asked_anew: Arc::default(),
            inputs: Arc::default(),
            arriving: Arc::default(),
            navigation,
            pongs: Arc::default(),
            pongs_seen: 0,
            last_pong: None,
            last_ping: None,
            unanswered: None,
            held_back: None,
            stopped: false,
            dialogs_since: Instant::now(),
        })
    }

    /// The place for its cookies, once there is one.
    pub(crate) fn context(&self) -> Option<String> {
        self.opening.context()
    }

    /// The session, once the page is open.
    pub(crate) fn session(&self) -> Option<&str> {
        self.opening.session()
    }

    /// Asks for a picture of what is there now, however new the last one is.
    pub(crate) fn ask_anew(&self) -> Result<(), Failure> {
        let Some(session) = self.session().filter(|_| !self.in_lock_step) else { return Ok(()) };
        *lock(&self.asked_anew) = None;
        let asked = Arc::clone(&self.asked_anew);
        self.connection.send(session, "Page.stopScreencast", json!({}))?;
        self.connection.send_then(session, "Page.startScreencast", self.image.format(), move |_| {
            *lock(&asked) = Some(Instant::now());
        })
    }

    /// Whether a picture is what was [asked for anew](Self::ask_anew), by when it came.
    pub(crate) fn is_anew(&self, came: Instant) -> bool {
        lock(&self.asked_anew).is_some_and(|asked| came >= asked)
    }

    /// Asks for pictures: one at once, and one whenever something changes. A page that takes the place of another has
    /// to be asked anew, and one that is about to do so refuses.
    pub(crate) fn ask_for_pictures(&self) -> Result<(), Failure> {
        let Some(session) = self.session().filter(|_| !self.in_lock_step) else { return Ok(()) };
        let params = self.image.format();
        let screencast = Arc::clone(&self.screencast);
        screencast.store(true, Ordering::Relaxed);
        self.connection.send(session, "Page.stopScreencast", json!({}))?;
        self.connection.send_then(session, "Page.startScreencast", params, move |answer| {
            screencast.store(answer.is_ok(), Ordering::Relaxed);
        })
    }

    /// Loads the address after a fault, forgetting what waited for the page that was there.
    pub(crate) fn reload(&mut self, url: &Url) -> Result<(), Failure> {
        let Some(session) = self.opening.session() else { return Ok(()) };
        self.connection.forget(session);
        self.inputs = Arc::default();
        self.arriving = Arc::default();
        self.navigation = Arc::new(Mutex::new(Navigation::Settled));
        self.unanswered = None;
        self.bridge.news(session, |news| {
            news.lock_step.iter().for_each(|page| page.begin_again());
            news.crashed = false;
            news.error_page = false;
            news.navigating = None;
            news.shown = None;
        });
        navigate(&self.connection, session, url, &self.navigation)
    }

    /// Looks at the news; `None` if it is not open.
    pub(crate) fn news<R>(&self, look: impl FnOnce(&mut News) -> R) -> Option<R> {
        self.bridge.news(self.session()?, look)
    }

    /// Its steps, once it is open and if it makes such.
    pub(crate) fn lock_step(&self) -> Option<Arc<LockStep>> {
        self.news(|news| news.lock_step.clone()).flatten()
    }

    /// In lock-step, how much time of the stream's pages has passed.
    pub(crate) fn time(&self) -> Option<Duration> {
        self.in_lock_step.then(|| self.lock_step().map_or(self.before, |page| page.time()))
    }

    /// How long the page that it shows has been well.
    pub(crate) fn well_for(&self) -> Duration {
        match (self.news(|news| news.shown).flatten(), self.last_pong) {
            (Some(shown), Some(pong)) => pong.saturating_duration_since(shown),
            _ => Duration::ZERO,
        }
    }

    /// The whole browser was silent: what this page left unanswered is not held against it.
    pub(crate) fn excuse(&mut self) {
        self.unanswered = None;
        self.waited_for = None;
    }

    /// Begins to load an address, if the page is open.
    pub(crate) fn load(&self, url: &Url) -> Result<(), Failure> {
        let Some(session) = self.session() else { return Ok(()) };
        // The browser says so a moment later, and until then the page that is there would still make a step, or not.
        self.bridge.news(session, |news| news.goes_elsewhere());
        navigate(&self.connection, session, url, &self.navigation)
    }

    /// Runs a script in the page, if it is open, without waiting.
    pub(crate) fn run(&self, script: Value) -> Result<(), Failure> {
        let Some(session) = self.session() else { return Ok(()) };
        self.connection.send(session, "Runtime.evaluate", script)
    }

    /// Sends an input event without waiting; `false` if the page is not open, or has too many of them before it.
    pub(crate) fn input(&self, method: &'static str, params: &Value) -> Result<bool, Failure> {
        let Some(session) = self.session() else { return Ok(false) };
        if self.inputs.load(Ordering::Relaxed) >= INPUTS {
            return Ok(false);
        }
        self.inputs.fetch_add(1, Ordering::Relaxed);
        let inputs = Arc::clone(&self.inputs);
        let done = move || _ = inputs.fetch_sub(1, Ordering::Relaxed);
        let moved = params["type"] == "mouseMoved";
        if !moved && params["type"] != "mouseWheel" {
            self.send_awaited(session, method, params, move |_| done())?;
            return Ok(true);
        }
        self.connection.send_then(session, method, params, move |_| done())?;
        if moved && self.in_lock_step {
            // Moves are taken when the page is drawn, those that have come by then; or when an event comes after them that is
            // not put off. Of this one pages see nothing.
            let key = json!({ "type": "char", "isSystemKey": true });
            self.send_awaited(session, "Input.dispatchKeyEvent", key, |_| ())?;
        }
        Ok(true)
    }

    /// Sends what a page is to have done before its time goes on.
    pub(crate) fn send_awaited(
        &self,
        session: &str,
        method: &'static str,
        params: impl Serialize,
        then: impl FnOnce(Result<&str, &str>) + Send + 'static,
    ) -> Result<(), Failure> {
        self.arriving.fetch_add(1, Ordering::Relaxed);
        let (arriving, bridge) = (Arc::clone(&self.arriving), Arc::clone(&self.bridge));
        self.connection.send_then(session, method, params, move |answer| {
            then(answer);
            arriving.fetch_sub(1, Ordering::Relaxed);
            bridge.wake();
        })
    }

    /// Whether the page has all inputs that do not wait for it to be drawn.
    pub(crate) fn has_inputs(&self) -> bool {
        self.arriving.load(Ordering::Relaxed) == 0
    }

    /// Asks for signs of life and, from a new page, for pictures; returns what is wrong. A page that was never `drawn` may
    /// take longer to answer, and only the time counts until which the browser itself is known to have been `well`.
    pub(crate) fn check_faults(
        &mut self,
        drawn: bool,
        well: Option<Instant>,
    ) -> Result<Option<PageFault>, Failure> {
        let now = Instant::now();
        if let Some(failure) = self.opening.take_failure() {
            return Err(failure);
        }
        let Some(session) = self.opening.session().map(str::to_owned) else {
            let since = *self.waited_for.get_or_insert(now);
            if self.connection.is_closed() {
                return Err(Failure::Closed { method: "Target.createTarget" });
            }
            if now.duration_since(since) > ANSWER_LIMIT {
                return Err(Failure::Late { method: "Target.createTarget", limit: ANSWER_LIMIT });
            }
            return Ok(None);
        };
        let second_over = now.duration_since(self.dialogs_since) >= Duration::from_secs(1);
        let (mut fault, mut navigating) = (None, None);
        self.news(|news| {
            navigating = news.navigating;
            let dialogs = news.dialogs;
            if second_over {
                news.dialogs = 0;
            }
            if std::mem::take(&mut news.navigated) {
                self.screencast.store(false, Ordering::Relaxed);
            }
            fault = match news {
                News { gone: true, .. } => Some(PageFault::Closed),
                News { crashed: true, .. } => Some(PageFault::Crashed),
                _ if dialogs > DIALOGS => Some(PageFault::Dialogs),
                News { error_page: true, .. } => Some(PageFault::ErrorPage),
                News { lock_step: Some(page), .. } if page.is_stuck(now) => Some(PageFault::Undrawn),
                _ => None,
            };
        });
        if second_over {
            self.dialogs_since = now;
        }
        // A navigation that failed knows best why there is an error page.
        {
            let mut navigation = lock(&self.navigation);
            match std::mem::replace(&mut *navigation, Navigation::Settled) {
                Navigation::Failed(why) => return Ok(Some(PageFault::NotLoaded(why))),
                Navigation::Pending(since) if now.duration_since(since) > self.load_limit => {
                    return self.stop_loading(&session).map(Some);
                }
                Navigation::Pending(since) => {
                    navigating = Some(since);
                    *navigation = Navigation::Pending(since);
                }
                Navigation::Settled => {}
            }
        }
        if fault.is_some() {
            return Ok(fault);
        }
        if !self.screencast.load(Ordering::Relaxed) {
            self.ask_for_pictures()?;
        }
        let patience = if drawn { self.patience } else { self.load_limit };
        self.check_pings(&session, now, patience, well, navigating)
    }

    fn stop_loading(&self, session: &str) -> Result<PageFault, Failure> {
        self.connection.send(session, "Page.stopLoading", json!({}))?;
        let why = format!("the server gave no answer within {} s", self.load_limit.as_secs_f64());
        Ok(PageFault::NotLoaded(why))
    }

    fn check_pings(
        &mut self,
        session: &str,
        now: Instant,
        patience: Duration,
        well: Option<Instant>,
        navigating: Option<Instant>,
    ) -> Result<Option<PageFault>, Failure> {
        let pongs = self.pongs.load(Ordering::Relaxed);
        if pongs != self.pongs_seen {
            self.pongs_seen = pongs;
            self.last_pong = Some(now);
            self.unanswered = None;
            self.stopped = false;
        }
        if let Some(since) = self.unanswered {
            let silent_since = self.held_back.map_or(since, |until| since.max(until));
            let silent = well.map_or(Duration::ZERO, |well| well.saturating_duration_since(silent_since));
            match navigating {
                // The browser holds back what the page is asked until the server has answered.
                Some(begun) => {
                    self.held_back = Some(now);
                    if now.duration_since(since.max(begun)) > self.load_limit {
                        return self.stop_loading(session).map(Some);
                    }
                }
                None if silent <= patience => {}
                None if self.stopped => return Ok(Some(PageFault::StillHung)),
                None => {
                    self.stopped = true;
                    self.connection.send(session, "Runtime.terminateExecution", json!({}))?;
                    return Ok(Some(PageFault::Hung));
                }
            }
        }
        if self.last_ping.is_none_or(|last| now.duration_since(last) >= PING) {
            self.last_ping = Some(now);
            self.unanswered.get_or_insert(now);
            let pongs = Arc::clone(&self.pongs);
            let nothing = json!({ "expression": "0", "returnByValue": true });
            self.connection.send_then(session, "Runtime.evaluate", nothing, move |_| {
                pongs.fetch_add(1, Ordering::Relaxed);
            })?;
        }
        Ok(None)
    }

    #[cfg(test)]
    pub(crate) fn target(&self) -> String {
        self.opening.target().unwrap_or_default()
    }

    #[cfg(test)]
    pub(crate) fn evaluate(&self, script: &str) -> Result<Value, Failure> {
        let params = json!({ "expression": script, "returnByValue": true });
        let session = self.session().expect("the page is open");
        let answer = self.connection.call(session, "Runtime.evaluate", params)?;
        Ok(answer["result"]["value"].clone())
    }

    #[cfg(test)]
    pub(crate) fn send(&self, method: &'static str) {
        self.connection.send(self.session().expect("the page is open"), method, json!({})).unwrap();
    }
}

impl Drop for Tab {
    fn drop(&mut self) {
        if let Some(session) = self.session() {
            self.bridge.forget(session);
            self.connection.forget(session);
        }
        self.opening.abandon();
    }
}

/// Begins to load an address. Whether it fails is seen by [`Tab::check_faults`].
fn navigate(
    connection: &Connection,
    session: &str,
    url: &Url,
    navigation: &Arc<Mutex<Navigation>>,
) -> Result<(), Failure> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Navigated {
        error_text: Option<String>,
    }
    *lock(navigation) = Navigation::Pending(Instant::now());
    let navigation = Arc::clone(navigation);
    connection.send_then(session, "Page.navigate", json!({ "url": url.as_str() }), move |answer| {
        let failed = match answer {
            Ok(result) => serde_json::from_str::<Navigated>(result).ok().and_then(|n| n.error_text),
            Err(error) => Some(error.to_owned()),
        };
        *lock(&navigation) = match failed {
            Some(why) => Navigation::Failed(printable(&why)),
            None => Navigation::Settled,
        };
    })
}

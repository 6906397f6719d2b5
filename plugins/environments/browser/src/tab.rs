//! One page of the browser: setting it up, sending it input, and noticing its faults.
use crate::bridge::{BINDING, Bridge, News};
use crate::bundled;
use crate::chromium::{ANSWER_LIMIT, Chromium};
use crate::devtools::{Connection, Failure, lock, printable};
use crate::options::{Image, Options};
use serde::Deserialize;
use serde_json::{Value, json};
use std::fmt;
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
/// How many dialogs a second a page may open.
const DIALOGS: u32 = 5;
/// The world of the reward's relay.
const WORLD: &str = "efference";

/// A page and its session; it is closed when dropped.
pub(crate) struct Tab {
    pub(crate) target: String,
    pub(crate) session: String,
    pub(crate) connection: Arc<Connection>,
    bridge: Arc<Bridge>,
    image: Image,
    load_limit: Duration,
    /// Whether pictures were asked for, and not refused.
    screencast: Arc<AtomicBool>,
    /// Inputs on their way.
    inputs: Arc<AtomicUsize>,
    navigation: Arc<Mutex<Navigation>>,
    /// Answers to signs of life, and how many of them were seen.
    pongs: Arc<AtomicU64>,
    pongs_seen: u64,
    last_ping: Option<Instant>,
    /// When the first ping was sent after the last answer.
    unanswered: Option<Instant>,
    /// Whether scripts were stopped since the last sign of life.
    stopped: bool,
    dialogs_since: Instant,
}

enum Navigation {
    Settled,
    Pending(Instant),
    Failed(String),
}

/// What is wrong with a page.
#[derive(Debug)]
pub(crate) enum PageFault {
    Crashed,
    Closed,
    Hung,
    StillHung,
    Dialogs,
    NotLoaded(String),
    ErrorPage,
}

impl PageFault {
    /// Whether loading a page into the same tab does not help.
    pub(crate) fn needs_new_tab(&self) -> bool {
        matches!(self, PageFault::Closed | PageFault::StillHung | PageFault::Dialogs)
    }
}

impl fmt::Display for PageFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PageFault::Crashed => f.write_str("the page has crashed"),
            PageFault::Closed => f.write_str("the page has closed itself"),
            PageFault::Hung => f.write_str("the page does not answer; its scripts are stopped"),
            PageFault::StillHung => f.write_str("the page does not answer, though its scripts were stopped"),
            PageFault::Dialogs => write!(f, "the page opens more than {DIALOGS} dialogs a second"),
            PageFault::NotLoaded(why) => write!(f, "the page cannot be loaded: {why}"),
            PageFault::ErrorPage => f.write_str("the page leads to one that cannot be loaded"),
        }
    }
}

/// Makes a place for cookies and the like that no other stream shares.
pub(crate) fn new_context(chromium: &Chromium) -> Result<String, Failure> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Created {
        browser_context_id: String,
    }
    let created: Created =
        chromium.connection.call("", "Target.createBrowserContext", json!({}), ANSWER_LIMIT)?;
    let context = created.browser_context_id;
    let deny = json!({ "behavior": "deny", "browserContextId": context });
    chromium.connection.order("", "Browser.setDownloadBehavior", deny, ANSWER_LIMIT)?;
    Ok(context)
}

impl Tab {
    /// Opens a page and begins to load the address.
    pub(crate) fn open(
        chromium: &Chromium,
        context: &str,
        options: &Options,
        url: &Url,
    ) -> Result<Tab, Failure> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Created {
            target_id: String,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Attached {
            session_id: String,
        }
        let (connection, bridge) = (Arc::clone(&chromium.connection), Arc::clone(&chromium.bridge));
        let window = json!({
            "url": "about:blank", "browserContextId": context, "newWindow": true,
            "width": options.width, "height": options.height,
        });
        let Created { target_id } = connection.call("", "Target.createTarget", window, ANSWER_LIMIT)?;
        let attach = json!({ "targetId": target_id, "flatten": true });
        let Attached { session_id } = connection.call("", "Target.attachToTarget", attach, ANSWER_LIMIT)?;
        bridge.add(&session_id);
        let tab = Tab {
            target: target_id,
            session: session_id,
            connection,
            bridge,
            image: options.image,
            load_limit: Duration::try_from_secs_f64(options.patience * LOAD_PATIENCE)
                .unwrap_or(Duration::MAX),
            screencast: Arc::new(AtomicBool::new(true)),
            inputs: Arc::default(),
            navigation: Arc::new(Mutex::new(Navigation::Settled)),
            pongs: Arc::default(),
            pongs_seen: 0,
            last_ping: None,
            unanswered: None,
            stopped: false,
            dialogs_since: Instant::now(),
        };
        tab.set_up(options, url)?;
        tab.load(url)?;
        Ok(tab)
    }

    fn set_up(&self, options: &Options, url: &Url) -> Result<(), Failure> {
        let order =
            |method, params: Value| self.connection.order(&self.session, method, params, ANSWER_LIMIT);
        order("Inspector.enable", json!({}))?;
        order("Page.enable", json!({}))?;
        order("Runtime.enable", json!({}))?;
        let size = json!({ "width": options.width, "height": options.height, "deviceScaleFactor": 1, "mobile": false });
        order("Emulation.setDeviceMetricsOverride", size)?;
        order("Emulation.setFocusEmulationEnabled", json!({ "enabled": true }))?;
        order("Page.setInterceptFileChooserDialog", json!({ "enabled": true }))?;
        order("Runtime.addBinding", json!({ "name": BINDING, "executionContextName": WORLD }))?;
        let relay = json!({ "source": include_str!("page/reward_relay.js"), "worldName": WORLD });
        order("Page.addScriptToEvaluateOnNewDocument", relay)?;
        let page_script = json!({ "source": include_str!("page/direct_score.js") });
        order("Page.addScriptToEvaluateOnNewDocument", page_script)?;
        for channel in options.channels() {
            order("Runtime.addBinding", json!({ "name": channel.binding, "executionContextName": WORLD }))?;
            let relay = json!({ "source": channel.relay, "worldName": WORLD });
            order("Page.addScriptToEvaluateOnNewDocument", relay)?;
            order("Page.addScriptToEvaluateOnNewDocument", json!({ "source": channel.page }))?;
        }
        if url.as_str().starts_with(bundled::ROOT) {
            let patterns = json!({ "patterns": [{ "urlPattern": format!("{}*", bundled::ROOT) }] });
            order("Fetch.enable", patterns)?;
        }
        Ok(())
    }

    /// Asks for pictures: one at once, and one whenever something changes. A page that takes the place of another has
    /// to be asked anew, and one that is about to do so refuses.
    fn start_screencast(&self) -> Result<(), Failure> {
        let params = match self.image {
            Image::Jpeg => json!({ "format": "jpeg", "quality": 80 }),
            Image::Png => json!({ "format": "png" }),
        };
        let screencast = Arc::clone(&self.screencast);
        screencast.store(true, Ordering::Relaxed);
        self.connection.send(&self.session, "Page.stopScreencast", json!({}))?;
        self.connection.send_then(&self.session, "Page.startScreencast", params, move |answer| {
            screencast.store(answer.is_ok(), Ordering::Relaxed);
        })
    }

    /// Begins to load an address. Whether it fails is seen by [`check_faults`](Self::check_faults).
    pub(crate) fn load(&self, url: &Url) -> Result<(), Failure> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Navigated {
            error_text: Option<String>,
        }
        *lock(&self.navigation) = Navigation::Pending(Instant::now());
        let navigation = Arc::clone(&self.navigation);
        self.connection.send_then(
            &self.session,
            "Page.navigate",
            json!({ "url": url.as_str() }),
            move |answer| {
                let failed = match answer {
                    Ok(result) => serde_json::from_str::<Navigated>(result).ok().and_then(|n| n.error_text),
                    Err(error) => Some(error.to_owned()),
                };
                *lock(&navigation) = match failed {
                    Some(why) => Navigation::Failed(printable(&why)),
                    None => Navigation::Settled,
                };
            },
        )
    }

    /// Loads the address after a fault, forgetting what waited for the page that was there.
    pub(crate) fn reload(&mut self, url: &Url) -> Result<(), Failure> {
        self.connection.forget(&self.session);
        self.inputs = Arc::default();
        self.navigation = Arc::new(Mutex::new(Navigation::Settled));
        self.unanswered = None;
        self.news(|news| {
            news.crashed = false;
            news.error_page = false;
        });
        self.load(url)
    }

    /// Looks at the news; `None` if it was closed by [`Bridge::forget`].
    pub(crate) fn news<R>(&self, look: impl FnOnce(&mut News) -> R) -> Option<R> {
        self.bridge.news(&self.session, look)
    }

    /// Sends an input event without waiting; `false` if the page has too many of them before it.
    pub(crate) fn input(&self, method: &'static str, params: &Value) -> Result<bool, Failure> {
        if self.inputs.load(Ordering::Relaxed) >= INPUTS {
            return Ok(false);
        }
        self.inputs.fetch_add(1, Ordering::Relaxed);
        let inputs = Arc::clone(&self.inputs);
        self.connection
            .send_then(&self.session, method, params, move |_| {
                inputs.fetch_sub(1, Ordering::Relaxed);
            })
            .map(|()| true)
    }

    /// Asks for signs of life and, from a new page, for pictures; returns what is wrong.
    pub(crate) fn check_faults(&mut self, patience: Duration) -> Result<Option<PageFault>, Failure> {
        let now = Instant::now();
        let second_over = now.duration_since(self.dialogs_since) >= Duration::from_secs(1);
        let fault = self.news(|news| {
            let dialogs = news.dialogs;
            if second_over {
                news.dialogs = 0;
            }
            if std::mem::take(&mut news.navigated) {
                self.screencast.store(false, Ordering::Relaxed);
            }
            match news {
                News { gone: true, .. } => Some(PageFault::Closed),
                News { crashed: true, .. } => Some(PageFault::Crashed),
                _ if dialogs > DIALOGS => Some(PageFault::Dialogs),
                News { error_page: true, .. } => Some(PageFault::ErrorPage),
                _ => None,
            }
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
                    self.connection.send(&self.session, "Page.stopLoading", json!({}))?;
                    let why = format!("the server gave no answer within {} s", self.load_limit.as_secs_f64());
                    return Ok(Some(PageFault::NotLoaded(why)));
                }
                other => *navigation = other,
            }
        }
        if let Some(Some(fault)) = fault {
            return Ok(Some(fault));
        }
        if !self.screencast.load(Ordering::Relaxed) {
            self.start_screencast()?;
        }
        self.check_pings(now, patience)
    }

    fn check_pings(&mut self, now: Instant, patience: Duration) -> Result<Option<PageFault>, Failure> {
        let pongs = self.pongs.load(Ordering::Relaxed);
        if pongs != self.pongs_seen {
            self.pongs_seen = pongs;
            self.unanswered = None;
            self.stopped = false;
        }
        if self.unanswered.is_some_and(|since| now.duration_since(since) > patience) {
            if self.stopped {
                return Ok(Some(PageFault::StillHung));
            }
            self.stopped = true;
            self.connection.send(&self.session, "Runtime.terminateExecution", json!({}))?;
            return Ok(Some(PageFault::Hung));
        }
        if self.last_ping.is_none_or(|last| now.duration_since(last) >= PING) {
            self.last_ping = Some(now);
            self.unanswered.get_or_insert(now);
            let pongs = Arc::clone(&self.pongs);
            let nothing = json!({ "expression": "0", "returnByValue": true });
            self.connection.send_then(&self.session, "Runtime.evaluate", nothing, move |_| {
                pongs.fetch_add(1, Ordering::Relaxed);
            })?;
        }
        Ok(None)
    }

    #[cfg(test)]
    pub(crate) fn evaluate(&self, script: &str) -> Result<Value, Failure> {
        let params = json!({ "expression": script, "returnByValue": true });
        let answer: Value = self.connection.call(&self.session, "Runtime.evaluate", params, ANSWER_LIMIT)?;
        Ok(answer["result"]["value"].clone())
    }

    #[cfg(test)]
    pub(crate) fn send(&self, method: &'static str) {
        self.connection.send(&self.session, method, json!({})).unwrap();
    }
}

impl Drop for Tab {
    fn drop(&mut self) {
        self.bridge.forget(&self.session);
        self.connection.forget(&self.session);
        // It may be gone, and so may the browser.
        let _ = self.connection.send("", "Target.closeTarget", json!({ "targetId": self.target }));
    }
}

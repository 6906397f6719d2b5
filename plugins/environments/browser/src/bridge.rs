//! Events of the browser. Everything that the page could wait for is answered at once on the reading thread; the rest is kept, the newest only, until the environment looks.
use crate::bundled;
use crate::devtools::{Connection, Listener, lock, printable};
use crate::lock_step::LockStep;
use crate::reward::{PageKey, Rewards};
use crate::sight::Heard;
use crate::tasks::{Said, TASK, Tale};
use efference_sdk::tracing;
use serde::Deserialize;
use serde_json::json;
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Instant;

/// The binding's name in the relay's world.
pub(crate) const BINDING: &str = "efferenceReward";

/// News of all tabs, by session.
#[derive(Default)]
pub(crate) struct Bridge {
    state: Mutex<State>,
    changed: Condvar,
    /// Whether a tab gives no picture after one.
    one_picture: AtomicBool,
}

#[derive(Default)]
struct State {
    tabs: HashMap<String, News>,
    /// Pages that the environment has opened.
    own: HashSet<String>,
    /// Where a page is being opened, by its context, and what else opened there meanwhile.
    expected: HashMap<String, Vec<String>>,
    /// Grows with every change.
    changes: u64,
    /// How many pictures came.
    #[cfg(test)]
    pictures: u64,
}

/// What happened to a tab.
#[derive(Default)]
pub(crate) struct News {
    /// The newest picture in base64, not looked at yet, and when it came.
    pub(crate) picture: Option<(Vec<u8>, Instant)>,
    /// How many pictures were replaced by newer ones before they were looked at.
    pub(crate) missed: u32,
    /// When the browser drew the newest picture, in seconds since some moment.
    pub(crate) drawn: Option<f64>,
    /// What its page lets the agent observe beside the picture.
    pub(crate) heard: Heard,
    /// Rewards, not looked at yet.
    pub(crate) rewards: Rewards,
    /// What its page says of episodes, not looked at yet.
    pub(crate) tale: Tale,
    /// Its renderer has crashed.
    pub(crate) crashed: bool,
    /// It was closed.
    pub(crate) gone: bool,
    /// It shows the browser's own page that says why a page cannot be shown.
    pub(crate) error_page: bool,
    /// It shows another page.
    pub(crate) navigated: bool,
    /// When it began to go to another page, as long as that has not come.
    pub(crate) navigating: Option<Instant>,
    /// When its scripts wanted that, as long as it has not begun to.
    pub(crate) requested: Option<Instant>,
    /// When it last showed another page.
    pub(crate) shown: Option<Instant>,
    /// How many dialogs were opened in this second.
    pub(crate) dialogs: u32,
    /// What it did that was answered at once, and is worth a line in the log.
    pub(crate) habits: Vec<Habit>,
    /// Its steps, if it makes such.
    pub(crate) lock_step: Option<Arc<LockStep>>,
    /// Where its cookies are.
    context: String,
    page: PageKey,
    /// The frame that is the page itself.
    frame: String,
}

/// What a page does that is answered without ado.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Habit {
    /// It opened another page, which was closed.
    Popup,
    /// It wanted to store a file, which was denied.
    Download,
    /// It opened a dialog of this kind, which was answered.
    Dialog(String),
}

/// No more pages are remembered of which one may be the expected one, which is among the first.
const POPUPS: usize = 256;
/// No more habits are remembered between two looks.
const HABITS: usize = 64;

impl News {
    /// It begins to load another page.
    pub(crate) fn goes_elsewhere(&mut self) {
        self.requested = None;
        self.navigating.get_or_insert_with(Instant::now);
    }

    fn noticed(&mut self, habit: Habit) {
        if self.habits.len() < HABITS {
            self.habits.push(habit);
        }
    }

    /// What was given before an episode is none of its rewards, and what its end gives is.
    fn hear_of_an_episode(&mut self, payload: &str) {
        match self.tale.hear(payload) {
            Some(Said::Begun { .. }) => self.rewards.clear(),
            Some(Said::Ended { reward, .. }) => self.rewards.add(self.page, *reward, 1.0),
            _ => {}
        }
    }
}

impl Bridge {
    /// Listens to a session from now on; `context` is where its cookies are.
    pub(crate) fn add(&self, session: &str, context: &str) {
        let news = News { context: context.to_owned(), ..News::default() };
        lock(&self.state).tabs.insert(session.to_owned(), news);
    }

    /// Says that a page will be opened in a context.
    pub(crate) fn expect_page(&self, context: &str) {
        lock(&self.state).expected.insert(context.to_owned(), Vec::new());
    }

    /// It was opened, or `None`: could not be. What else opened there meanwhile was not asked for.
    pub(crate) fn page_is_made(&self, connection: &Connection, context: &str, made: Option<&str>) {
        let mut state = lock(&self.state);
        state.own.extend(made.map(str::to_owned));
        let others = state.expected.remove(context).unwrap_or_default();
        drop(state);
        for target in others.iter().filter(|target| Some(target.as_str()) != made) {
            self.close_popup(connection, context, target);
        }
    }

    /// A page of the environment is about to be closed.
    pub(crate) fn disown(&self, target: &str) {
        lock(&self.state).own.remove(target);
    }

    /// Whether a tab gives one picture and no more when it is asked for pictures.
    pub(crate) fn set_one_picture(&self, one: bool) {
        self.one_picture.store(one, Ordering::Relaxed);
    }

    /// Whether it does.
    pub(crate) fn gives_one_picture(&self) -> bool {
        self.one_picture.load(Ordering::Relaxed)
    }

    fn close_popup(&self, connection: &Connection, context: &str, target: &str) {
        let _ = connection.send("", "Target.closeTarget", json!({ "targetId": target }));
        let mut state = lock(&self.state);
        if let Some(news) = state.tabs.values_mut().find(|news| news.context == context) {
            news.noticed(Habit::Popup);
        }
    }

    /// Listens to it no more.
    pub(crate) fn forget(&self, session: &str) {
        lock(&self.state).tabs.remove(session);
    }

    /// Looks at the news of a session, and may take some.
    pub(crate) fn news<R>(&self, session: &str, look: impl FnOnce(&mut News) -> R) -> Option<R> {
        lock(&self.state).tabs.get_mut(session).map(look)
    }

    /// How many pictures came.
    #[cfg(test)]
    pub(crate) fn pictures(&self) -> u64 {
        lock(&self.state).pictures
    }

    /// How many changes there were.
    pub(crate) fn changes(&self) -> u64 {
        lock(&self.state).changes
    }

    /// Waits until there are more changes than that, or until then.
    pub(crate) fn wait(&self, changes: u64, until: Instant) {
        let left = until.saturating_duration_since(Instant::now());
        let waited = self.changed.wait_timeout_while(lock(&self.state), left, |s| s.changes == changes);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    /// Ends a [`wait`](Bridge::wait).
    pub(crate) fn wake(&self) {
        lock(&self.state).changes += 1;
        self.changed.notify_all();
    }

    fn update(&self, session: &str, change: impl FnOnce(&mut News)) {
        if self.news(session, change).is_some() {
            self.wake();
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ScreencastFrame<'a> {
    #[serde(borrow)]
    data: Cow<'a, str>,
    #[serde(default)]
    metadata: FrameMetadata,
    session_id: i64,
}

#[derive(Deserialize, Default)]
struct FrameMetadata {
    timestamp: Option<f64>,
}

#[derive(Deserialize)]
struct BindingCalled<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    payload: Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FrameNavigated {
    frame: NavigatedFrame,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NavigatedFrame {
    id: String,
    parent_id: Option<String>,
    url: String,
    unreachable_url: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NavigatedWithinDocument {
    frame_id: String,
    url: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OfFrame {
    frame_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TargetCreated {
    target_info: TargetInfo,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TargetInfo {
    target_id: String,
    r#type: String,
    browser_context_id: Option<String>,
}

#[derive(Deserialize)]
struct DialogOpening<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    message: Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RequestPaused {
    request_id: String,
    request: PausedRequest,
}

#[derive(Deserialize)]
struct PausedRequest {
    url: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Detached {
    session_id: String,
}

impl Listener for Bridge {
    fn event(&self, connection: &Connection, session: &str, method: &str, params: &str) {
        if let Err(error) = self.handle(connection, session, method, params) {
            tracing::warn!(method = printable(method), %error, "an event of the browser makes no sense");
        }
    }
}

impl Bridge {
    fn handle(
        &self,
        connection: &Connection,
        session: &str,
        method: &str,
        params: &str,
    ) -> Result<(), serde_json::Error> {
        // A failed answer shows as the end of the connection, which the environment sees.
        match method {
            "Page.screencastFrame" => {
                let frame: ScreencastFrame<'_> = serde_json::from_str(params)?;
                let _ = if self.gives_one_picture() {
                    connection.send(session, "Page.stopScreencast", json!({}))
                } else {
                    let ack = json!({ "sessionId": frame.session_id });
                    connection.send(session, "Page.screencastFrameAck", ack)
                };
                let picture = frame.data.into_owned().into_bytes();
                #[cfg(test)]
                {
                    lock(&self.state).pictures += 1;
                }
                self.update(session, |news| {
                    news.missed += u32::from(news.picture.replace((picture, Instant::now())).is_some());
                    news.drawn = frame.metadata.timestamp;
                });
            }
            "Runtime.bindingCalled" => {
                let call: BindingCalled<'_> = serde_json::from_str(params)?;
                if call.name == BINDING && call.payload.len() < 128 {
                    let (sum, count) = serde_json::from_str(&call.payload)?;
                    self.news(session, |news| news.rewards.add(news.page, sum, count));
                } else if call.name == TASK {
                    self.update(session, |news| news.hear_of_an_episode(&call.payload));
                } else {
                    self.news(session, |news| news.heard.take(&call.name, &call.payload));
                }
            }
            "Page.frameNavigated" => {
                let FrameNavigated { frame } = serde_json::from_str(params)?;
                if frame.parent_id.is_none() {
                    self.update(session, |news| {
                        news.navigated = true;
                        news.tale.leave();
                        news.heard = Heard::default();
                        news.navigating = None;
                        // With this a tab begins, before it goes anywhere.
                        if frame.url != "about:blank" {
                            news.shown = Some(Instant::now());
                        }
                        news.page = PageKey::of(&frame.url);
                        news.frame = frame.id;
                        news.error_page =
                            frame.unreachable_url.is_some() || frame.url.starts_with("chrome-error:");
                    });
                }
            }
            // Said before the script is done that wants to go there.
            "Page.frameRequestedNavigation" => {
                let of: OfFrame = serde_json::from_str(params)?;
                self.news(session, |news| {
                    if news.frame == of.frame_id {
                        news.requested = Some(Instant::now());
                    }
                });
            }
            // Until the page that it goes to comes, the browser holds back what is asked of the page that is there.
            "Page.frameStartedNavigating" | "Page.frameStartedLoading" | "Page.frameStoppedLoading" => {
                let of: OfFrame = serde_json::from_str(params)?;
                self.update(session, |news| match method {
                    _ if news.frame != of.frame_id => {}
                    "Page.frameStoppedLoading" => (news.navigating, news.requested) = (None, None),
                    _ => news.goes_elsewhere(),
                });
            }
            "Page.navigatedWithinDocument" => {
                let navigated: NavigatedWithinDocument = serde_json::from_str(params)?;
                self.news(session, |news| {
                    if news.frame == navigated.frame_id {
                        news.page = PageKey::of(&navigated.url);
                        news.navigating = None;
                    }
                });
            }
            "Page.javascriptDialogOpening" => {
                let dialog: DialogOpening<'_> = serde_json::from_str(params)?;
                // "Leave this page?" is agreed to, so that a page cannot hold on to the agent; questions are not.
                let accept = matches!(&*dialog.kind, "alert" | "beforeunload");
                let _ = connection.send(session, "Page.handleJavaScriptDialog", json!({ "accept": accept }));
                tracing::debug!(
                    kind = printable(&dialog.kind),
                    text = printable(&dialog.message),
                    "a page opened a dialog"
                );
                let kind = printable(&dialog.kind);
                self.update(session, |news| {
                    news.dialogs = news.dialogs.saturating_add(1);
                    news.noticed(Habit::Dialog(kind));
                });
            }
            "Fetch.requestPaused" => {
                let paused: RequestPaused = serde_json::from_str(params)?;
                let page = bundled::page(&paused.request.url);
                let (code, body) = page.map_or((404, ""), |page| (200, page));
                let answer = json!({
                    "requestId": paused.request_id,
                    "responseCode": code,
                    "responseHeaders": [{ "name": "Content-Type", "value": "text/html; charset=utf-8" }],
                    "body": base64_simd::STANDARD.encode_to_string(body),
                });
                let _ = connection.send(session, "Fetch.fulfillRequest", answer);
            }
            "Emulation.virtualTimeBudgetExpired" => {
                let page = self.news(session, |news| news.lock_step.clone()).flatten();
                if let Some(page) = page {
                    page.period_is_over();
                }
            }
            "Inspector.targetCrashed" => self.update(session, |news| news.crashed = true),
            "Target.detachedFromTarget" => {
                let detached: Detached = serde_json::from_str(params)?;
                self.update(&detached.session_id, |news| news.gone = true);
            }
            "Page.downloadWillBegin" => {
                self.news(session, |news| news.noticed(Habit::Download));
            }
            "Target.targetCreated" => {
                let TargetCreated { target_info: info } = serde_json::from_str(params)?;
                let mut state = lock(&self.state);
                if info.r#type != "page" || state.own.contains(&info.target_id) {
                    return Ok(());
                }
                let context = info.browser_context_id.unwrap_or_default();
                match state.expected.get_mut(&context) {
                    Some(maybe) if maybe.len() < POPUPS => maybe.push(info.target_id),
                    _ => {
                        drop(state);
                        self.close_popup(connection, &context, &info.target_id);
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}

//! Events of the browser. Everything that the page could wait for is answered at once on the reading thread; the rest is kept, the newest only, until the environment looks.
use crate::bundled;
use crate::devtools::{Connection, Listener, lock, printable};
use crate::reward::{PageKey, Rewards};
use crate::sight::Heard;
use efference_sdk::tracing;
use serde::Deserialize;
use serde_json::json;
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Instant;

/// The binding's name in the relay's world.
pub(crate) const BINDING: &str = "efferenceReward";

/// News of all tabs, by session.
#[derive(Default)]
pub(crate) struct Bridge {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    tabs: HashMap<String, News>,
    /// Whether pages were opened, maybe by a page.
    unknown_targets: bool,
    /// Grows with every change.
    changes: u64,
}

/// What happened to a tab.
#[derive(Default)]
pub(crate) struct News {
    /// The newest picture in base64, not looked at yet.
    pub(crate) picture: Option<Vec<u8>>,
    /// When the browser drew the newest picture, in seconds since some moment.
    pub(crate) picture_time: Option<f64>,
    /// What its page lets the agent observe beside the picture.
    pub(crate) heard: Heard,
    /// Rewards, not looked at yet.
    pub(crate) rewards: Rewards,
    /// Its renderer has crashed.
    pub(crate) crashed: bool,
    /// It was closed.
    pub(crate) gone: bool,
    /// It shows the browser's own page that says why a page cannot be shown.
    pub(crate) error_page: bool,
    /// It shows another page.
    pub(crate) navigated: bool,
    /// How many dialogs were opened.
    pub(crate) dialogs: u32,
    page: PageKey,
    /// The frame that is the page itself.
    frame: String,
}

impl Bridge {
    /// Listens to a session from now on.
    pub(crate) fn add(&self, session: &str) {
        lock(&self.state).tabs.insert(session.to_owned(), News::default());
    }

    /// Listens to it no more.
    pub(crate) fn forget(&self, session: &str) {
        lock(&self.state).tabs.remove(session);
    }

    /// Looks at the news of a session, and may take some.
    pub(crate) fn news<R>(&self, session: &str, look: impl FnOnce(&mut News) -> R) -> Option<R> {
        lock(&self.state).tabs.get_mut(session).map(look)
    }

    /// Whether pages were opened since the last call.
    pub(crate) fn take_unknown_targets(&self) -> bool {
        std::mem::take(&mut lock(&self.state).unknown_targets)
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
                let _ = connection.send(
                    session,
                    "Page.screencastFrameAck",
                    json!({ "sessionId": frame.session_id }),
                );
                let picture = frame.data.into_owned().into_bytes();
                self.update(session, |news| {
                    news.picture = Some(picture);
                    news.picture_time = frame.metadata.timestamp;
                });
            }
            "Runtime.bindingCalled" => {
                let call: BindingCalled<'_> = serde_json::from_str(params)?;
                if call.name == BINDING && call.payload.len() < 128 {
                    let (sum, count) = serde_json::from_str(&call.payload)?;
                    self.news(session, |news| news.rewards.add(news.page, sum, count));
                } else {
                    self.news(session, |news| news.heard.take(&call.name, &call.payload));
                }
            }
            "Page.frameNavigated" => {
                let FrameNavigated { frame } = serde_json::from_str(params)?;
                if frame.parent_id.is_none() {
                    self.update(session, |news| {
                        news.navigated = true;
                        news.heard = Heard::default();
                        news.page = PageKey::of(&frame.url);
                        news.frame = frame.id;
                        news.error_page =
                            frame.unreachable_url.is_some() || frame.url.starts_with("chrome-error:");
                    });
                }
            }
            "Page.navigatedWithinDocument" => {
                let navigated: NavigatedWithinDocument = serde_json::from_str(params)?;
                self.news(session, |news| {
                    if news.frame == navigated.frame_id {
                        news.page = PageKey::of(&navigated.url);
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
                    message = printable(&dialog.message),
                    "dialog"
                );
                self.update(session, |news| news.dialogs = news.dialogs.saturating_add(1));
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
            "Inspector.targetCrashed" => self.update(session, |news| news.crashed = true),
            "Target.detachedFromTarget" => {
                let detached: Detached = serde_json::from_str(params)?;
                self.update(&detached.session_id, |news| news.gone = true);
            }
            "Target.targetCreated" => {
                lock(&self.state).unknown_targets = true;
                self.wake();
            }
            _ => {}
        }
        Ok(())
    }
}

//! Opening a page: each answer of the browser leads to the next message, on the reading thread, so that nobody waits.
use crate::bridge::Bridge;
use crate::devtools::{Connection, Failure, lock};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, OnceLock};

/// What is done with the session of a page that is open.
type Then = dyn Fn(&str) -> Result<(), Failure> + Send + Sync;

/// What a page is opened with.
pub(crate) struct Plan {
    pub(crate) connection: Arc<Connection>,
    pub(crate) bridge: Arc<Bridge>,
    /// The place for cookies and the like; `None`: a new one.
    pub(crate) context: Option<String>,
    /// Width and height of the window, in pixels.
    pub(crate) size: (usize, usize),
    /// Whether it is drawn when that is asked for, and not by itself.
    pub(crate) lock_step: bool,
    /// What is sent to the page before it loads anything.
    pub(crate) set_up: Vec<(&'static str, Value)>,
    /// Called with the session when all of that is done.
    pub(crate) then: Box<Then>,
}

/// A page that is being opened, or is open.
pub(crate) struct Opening {
    plan: Plan,
    /// The session of the page, once it is open.
    session: OnceLock<String>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The place for cookies, once it is made.
    context: Option<String>,
    /// The page, once there is one.
    target: Option<String>,
    /// How many answers to the set-up are still to come.
    unanswered: usize,
    failure: Option<Failure>,
    abandoned: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NewContext {
    browser_context_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NewTarget {
    target_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NewSession {
    session_id: String,
}

impl Opening {
    /// Begins to open a page.
    pub(crate) fn begin(plan: Plan) -> Result<Arc<Opening>, Failure> {
        let context = plan.context.clone();
        let opening = Arc::new(Opening { plan, session: OnceLock::new(), state: Mutex::default() });
        match context {
            Some(context) => opening.make_target(context)?,
            None => opening.make_context()?,
        }
        Ok(opening)
    }

    /// The session of the page, once it is open.
    pub(crate) fn session(&self) -> Option<&str> {
        self.session.get().map(String::as_str)
    }

    /// The page, once there is one.
    #[cfg(test)]
    pub(crate) fn target(&self) -> Option<String> {
        lock(&self.state).target.clone()
    }

    /// Why it does not open, if it has failed; once.
    pub(crate) fn take_failure(&self) -> Option<Failure> {
        lock(&self.state).failure.take()
    }

    /// The place for cookies, once there is one.
    pub(crate) fn context(&self) -> Option<String> {
        lock(&self.state).context.clone()
    }

    /// Closes the page, now or as soon as there is one.
    pub(crate) fn abandon(&self) {
        let target = {
            let mut state = lock(&self.state);
            state.abandoned = true;
            state.target.take()
        };
        if let Some(target) = target {
            self.close(&target);
        }
    }

    fn close(&self, target: &str) {
        self.plan.bridge.disown(target);
        // It may be gone, and so may the browser.
        let _ = self.plan.connection.send("", "Target.closeTarget", json!({ "targetId": target }));
    }

    /// Sends a message, and goes on with its answer; what fails is remembered.
    fn ask<R: DeserializeOwned>(
        self: &Arc<Self>,
        session: &str,
        method: &'static str,
        params: Value,
        then: impl FnOnce(&Arc<Opening>, Result<R, Failure>) -> Result<(), Failure> + Send + 'static,
    ) -> Result<(), Failure> {
        let opening = Arc::clone(self);
        self.plan.connection.send_then(session, method, params, move |answer| {
            let answer = match answer {
                Ok(result) => {
                    serde_json::from_str(result).map_err(|error| Failure::Nonsense { method, error })
                }
                Err(message) => Err(Failure::Refused { method, message: message.to_owned() }),
            };
            if let Err(failure) = then(&opening, answer) {
                lock(&opening.state).failure.get_or_insert(failure);
            }
            opening.plan.bridge.wake();
        })
    }

    fn make_context(self: &Arc<Self>) -> Result<(), Failure> {
        self.ask("", "Target.createBrowserContext", json!({}), |opening, made| {
            let NewContext { browser_context_id: context } = made?;
            let deny = json!({ "behavior": "deny", "browserContextId": context });
            opening.ask("", "Browser.setDownloadBehavior", deny, |_, done: Result<IgnoredAny, _>| {
                done.map(drop)
            })?;
            opening.make_target(context)
        })
    }

    fn make_target(self: &Arc<Self>, context: String) -> Result<(), Failure> {
        let Plan { bridge, size, lock_step, .. } = &self.plan;
        let window = json!({
            "url": "about:blank", "browserContextId": context, "newWindow": true,
            "width": size.0, "height": size.1, "enableBeginFrameControl": lock_step,
        });
        lock(&self.state).context = Some(context.clone());
        bridge.expect_page(&context);
        self.ask("", "Target.createTarget", window, |opening, made| {
            let Plan { connection, bridge, .. } = &opening.plan;
            let made = made.map(|NewTarget { target_id }| target_id);
            bridge.page_is_made(connection, &context, made.as_deref().ok());
            let target = made?;
            let abandoned = {
                let mut state = lock(&opening.state);
                state.target = Some(target.clone());
                state.abandoned
            };
            if abandoned {
                opening.close(&target);
                return Ok(());
            }
            opening.attach(context, &target)
        })
    }

    fn attach(self: &Arc<Self>, context: String, target: &str) -> Result<(), Failure> {
        let attach = json!({ "targetId": target, "flatten": true });
        self.ask("", "Target.attachToTarget", attach, move |opening, made| {
            let NewSession { session_id: session } = made?;
            opening.plan.bridge.add(&session, &context);
            opening.set_up(session)
        })
    }

    fn set_up(self: &Arc<Self>, session: String) -> Result<(), Failure> {
        lock(&self.state).unanswered = self.plan.set_up.len();
        for (method, params) in &self.plan.set_up {
            let own = session.clone();
            self.ask(&session, method, params.clone(), move |opening, done: Result<IgnoredAny, _>| {
                done?;
                let mut state = lock(&opening.state);
                state.unanswered -= 1;
                let last = state.unanswered == 0;
                drop(state);
                if last {
                    // Not before: a page must not load without all of it.
                    (opening.plan.then)(&own)?;
                    let _ = opening.session.set(own);
                }
                Ok(())
            })?;
        }
        Ok(())
    }
}

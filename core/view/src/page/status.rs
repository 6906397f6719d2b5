//! Where a run stands, by its files.
use efference_runs::directory::{Ending, RunDirectory, RunState};
use efference_runs::last_line;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// How often the files are looked at, however many ask.
const EVERY: Duration = Duration::from_millis(250);

/// Looks at the files of a run every so often.
pub(super) struct Status {
    run: RunDirectory,
    looked: Option<Instant>,
    now: Now,
    total: Option<u64>,
}

/// Where it stands.
#[derive(Clone)]
pub(super) struct Now {
    pub(super) run: RunDirectory,
    /// `None` if it is gone, or cannot be read.
    pub(super) state: Option<RunState>,
    title: String,
    total: Option<u64>,
    /// Steps and seconds of a run that does not go on.
    ended: Option<(u64, f64)>,
    /// What is to be known: why it failed, or why nothing can be read.
    note: Option<String>,
}

impl Status {
    pub(super) fn new(run: RunDirectory) -> Self {
        let experiment = run.path().parent().and_then(|parent| parent.file_name()).unwrap_or_default();
        let title = format!("{}/{}", experiment.to_string_lossy(), run.id());
        let now = Now { run: run.clone(), state: None, title, total: None, ended: None, note: None };
        Status { run, looked: None, now, total: None }
    }

    /// As it was a moment ago.
    pub(super) fn now(&mut self) -> Now {
        if self.looked.is_none_or(|looked| looked.elapsed() >= EVERY) {
            self.look();
            self.looked = Some(Instant::now());
        }
        self.now.clone()
    }

    fn look(&mut self) {
        let before = self.now.state;
        (self.now.state, self.now.note) = (None, None);
        // Opened anew, so that a run that was removed meanwhile is noticed.
        let state = RunDirectory::open(self.run.path()).and_then(|run| run.state());
        let state = match state {
            Ok(state) => state,
            Err(_) if !self.run.path().exists() => {
                self.now.note = Some(format!("The run is gone: there is no {}.", self.run.path().display()));
                return;
            }
            Err(error) => {
                self.now.note = Some(format!("The run cannot be read: {error}."));
                return;
            }
        };
        if before != Some(state) {
            // A run that is resumed may have another end.
            self.total = self.run.steps();
        }
        (self.now.state, self.now.total) = (Some(state), self.total);
        if state == RunState::Running {
            self.now.ended = None;
            return;
        }
        let end = self.run.end().ok().flatten();
        let last = last_line(&self.run.metrics()).ok().flatten();
        let recorded = last.map(|line| (line.step, line.seconds));
        self.now.ended = end.as_ref().map(|end| (end.step, end.seconds)).or(recorded);
        self.now.note = match end.map(|end| end.how) {
            Some(Ending::Failed { messages, .. }) if state == RunState::Failed => {
                Some(format!("The run failed: {}.", messages.join(": ")))
            }
            _ if state == RunState::Killed => Some("The run ended without a word: it was killed.".to_owned()),
            _ => None,
        };
    }
}

impl Now {
    /// For the page.
    pub(super) fn object(&self) -> Value {
        json!({
            "title": self.title,
            "state": self.state.map_or("gone", RunState::name),
            "total": self.total,
            "step": self.ended.map(|(step, _)| step),
            "seconds": self.ended.map(|(_, seconds)| seconds),
            "note": self.note,
        })
    }
}

//! The episodes of one stream: when its page can begin one, has begun it, and has ended it.
use efference_sdk::{StepType, derive_seed};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// A page that could not begin an episode so often in a row is given up.
const MAX_FAILURES: u32 = 3;
/// How long the first picture of an episode is waited for, which does not come if nothing looks different.
const PICTURE: Duration = Duration::from_millis(200);
/// No more is remembered of what a page says between two looks.
const MOST: usize = 64;

/// What a page says of its episodes.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub(crate) enum Said {
    /// An episode can begin, and, if `again`, another one after it.
    Ready { again: bool },
    /// This one has begun.
    Begun { episode: u64 },
    /// This one has ended.
    Ended { episode: u64, reward: f64, truncated: bool },
    /// None can begin.
    Failed { why: String },
    /// The page was replaced by another one. Not said by pages.
    #[serde(skip)]
    Left,
}

/// What was said, and not looked at yet.
#[derive(Debug, Default)]
pub(crate) struct Tale(VecDeque<(Said, Instant)>);

impl Tale {
    /// Adds what a page says, if it is anything.
    pub(crate) fn hear(&mut self, payload: &str) -> Option<&Said> {
        self.add(serde_json::from_str(payload).ok()?)
    }

    /// The page was replaced by another one.
    pub(crate) fn leave(&mut self) {
        self.add(Said::Left);
    }

    fn add(&mut self, said: Said) -> Option<&Said> {
        if self.0.len() >= MOST {
            return None;
        }
        self.0.push_back((said, Instant::now()));
        self.0.back().map(|(said, _)| said)
    }

    /// The first that was not taken yet.
    pub(crate) fn take(&mut self) -> Option<(Said, Instant)> {
        self.0.pop_front()
    }
}

/// Where a stream stands.
#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    /// Its page is to be loaded anew.
    Stale,
    /// Its page is loaded.
    Opening,
    /// An episode can begin as soon as the page has all inputs.
    Ready,
    /// It was asked for.
    Asked,
    /// It has begun, and no frame of it was sent.
    Begun(Instant),
    /// Some were.
    Going,
    /// It has ended, and its last frame was not sent. Whether its page is there no more.
    Ended { step_type: StepType, left: bool },
}

/// What is to be sent of a stream.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Moment {
    /// Nothing: no episode is under way.
    Between,
    /// A frame of this kind, with a picture that came after `since`, or else not before `at_last`.
    Frame { step_type: StepType, since: Option<(Instant, Instant)> },
    /// The last frame of an episode whose page is gone: what was seen last is its end.
    CutOff,
}

/// What the page is to be asked for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Wish {
    /// To run this.
    Run(Value),
    /// To be loaded again.
    Load,
}

/// The episodes of a stream.
#[derive(Debug)]
pub(crate) struct Episodes {
    seed: u64,
    /// Of the one that is under way or comes next.
    number: u64,
    state: State,
    /// When its state changed.
    since: Instant,
    /// Whether the page begins another one without being loaded anew.
    again: bool,
    failures: u32,
}

impl Episodes {
    pub(crate) fn new(seed: u64, stream: usize) -> Self {
        Episodes {
            seed: derive_seed(seed, &format!("episodes of stream {stream}")),
            number: 0,
            state: State::Opening,
            since: Instant::now(),
            again: false,
            failures: 0,
        }
    }

    fn turn(&mut self, state: State) {
        (self.state, self.since) = (state, Instant::now());
    }

    /// Takes what a page says. Returns whether an episode ended with success, if one has ended by itself.
    ///
    /// # Errors
    /// If the page cannot begin episodes, it seems: why.
    pub(crate) fn take(&mut self, said: Said, at: Instant) -> Result<Option<bool>, String> {
        match (said, self.state) {
            (Said::Ready { again }, State::Opening) => {
                self.again = again;
                self.turn(State::Ready);
            }
            (Said::Begun { episode }, State::Asked) if episode == self.number => {
                self.failures = 0;
                self.turn(State::Begun(at));
            }
            (Said::Ended { episode, .. }, State::Begun(_)) if episode == self.number => {
                // Nobody has seen it.
                self.next();
            }
            (Said::Ended { episode, reward, truncated }, State::Going) if episode == self.number => {
                let step_type = if truncated { StepType::TRUNCATED } else { StepType::TERMINATED };
                self.turn(State::Ended { step_type, left: false });
                return Ok(Some(reward > 0.0));
            }
            (Said::Failed { why }, State::Asked) => {
                self.turn(State::Stale);
                return self.failed(format!("its startEpisode fails: {why}")).map(|()| None);
            }
            (Said::Left, _) => self.leave(State::Stale),
            _ => {}
        }
        Ok(None)
    }

    /// Its page is gone, and is loaded anew by who knows that.
    pub(crate) fn page_is_gone(&mut self) {
        self.leave(State::Opening);
    }

    fn leave(&mut self, then: State) {
        match self.state {
            State::Going => {
                self.turn(State::Ended { step_type: StepType::TRUNCATED, left: true });
            }
            State::Ended { step_type, .. } => self.turn(State::Ended { step_type, left: true }),
            State::Opening | State::Stale => {}
            _ => self.turn(then),
        }
    }

    /// What the page is to be asked for now, of which `settled` says whether it has all inputs.
    ///
    /// # Errors
    /// If it did not begin an episode within the limit, several times: why.
    pub(crate) fn wish(&mut self, settled: bool, limit: Duration) -> Result<Option<Wish>, String> {
        match self.state {
            State::Stale => {
                self.turn(State::Opening);
                Ok(Some(Wish::Load))
            }
            State::Ready if settled => {
                self.turn(State::Asked);
                let seed = derive_seed(self.seed, &format!("episode {}", self.number)) % (1 << 32);
                let event = format!(
                    "window.dispatchEvent(new CustomEvent('efference-begin', {{ detail: [{}, {seed}] }})); 0",
                    self.number
                );
                Ok(Some(Wish::Run(json!({ "expression": event, "returnByValue": true }))))
            }
            State::Opening | State::Ready | State::Asked if self.since.elapsed() > limit => {
                let what = match self.state {
                    State::Asked => "it does not begin an episode",
                    _ => "it does not become ready for an episode",
                };
                let why = format!("{what} within {} s", limit.as_secs_f64());
                self.turn(State::Opening);
                self.failed(why).map(|()| Some(Wish::Load))
            }
            _ => Ok(None),
        }
    }

    fn failed(&mut self, why: String) -> Result<(), String> {
        self.failures += 1;
        if self.failures >= MAX_FAILURES { Err(why) } else { Ok(()) }
    }

    /// What is to be sent.
    pub(crate) fn moment(&self) -> Moment {
        let frame = |step_type| Moment::Frame { step_type, since: None };
        match self.state {
            State::Stale | State::Opening | State::Ready | State::Asked => Moment::Between,
            State::Begun(at) => Moment::Frame { step_type: StepType::FIRST, since: Some((at, at + PICTURE)) },
            State::Going => frame(StepType::MIDDLE),
            State::Ended { left: true, .. } => Moment::CutOff,
            State::Ended { step_type, left: false } => frame(step_type),
        }
    }

    /// Whether an action is taken.
    pub(crate) fn is_going(&self) -> bool {
        self.state == State::Going
    }

    /// The frame of this moment was sent. Returns whether it was the last one of an episode.
    pub(crate) fn sent(&mut self) -> bool {
        match self.state {
            State::Begun(_) => self.turn(State::Going),
            State::Ended { left, .. } => {
                self.again &= !left;
                self.next();
                return true;
            }
            _ => {}
        }
        false
    }

    fn next(&mut self) {
        self.number += 1;
        self.turn(if self.again { State::Ready } else { State::Stale });
    }
}

//! The episodes of one stream: when its page can begin one, has begun it, and has ended it.
use efference_sdk::{StepType, derive_seed};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// A page that could not begin an episode so often in a row is given up.
const MAX_FAILURES: u32 = 3;
/// How long the first picture of an episode is waited for.
const PICTURE: Duration = Duration::from_millis(500);
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
pub(crate) struct Tale(VecDeque<Said>);

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
        self.0.push_back(said);
        self.0.back()
    }

    /// Whether the page was replaced by another one.
    pub(crate) fn leaves(&self) -> bool {
        self.0.contains(&Said::Left)
    }

    /// The first that was not taken yet.
    pub(crate) fn take(&mut self) -> Option<Said> {
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
    Begun,
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
    /// A frame of this kind; of one that has just begun with a picture of that, or else not before `at_last`.
    Frame { step_type: StepType, at_last: Option<Instant> },
    /// The last frame of an episode whose page is gone: what was seen last is its end.
    CutOff,
}

/// What has become of an episode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// One has begun.
    Begins,
    /// It has ended by itself; whether with a reward above 0.
    Ends { success: bool },
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
    /// Of a stream whose page is being loaded.
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

    /// The number of the one that is under way or comes next, and whether the agent is in it: has seen its beginning, and not
    /// its end.
    pub(crate) fn place(&self) -> (u64, bool) {
        (self.number, matches!(self.state, State::Going | State::Ended { .. }))
    }

    /// The number of the one that a page begins with that is loaded anew now.
    pub(crate) fn next_number(&self) -> u64 {
        self.number + u64::from(self.place().1)
    }

    /// Its page is being loaded, and this one comes next.
    pub(crate) fn begin_with(&mut self, number: u64) {
        self.number = number;
        self.failures = 0;
        self.turn(State::Opening);
    }

    /// Is to stand at this [`place`](Self::place), and does so if it can: an episode that the page is not in is cut off. Returns
    /// whether it stood there.
    pub(crate) fn stand_at(&mut self, place: (u64, bool)) -> bool {
        let stands = self.place() == place;
        if !stands {
            self.number = place.0;
            self.turn(match place.1 {
                true => State::Ended { step_type: StepType::TRUNCATED, left: true },
                false => State::Stale,
            });
        }
        stands
    }

    /// The next one begins with the page.
    pub(crate) fn load_anew(&mut self) {
        if self.state == State::Ready {
            self.turn(State::Stale);
        }
    }

    fn turn(&mut self, state: State) {
        (self.state, self.since) = (state, Instant::now());
    }

    /// Takes what a page says.
    ///
    /// # Errors
    /// If the page cannot begin episodes, it seems: why.
    pub(crate) fn take(&mut self, said: Said) -> Result<Option<Turn>, String> {
        match (said, self.state) {
            (Said::Ready { again }, State::Opening) => {
                self.again = again;
                self.turn(State::Ready);
            }
            (Said::Begun { episode }, State::Asked) if episode == self.number => {
                self.failures = 0;
                self.turn(State::Begun);
                return Ok(Some(Turn::Begins));
            }
            (Said::Ended { episode, .. }, State::Begun) if episode == self.number => {
                // Nobody has seen it.
                self.next();
            }
            (Said::Ended { episode, reward, truncated }, State::Going) if episode == self.number => {
                let step_type = if truncated { StepType::TRUNCATED } else { StepType::TERMINATED };
                self.turn(State::Ended { step_type, left: false });
                return Ok(Some(Turn::Ends { success: reward > 0.0 }));
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
        let frame = |step_type| Moment::Frame { step_type, at_last: None };
        match self.state {
            State::Stale | State::Opening | State::Ready | State::Asked => Moment::Between,
            State::Begun => Moment::Frame { step_type: StepType::FIRST, at_last: Some(self.since + PICTURE) },
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
            State::Begun => self.turn(State::Going),
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

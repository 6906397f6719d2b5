//! What an agent has done to a page since that began: enough to bring a page in lock-step to where it was.
use crate::actions::Lasting;
use efference_sdk::{Error, Result, ResultExt, bail, ensure};
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// Goes up when older saved bytes can no longer be read.
const FORMAT: u32 = 1;

/// What a stream was when its page began.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Beginning {
    pub(crate) hands: Lasting,
    /// How much time of its pages had passed.
    pub(crate) time: Duration,
    /// How many links it had followed.
    pub(crate) links: u64,
    /// The number of the next episode, if it has such.
    pub(crate) episode: u64,
}

/// Since its page began.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct History {
    pub(crate) beginning: Beginning,
    /// Frames that were sent.
    frames: u32,
    /// Steps that were made after the last of them.
    since: u32,
    /// After how many frames each action came.
    moments: Vec<u32>,
    /// The actions one after the other.
    #[serde(with = "floats")]
    actions: Vec<f32>,
    /// More actions than are remembered came.
    overflown: bool,
}

impl History {
    pub(crate) fn new(beginning: Beginning) -> Self {
        History { beginning, frames: 0, since: 0, moments: Vec::new(), actions: Vec::new(), overflown: false }
    }

    /// The page has made a step.
    pub(crate) fn stepped(&mut self) {
        self.since = self.since.saturating_add(1);
    }

    /// Its frame was sent.
    pub(crate) fn sent(&mut self) {
        self.since = 0;
        self.frames = self.frames.saturating_add(1);
    }

    /// The agent has acted. No more than `most` actions are remembered.
    pub(crate) fn acted(&mut self, action: &[f32], most: usize) {
        if self.overflown || self.moments.len() >= most {
            self.overflown = true;
            // They are of no use without the rest.
            self.moments = Vec::new();
            self.actions = Vec::new();
            return;
        }
        self.moments.push(self.frames);
        // NaN means 0 to who acts, and 0 has just one form.
        self.actions.extend(action.iter().map(|a| if a.is_nan() { 0.0 } else { *a }));
    }

    /// Whether a page that can begin anew should: with more than `some` actions.
    pub(crate) fn is_long(&self, some: usize) -> bool {
        self.overflown || self.moments.len() > some
    }

    /// Whether all of it is remembered.
    pub(crate) fn is_whole(&self) -> bool {
        !self.overflown
    }

    /// How many steps with frames it has.
    pub(crate) fn frames(&self) -> u32 {
        self.frames
    }

    /// Whether another one has come as far.
    pub(crate) fn is_reached_by(&self, other: &History) -> bool {
        (other.frames, other.since) >= (self.frames, self.since)
    }

    /// The actions that came after so many frames.
    pub(crate) fn actions_after(&self, frames: u32) -> impl Iterator<Item = &[f32]> {
        let width = self.actions.len().checked_div(self.moments.len()).unwrap_or_default();
        let from = self.moments.partition_point(|moment| *moment < frames);
        let to = self.moments.partition_point(|moment| *moment <= frames);
        (from..to).map(move |i| &self.actions[i * width..][..width])
    }

    fn check(&self, width: usize) -> Result<()> {
        ensure!(
            self.actions.len() == width * self.moments.len(),
            "actions of another width were saved than the {width} of [environment]"
        );
        let sorted = self.moments.is_sorted() && self.moments.last().is_none_or(|last| *last <= self.frames);
        ensure!(sorted && !self.overflown, "these bytes are no saved pages, or are damaged");
        Ok(())
    }
}

/// What is saved of a stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SavedStream {
    pub(crate) history: History,
    /// Of the episode that was under way, or came next.
    pub(crate) episode: u64,
    /// Whether the agent was in it.
    pub(crate) in_episode: bool,
    /// What was seen last: the SHA-256 of its pixels, in hexadecimal digits.
    pub(crate) picture: String,
    pub(crate) recoveries: u64,
}

/// What a page still has to go through again.
pub(crate) struct PlayedAgain {
    pub(crate) saved: SavedStream,
    /// After how many frames the actions are that come next.
    pub(crate) next: u32,
    pub(crate) began: Instant,
}

/// What is saved of all streams.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Saved<N> {
    format: u32,
    pub(crate) streams: Vec<SavedStream>,
    /// The statistics of rewards.
    pub(crate) normaliser: N,
}

impl<N> Saved<N> {
    pub(crate) fn new(streams: Vec<SavedStream>, normaliser: N) -> Self {
        Saved { format: FORMAT, streams, normaliser }
    }

    pub(crate) fn write(&self) -> Result<Vec<u8>>
    where
        N: Serialize,
    {
        Ok(serde_json::to_vec(self)?)
    }

    /// What was saved of so many streams, with actions of a width.
    ///
    /// # Errors
    /// If it is of others, or damaged.
    pub(crate) fn read(bytes: &[u8], streams: usize, width: usize) -> Result<Self>
    where
        N: for<'de> Deserialize<'de>,
    {
        #[derive(Deserialize)]
        struct Head {
            format: u32,
        }
        const DAMAGED: &str = "these bytes are no saved pages, or are damaged";
        let head: Head = serde_json::from_slice(bytes).context(DAMAGED)?;
        if head.format != FORMAT {
            bail!(
                "these pages were saved in format {}, but this version of the plugin reads format {FORMAT}; resume with the version \
                 that saved them",
                head.format
            );
        }
        let saved: Self = serde_json::from_slice(bytes).context(DAMAGED)?;
        ensure!(
            saved.streams.len() == streams,
            "{} streams were saved, and there are {streams}",
            saved.streams.len()
        );
        saved.streams.iter().enumerate().try_for_each(|(i, s)| {
            s.history.check(width).map_err(|e: Error| e.context(format!("stream {i}")))
        })?;
        Ok(saved)
    }
}

/// Floats as base64 of their bytes, the lowest first.
mod floats {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(all: &[f32], serializer: S) -> Result<S::Ok, S::Error> {
        let bytes: Vec<u8> = all.iter().flat_map(|x| x.to_le_bytes()).collect();
        serializer.serialize_str(&base64_simd::STANDARD.encode_to_string(&bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f32>, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = base64_simd::STANDARD.decode_to_vec(text).map_err(D::Error::custom)?;
        let (floats, rest) = bytes.as_chunks::<4>();
        if !rest.is_empty() {
            return Err(D::Error::custom("a number is cut off"));
        }
        Ok(floats.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Options;
    use crate::actions::Hands;

    fn history() -> History {
        let hands = Hands::new(&Options::default()).lasting();
        History::new(Beginning { hands, time: Duration::from_millis(1_500), links: 2, episode: 7 })
    }

    fn saved(history: History) -> Saved<()> {
        let stream =
            SavedStream { history, episode: 8, in_episode: true, picture: "ab".to_owned(), recoveries: 1 };
        Saved::new(vec![stream], ())
    }

    #[test]
    fn actions_come_back_after_the_frames_that_they_responded_to() {
        let mut history = history();
        history.stepped();
        for frame in 0..3_u8 {
            history.stepped();
            history.sent();
            history.acted(&[f32::from(frame), f32::NAN], 100);
        }
        history.acted(&[9.0, -0.1], 100);
        history.stepped();
        let bytes = saved(history.clone()).write().unwrap();
        let read = Saved::<()>::read(&bytes, 1, 2).unwrap();
        assert_eq!(read, saved(history));
        let history = &read.streams[0].history;
        let after = |frames| history.actions_after(frames).map(<[f32]>::to_vec).collect::<Vec<_>>();
        assert_eq!(after(0), [[0.0; 0]; 0]);
        assert_eq!(after(1), [[0.0, 0.0]]);
        assert_eq!(after(3), [[2.0, 0.0], [9.0, -0.1]]);
        assert_eq!(after(4), [[0.0; 0]; 0]);
    }

    #[test]
    fn one_is_reached_when_frames_and_the_steps_after_them_are_there() {
        let (mut goal, mut way) = (history(), history());
        goal.sent();
        goal.stepped();
        assert!(!goal.is_reached_by(&way));
        way.stepped();
        way.stepped();
        assert!(!goal.is_reached_by(&way), "steps without a frame are none with one");
        way.sent();
        assert!(!goal.is_reached_by(&way));
        way.stepped();
        assert!(goal.is_reached_by(&way));
    }

    #[test]
    fn no_more_is_remembered_than_may_be() {
        let mut history = history();
        (0..5).for_each(|_| history.acted(&[0.5], 5));
        assert!(history.is_whole() && history.is_long(4) && !history.is_long(5));
        history.acted(&[0.5], 5);
        assert!(!history.is_whole() && history.is_long(5));
        assert_eq!((history.moments.len(), history.actions.len()), (0, 0));
        history.acted(&[0.5], 5);
        assert!(!history.is_whole());
    }

    #[test]
    fn what_does_not_fit_is_refused_in_words() {
        let mut history = history();
        history.acted(&[0.0; 4], 100);
        let bytes = saved(history).write().unwrap();
        let refused = |bytes: &[u8], streams, width| {
            format!("{:#}", Saved::<()>::read(bytes, streams, width).unwrap_err())
        };
        assert!(refused(&bytes, 2, 4).contains("1 streams were saved, and there are 2"));
        assert!(refused(&bytes, 1, 3).contains("actions of another width were saved than the 3 of"));
        assert!(refused(&bytes[1..], 1, 4).contains("no saved pages, or are damaged"));
        let later = String::from_utf8(bytes).unwrap().replace("\"format\":1", "\"format\":2");
        assert!(refused(later.as_bytes(), 1, 4).contains("format 2, but this version"));
    }
}

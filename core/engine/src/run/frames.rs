//! Gathers what an environment tells, and makes of it what a trainer gets.
use efference_sdk::{Frame, Frames, Result, bail};
use std::collections::BTreeSet;

/// A stream that observed something in this step.
#[derive(Debug, Clone)]
pub(super) struct Live {
    pub(super) stream: u64,
    pub(super) action_length: usize,
    pub(super) score: Option<f32>,
    start: usize,
    end: usize,
}

/// What came since the last step. Buffers are kept from step to step.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    known: BTreeSet<u64>,
    numbers: Vec<f32>,
    pub(super) live: Vec<Live>,
    pub(super) episode_ends: Vec<bool>,
    pub(super) started: Vec<u64>,
    pub(super) ended: Vec<u64>,
    pub(super) closed: bool,
    twice: Option<u64>,
}

impl Frames for Inbox {
    fn begin(&mut self, stream: u64) {
        if self.known.insert(stream) {
            self.started.push(stream);
        }
    }

    fn frame(&mut self, frame: Frame<'_>) {
        self.begin(frame.stream);
        if self.live.iter().any(|l| l.stream == frame.stream) {
            self.twice = Some(frame.stream);
            return;
        }
        let start = self.numbers.len();
        // Observations are in −1…1 by contract; what is beyond would drown the rest of the loss.
        self.numbers.extend(frame.observation.iter().map(|x| x.clamp(-1.0, 1.0)));
        self.live.push(Live {
            stream: frame.stream,
            action_length: frame.action_length,
            score: frame.score,
            start,
            end: self.numbers.len(),
        });
        self.episode_ends.push(frame.episode_end);
    }

    fn end(&mut self, stream: u64) {
        if !self.known.remove(&stream) {
            return;
        }
        // A stream that began and ended between two steps was never there for the trainer.
        match self.started.iter().position(|s| *s == stream) {
            Some(i) => drop(self.started.remove(i)),
            None => self.ended.push(stream),
        }
        if let Some(i) = self.live.iter().position(|l| l.stream == stream) {
            self.live.remove(i);
            self.episode_ends.remove(i);
        }
    }

    fn close(&mut self) {
        self.closed = true;
    }
}

impl Inbox {
    /// Forgets what one step has used. Which streams there are is kept.
    pub(super) fn clear(&mut self) {
        self.numbers.clear();
        self.live.clear();
        self.episode_ends.clear();
        self.started.clear();
        self.ended.clear();
    }

    /// The streams of the rows.
    pub(super) fn streams(&self) -> Vec<u64> {
        self.live.iter().map(|l| l.stream).collect()
    }

    /// What a stream observed, without the numbers that the goal reserves.
    pub(super) fn observation(&self, live: &Live) -> &[f32] {
        &self.numbers[live.start..live.end]
    }

    /// Fails if the environment sent what a step cannot hold.
    pub(super) fn check(&self, state_size: i64, reserved: i64) -> Result<()> {
        if let Some(stream) = self.twice {
            bail!("sent two frames of stream {stream} in one poll; it must wait for `act` in between");
        }
        for live in &self.live {
            let (observed, actions) = (live.end - live.start, live.action_length);
            let needed = (reserved as usize + observed).saturating_add(actions);
            if needed > state_size as usize {
                bail!(
                    "stream {} observes {observed} numbers and wants {actions} actions, which with the {reserved} \
                     numbers of the goal need a state of {needed}; it has {state_size}. Set `size` under [state] \
                     to {needed} or more",
                    live.stream
                );
            }
        }
        Ok(())
    }

    /// One row a live stream: the reserved numbers (the score first, holes behind it), the observation, and holes
    /// up to the longest. Answers with the length of a row.
    pub(super) fn rows(&self, reserved: i64, rows: &mut Vec<f32>) -> usize {
        let reserved = reserved as usize;
        let longest = self.live.iter().map(|l| l.end - l.start).max().unwrap_or_default();
        rows.clear();
        for live in &self.live {
            let row = rows.len();
            rows.resize(row + reserved, f32::NAN);
            if let (Some(score), true) = (live.score, reserved > 0) {
                rows[row] = score.clamp(-1.0, 1.0);
            }
            rows.extend_from_slice(self.observation(live));
            rows.resize(row + reserved + longest, f32::NAN);
        }
        reserved + longest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(stream: u64, observation: &[f32], score: Option<f32>) -> Frame<'_> {
        Frame { stream, observation, action_length: 1, score, episode_end: false }
    }

    #[test]
    fn rows_are_padded_with_holes_behind_the_reserved_numbers() {
        let mut inbox = Inbox::default();
        inbox.frame(frame(3, &[0.5, 2.0, f32::NAN], Some(0.25)));
        inbox.frame(frame(1, &[-0.5], None));
        let mut rows = Vec::new();
        assert_eq!(inbox.rows(2, &mut rows), 5);
        let text: Vec<_> =
            rows.iter().map(|x| if x.is_nan() { "hole".into() } else { x.to_string() }).collect();
        assert_eq!(text, ["0.25", "hole", "0.5", "1", "hole", "hole", "hole", "-0.5", "hole", "hole"]);
        assert_eq!(inbox.started, [3, 1]);
    }

    #[test]
    fn streams_begin_and_end_once() {
        let mut inbox = Inbox::default();
        inbox.begin(0);
        inbox.frame(frame(0, &[0.0], None));
        assert_eq!(inbox.started, [0]);
        inbox.clear();
        inbox.end(0);
        inbox.end(0);
        inbox.frame(frame(0, &[0.0], None));
        assert_eq!((inbox.ended.as_slice(), inbox.started.as_slice()), (&[0][..], &[0][..]));
        inbox.clear();
        inbox.begin(9);
        inbox.end(9);
        assert!(inbox.started.is_empty() && inbox.ended.is_empty());
    }

    #[test]
    fn a_state_too_small_is_refused_with_the_size_that_would_do() {
        let mut inbox = Inbox::default();
        inbox.frame(frame(0, &[0.0; 20], None));
        let error = inbox.check(24, 4).unwrap_err().to_string();
        assert!(error.contains("Set `size` under [state] to 25 or more"), "{error}");
        assert!(inbox.check(25, 4).is_ok());
        inbox.frame(frame(0, &[0.0; 20], None));
        assert!(inbox.check(25, 4).unwrap_err().to_string().contains("two frames of stream 0"));
    }
}

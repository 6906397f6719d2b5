//! What waits for the thread that writes: bounded, so that a disk that takes nothing costs so much memory and no more.
use crate::readable::Bytes;
use crate::{FileError, Line, PicturePair, RecordError, disk};
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

/// What is to be written.
#[derive(Debug)]
pub(super) enum Message {
    Line(Line),
    /// Pictures, and the seconds that the run had taken.
    Pictures(PicturePair, f64),
    Fingerprints(Vec<u8>),
    Evaluation(String),
    /// All that came before is to be on the disk; the reply has the metrics so far.
    Sync(SyncSender<Vec<String>>),
}

impl Message {
    fn kind(&self) -> Option<Kind> {
        match self {
            Message::Line(_) | Message::Evaluation(_) => Some(Kind::Lines),
            Message::Pictures(..) => Some(Kind::Pictures),
            Message::Fingerprints(_) => Some(Kind::Fingerprints),
            Message::Sync(_) => None,
        }
    }

    /// Bytes that it holds, about.
    fn bytes(&self) -> usize {
        match self {
            Message::Line(line) => 64 + line.values.iter().map(|(name, _)| name.len() + 40).sum::<usize>(),
            Message::Evaluation(line) => line.len(),
            Message::Pictures(pair, _) => pair.bytes(),
            Message::Fingerprints(records) => records.len(),
            Message::Sync(_) => 0,
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Lines,
    Pictures,
    Fingerprints,
}

/// Bytes that may wait.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Of lines. They are never left out: a run whose lines can't wait any more has failed.
    pub(crate) lines: usize,
    /// Of pictures: they are for looking at, and each costs more than many lines. What comes then is left out.
    pub(crate) pictures: usize,
    /// Of fingerprints. What comes then is left out.
    pub(crate) fingerprints: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { lines: 64 << 20, pictures: 64 << 20, fingerprints: 16 << 20 }
    }
}

impl Limits {
    fn of(&self, kind: Kind) -> usize {
        match kind {
            Kind::Lines => self.lines,
            Kind::Pictures => self.pictures,
            Kind::Fingerprints => self.fingerprints,
        }
    }
}

/// Lines that are not in their files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Missing {
    pub(super) lines: u64,
    pub(super) steps: Option<(u64, u64)>,
    pub(super) evaluations: u64,
}

impl Missing {
    pub(super) fn line(&mut self, step: u64) {
        self.lines += 1;
        let (first, last) = self.steps.unwrap_or((step, step));
        self.steps = Some((first.min(step), last.max(step)));
    }
}

/// A write that has not come back.
#[derive(Debug)]
struct Busy {
    since: Instant,
    said: bool,
}

/// What could not be written, and since when.
#[derive(Debug, Clone)]
pub(super) struct Trouble {
    pub(super) error: FileError,
    pub(super) since: String,
    pub(super) began: Instant,
    pub(super) said: Instant,
}

/// Between the loop, which never waits here, and the thread that writes.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    limits: Limits,
    /// How long the thread sleeps on after it has taken everything, so that a fast run need not wake it for each line: to wake a
    /// thread costs the loop some microseconds.
    gather: Duration,
    /// A file on the disk that is written to.
    file: PathBuf,
}

/// What the thread that writes is at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Doing {
    #[default]
    Writing,
    /// Sleeps on for a while, unless something urgent comes.
    Gathering,
    /// Sleeps until something comes.
    Waiting,
}

#[derive(Debug, Default)]
struct State {
    messages: VecDeque<Message>,
    /// Bytes that wait, by kind.
    bytes: [usize; 3],
    missing: Missing,
    pictures_left_out: u64,
    fingerprints_left_out: u64,
    thread: Doing,
    /// Whether what waits should not wait longer.
    urgent: bool,
    closed: bool,
    ending: Option<Instant>,
    busy: Option<Busy>,
    trouble: Option<Trouble>,
    failure: Option<RecordError>,
}

/// What a look into the queue finds.
pub(super) enum Taken {
    Message(Message),
    /// Nothing came in that time.
    Nothing,
    /// Nothing will come any more.
    Closed,
}

/// A write that takes longer is worth a word.
const SLOW: Duration = Duration::from_secs(10);

const GATHER: Duration = Duration::from_millis(20);

impl Queue {
    pub(super) fn new(limits: Limits, file: PathBuf) -> Self {
        Queue { state: Mutex::default(), changed: Condvar::new(), limits, gather: GATHER, file }
    }

    /// Adds a message, or leaves out what may be left out.
    pub(super) fn push(&self, message: Message) -> Result<(), RecordError> {
        let mut state = self.state.lock();
        if let Some(error) = &state.failure {
            return Err(error.clone());
        }
        let bytes = message.bytes();
        if let Some(kind) = message.kind() {
            let waiting = state.bytes[kind as usize];
            if waiting > 0 && waiting + bytes > self.limits.of(kind) {
                return self.leave_out(&mut state, &message);
            }
            state.bytes[kind as usize] += bytes;
            state.urgent |= waiting + bytes > self.limits.of(kind) / 2;
        } else {
            state.urgent = true;
        }
        state.messages.push_back(message);
        let slow = self.slow(&mut state);
        let wake = match state.thread {
            Doing::Writing => false,
            Doing::Gathering => state.urgent,
            Doing::Waiting => true,
        };
        drop(state);
        if wake {
            self.changed.notify_all();
        }
        slow.into_iter().for_each(|said| tracing::warn!("{said}"));
        Ok(())
    }

    fn leave_out(&self, state: &mut State, message: &Message) -> Result<(), RecordError> {
        match message {
            Message::Line(line) => state.missing.line(line.step),
            Message::Evaluation(_) => state.missing.evaluations += 1,
            Message::Pictures(..) => state.pictures_left_out += 1,
            Message::Fingerprints(_) => state.fingerprints_left_out += 1,
            Message::Sync(_) => {}
        }
        if !matches!(message, Message::Line(_) | Message::Evaluation(_)) {
            return Ok(());
        }
        let limit = Bytes(self.limits.lines as f64);
        let why = match (&state.trouble, &state.busy) {
            (Some(trouble), _) => format!("since {}, {}", trouble.since, trouble.error),
            (None, Some(busy)) => format!(
                "{} has taken nothing for {} s",
                disk::named(&self.file),
                busy.since.elapsed().as_secs()
            ),
            (None, None) => format!("{} is slower than the run", disk::named(&self.file)),
        };
        Err(RecordError::Full { limit: limit.to_string(), why })
    }

    /// What is to be said of a write that does not come back: once.
    fn slow(&self, state: &mut State) -> Option<String> {
        let busy = state.busy.as_mut().filter(|busy| !busy.said && busy.since.elapsed() > SLOW)?;
        busy.said = true;
        Some(format!(
            "{} has not taken what was written for {} s; the run goes on, and what it records waits in memory",
            disk::named(&self.file),
            busy.since.elapsed().as_secs()
        ))
    }

    /// To be called now and then by whoever waits for the thread.
    pub(super) fn say_if_slow(&self) {
        let slow = self.slow(&mut self.state.lock());
        slow.into_iter().for_each(|said| tracing::warn!("{said}"));
    }

    pub(super) fn failure(&self) -> Option<RecordError> {
        self.state.lock().failure.clone()
    }

    pub(super) fn fail(&self, error: RecordError) {
        self.state.lock().failure.get_or_insert(error);
    }

    /// From now on, a disk that takes nothing is waited for a little only.
    pub(super) fn end_is_near(&self) {
        self.state.lock().ending.get_or_insert_with(Instant::now);
        self.changed.notify_all();
    }

    /// Nothing comes any more.
    pub(super) fn close(&self) {
        self.state.lock().closed = true;
        self.end_is_near();
    }

    /// Pairs of pictures and pieces of fingerprints that were left out.
    pub(super) fn left_out(&self) -> (u64, u64) {
        let state = self.state.lock();
        (state.pictures_left_out, state.fingerprints_left_out)
    }

    /// The next message, if one comes in that time.
    pub(super) fn take(&self, patience: Option<Duration>) -> Taken {
        let mut state = self.state.lock();
        if state.messages.is_empty() {
            let now = Instant::now();
            let until = patience.map(|patience| now + patience);
            self.gather(&mut state, now + self.gather.min(patience.unwrap_or(Duration::MAX)));
            state.thread = Doing::Waiting;
            while state.messages.is_empty() && !state.closed {
                match until {
                    None => self.changed.wait(&mut state),
                    Some(until) if self.changed.wait_until(&mut state, until).timed_out() => break,
                    Some(_) => {}
                }
            }
            state.thread = Doing::Writing;
        }
        match state.messages.pop_front() {
            Some(message) => {
                if let Some(kind) = message.kind() {
                    state.bytes[kind as usize] -= message.bytes();
                }
                Taken::Message(message)
            }
            None if state.closed => Taken::Closed,
            None => Taken::Nothing,
        }
    }

    /// Lets messages come together, until then or until one comes that should not wait.
    fn gather(&self, state: &mut MutexGuard<'_, State>, until: Instant) {
        (state.thread, state.urgent) = (Doing::Gathering, false);
        while !state.urgent && !state.closed && !self.changed.wait_until(state, until).timed_out() {}
    }

    /// The thread begins a write, or has it behind it.
    pub(super) fn busy(&self, busy: bool) {
        let busy = busy.then(|| Busy { since: Instant::now(), said: false });
        let before = std::mem::replace(&mut self.state.lock().busy, busy);
        if let Some(Busy { since, said: true }) = before {
            tracing::warn!(
                "{} takes what is written again, after {} s",
                disk::named(&self.file),
                since.elapsed().as_secs()
            );
        }
    }

    pub(super) fn set_trouble(&self, trouble: Option<Trouble>) {
        self.state.lock().trouble = trouble;
    }

    /// How long the end of the run has been waiting.
    pub(super) fn ending(&self) -> Option<Duration> {
        self.state.lock().ending.map(|since| since.elapsed())
    }

    /// Waits before the next try; not as long if the end comes.
    pub(super) fn pause(&self, pause: Duration) {
        let until = Instant::now() + pause;
        let mut state = self.state.lock();
        let ending = state.ending.is_some();
        while state.ending.is_some() == ending && !self.changed.wait_until(&mut state, until).timed_out() {}
    }

    /// Gives up all that waits; returns what of it should have been written.
    pub(super) fn abandon(&self) -> Missing {
        let mut state = self.state.lock();
        let messages = std::mem::take(&mut state.messages);
        for message in messages {
            match message {
                Message::Line(line) => state.missing.line(line.step),
                Message::Evaluation(_) => state.missing.evaluations += 1,
                _ => {}
            }
        }
        state.missing.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::mpsc::{Receiver, channel, sync_channel};
    use std::thread;

    fn evaluation() -> Message {
        Message::Evaluation("0123456789".to_owned())
    }

    /// What a thread that gathers for an hour takes from a queue: whether each is a `Sync`.
    fn taken_from(queue: Queue) -> (Arc<Queue>, Receiver<bool>) {
        let queue = Arc::new(Queue { gather: Duration::from_secs(3600), ..queue });
        let (theirs, (sender, receiver)) = (Arc::clone(&queue), channel());
        thread::spawn(move || {
            while let Taken::Message(message) = theirs.take(None) {
                let _ = sender.send(matches!(message, Message::Sync(_)));
            }
        });
        (queue, receiver)
    }

    #[test]
    fn lines_come_together_until_one_may_not_wait() {
        let limits = Limits { lines: 64, ..Limits::default() };
        let (queue, taken) = taken_from(Queue::new(limits, "metrics.jsonl".into()));
        let gathers = || {
            while queue.state.lock().thread != Doing::Gathering {
                thread::sleep(Duration::from_millis(1));
            }
        };
        gathers();
        (0..2).for_each(|_| queue.push(evaluation()).unwrap());
        assert!(taken.recv_timeout(Duration::from_millis(50)).is_err(), "it was woken for a line");
        queue.push(Message::Sync(sync_channel(1).0)).unwrap();
        let next = || taken.recv_timeout(Duration::from_secs(60)).unwrap();
        assert_eq!([next(), next(), next()], [false, false, true]);
        // More than half of the bytes of lines that may wait.
        gathers();
        (0..4).for_each(|_| queue.push(evaluation()).unwrap());
        assert_eq!([next(), next(), next(), next()], [false; 4]);
        queue.push(evaluation()).unwrap();
        queue.close();
        assert!(!next());
        assert!(taken.recv_timeout(Duration::from_secs(60)).is_err(), "it goes on after the end");
    }
}

//! Recording: what a run leaves in its files goes through here, to a thread that writes.
mod files;
mod queue;
mod writer;

use crate::{FileError, Line, PicturePair, RecordError};
pub use files::{RecordedUntil, RecorderFiles};
pub(crate) use queue::Limits;
use queue::{Message, Queue};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};
pub use writer::FLUSH_EVERY;
use writer::{Done, Writer};

/// What a recorder has written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Recorded {
    /// Lines of metrics.
    pub lines: u64,
    /// Pairs of pictures.
    pub pictures: u64,
    /// Pairs of pictures that were left out, as they came faster than they could be written, or could not be.
    pub pictures_left_out: u64,
    /// Whether fingerprints or TensorBoard's events are incomplete, as the disk did not take them.
    pub derived_left_out: bool,
    /// What others have done to the files while they were written.
    pub notes: Vec<String>,
}

/// Records metrics and pictures on a thread of its own. Nothing here waits for the disk but [`finish`](Self::finish).
///
/// Everything reaches the files within [`FLUSH_EVERY`], so that a killed run keeps its record. While a disk is full, slow or
/// gone, what comes waits in memory, a warning says so, and writing is tried again: when the disk takes it, all of it is
/// written, once. Only so much may wait (64 MiB of lines); then the next call returns an error. Pictures that can't wait
/// are left out. At the end a disk that takes nothing is waited for a little; what is not in the files then is
/// said in the error of [`finish`](Self::finish). Dropping a recorder does the same, and logs the error.
#[derive(Debug)]
pub struct Recorder {
    thread: Option<JoinHandle<Done>>,
    queue: Arc<Queue>,
}

/// How long a disk that takes nothing is waited for at the end.
const PATIENCE_AT_THE_END: Duration = Duration::from_secs(10);

impl Recorder {
    /// Opens the files and starts the thread. `started` is when the run did: [`Line::seconds`] count from it. A record that
    /// is there goes on after `until`.
    ///
    /// # Errors
    /// If a file cannot be made.
    pub fn start(
        files: RecorderFiles,
        started: SystemTime,
        until: Option<RecordedUntil>,
    ) -> Result<Self, RecordError> {
        Recorder::start_with(files, started, until, Limits::default(), PATIENCE_AT_THE_END)
    }

    pub(crate) fn start_with(
        files: RecorderFiles,
        started: SystemTime,
        until: Option<RecordedUntil>,
        limits: Limits,
        patience: Duration,
    ) -> Result<Self, RecordError> {
        let writer = Writer::open(&files, started, until, patience)?;
        let queue = Arc::new(Queue::new(limits, files.metrics.clone()));
        let theirs = Arc::clone(&queue);
        let thread = thread::Builder::new()
            .name("recorder".to_owned())
            .spawn(move || writer.run(&theirs))
            .map_err(|e| FileError::new("start a thread that writes", &files.metrics, &e))?;
        Ok(Recorder { thread: Some(thread), queue })
    }

    /// Records a line of metrics. Returns at once.
    ///
    /// # Errors
    /// If more lines wait than may, as the disk takes nothing; and if the recording has ended by an error.
    pub fn record(&mut self, line: Line) -> Result<(), RecordError> {
        self.send(Message::Line(line))
    }

    /// Records fingerprints: whole records of `fingerprints.bin`.
    ///
    /// # Errors
    /// If the recording has ended by an error.
    pub fn fingerprints(&mut self, records: Vec<u8>) -> Result<(), RecordError> {
        self.send(Message::Fingerprints(records))
    }

    /// Records an evaluation: a whole line of `evaluations.jsonl`.
    ///
    /// # Errors
    /// As [`record`](Self::record).
    pub fn evaluation(&mut self, line: String) -> Result<(), RecordError> {
        self.send(Message::Evaluation(line))
    }

    /// Has everything that was recorded until now written to the disk. The reply comes when it is there: the metrics so far, in
    /// the order of their first use; none comes if it could not be written.
    ///
    /// # Errors
    /// If the recording has ended by an error.
    pub fn sync(&mut self) -> Result<Receiver<Vec<String>>, RecordError> {
        let (sender, receiver) = sync_channel(1);
        self.send(Message::Sync(sender))?;
        Ok(receiver)
    }

    /// Records a pair of pictures, as `pictures/step-000500-stream-0.png` and in TensorBoard as `stream 0`, where they are of
    /// so many seconds after the run's start. If too many wait already it is left out, which [`finish`](Self::finish) counts.
    ///
    /// # Errors
    /// If a picture is not what it says; and if the recording has ended by an error.
    pub fn picture(&mut self, pair: PicturePair, seconds: f64) -> Result<(), RecordError> {
        pair.check()?;
        self.send(Message::Pictures(pair, seconds))
    }

    /// The run ends: from now on a disk that takes nothing is waited for a little only, and replies to
    /// [`sync`](Self::sync) come by then or never.
    pub fn end_is_near(&self) {
        self.queue.end_is_near();
    }

    /// Waits for a thread that waits for the disk; a disk that takes its time is reported meanwhile.
    pub fn wait_for<T>(&self, thread: &JoinHandle<T>) {
        while !thread.is_finished() {
            self.queue.say_if_slow();
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Writes what is waiting, and ends.
    ///
    /// # Errors
    /// If anything that was recorded is not in the files: which steps, and why.
    pub fn finish(mut self) -> Result<Recorded, RecordError> {
        let done = self.end();
        if let Some(error) = self.queue.failure() {
            return Err(error);
        }
        let (pictures, fingerprints) = self.queue.left_out();
        Ok(Recorded {
            lines: done.lines,
            pictures: done.pictures,
            pictures_left_out: done.pictures_left_out + pictures,
            derived_left_out: done.derived_left_out > 0 || fingerprints > 0,
            notes: done.notes,
        })
    }

    /// Ends the thread.
    fn end(&mut self) -> Done {
        self.queue.close();
        let Some(thread) = self.thread.take() else { return Done::default() };
        self.wait_for(&thread);
        thread.join().unwrap_or_else(|panic| {
            let text = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("a panic without a message");
            self.queue.fail(RecordError::Panicked(text.to_owned()));
            Done::default()
        })
    }

    fn send(&mut self, message: Message) -> Result<(), RecordError> {
        if self.thread.as_ref().is_some_and(JoinHandle::is_finished) {
            // It ends before it is asked to by a failure or by a panic.
            self.end();
        }
        self.queue.push(message)
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        let unfinished = self.thread.is_some();
        self.end();
        if let (true, Some(error)) = (unfinished, self.queue.failure()) {
            tracing::error!("{error}");
        }
    }
}

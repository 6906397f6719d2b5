//! The thread that writes what is recorded.
use super::fingerprints::FingerprintFile;
use super::lines::{Line, MetricLines};
use super::tensorboard::{EventFile, Image};
use super::{FileError, PicturePair, RecordError, pictures};
use parking_lot::Mutex;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

/// Where a recorder writes. The directories must be there.
#[derive(Debug, Clone)]
pub struct RecorderFiles {
    /// The file for metrics; lines are added to it if it is there.
    pub metrics: PathBuf,
    /// The file for fingerprints, and the components of each. `None`: none.
    pub fingerprints: Option<(PathBuf, Vec<String>)>,
    /// The directory for TensorBoard's event files; each recorder makes a file of its own. `None`: none.
    pub tensorboard: Option<PathBuf>,
    /// The directory for pictures.
    pub pictures: PathBuf,
    /// The file for evaluations, which is made with the first one.
    pub evaluations: PathBuf,
}

/// Where a record stands when a recorder goes on with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedUntil {
    /// The last step that is recorded.
    pub step: u64,
    /// The metrics so far, in the order of their first use.
    pub metrics: Vec<String>,
}

/// What a recorder has written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Recorded {
    /// Lines of metrics.
    pub lines: u64,
    /// Pairs of pictures.
    pub pictures: u64,
    /// Pairs of pictures that were left out, as they came faster than they could be written.
    pub pictures_left_out: u64,
}

/// Records metrics and pictures on a thread of its own.
///
/// Everything reaches the files within [`FLUSH_EVERY`], so that a killed run keeps its record. A write that fails
/// ends the recording: the error comes back from the next call, and from each one after it; what was written
/// before stays, cut to whole lines. Dropping a recorder writes what is still waiting; [`finish`](Self::finish)
/// does too, and reports errors.
#[derive(Debug)]
pub struct Recorder {
    // None once finished.
    sender: Option<SyncSender<Message>>,
    thread: Option<JoinHandle<Recorded>>,
    shared: Arc<Shared>,
    metrics: PathBuf,
    pictures_left_out: u64,
}

#[derive(Debug, Default)]
struct Shared {
    failure: Mutex<Option<RecordError>>,
    // Bytes of the pictures that wait.
    picture_bytes: AtomicUsize,
}

impl Shared {
    fn fail(&self, error: RecordError) {
        *self.failure.lock() = Some(error);
    }
}

#[derive(Debug)]
enum Message {
    Line(Line),
    Pictures(PicturePair),
    Fingerprints(Vec<u8>),
    Evaluation(String),
    /// All that came before is to be on the disk; the reply has the metrics so far.
    Sync(SyncSender<Vec<String>>),
}

/// What was recorded is in its files after this long at most.
pub const FLUSH_EVERY: Duration = Duration::from_millis(500);
/// Messages that may wait. Lines are never left out: when a slow disk lets them pile up, the run waits for it…
const WAITING_MESSAGES: usize = 256;
/// …this long, and then ends with an error.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pictures that would make the waiting ones larger than this are left out: they are for looking at, and each
/// costs more than many lines.
const WAITING_PICTURE_BYTES: usize = 64 << 20;

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
        let (step, metrics) = until.map(|until| (until.step, until.metrics)).unzip();
        let fingerprints = files.fingerprints.as_ref();
        let mut writer = Writer {
            lines: MetricLines::open(&files.metrics, metrics.unwrap_or_default())?,
            fingerprints: fingerprints.map(|(path, names)| FingerprintFile::open(path, names)).transpose()?,
            events: files.tensorboard.as_deref().map(|d| EventFile::create(d, started)).transpose()?,
            pictures: files.pictures,
            evaluations: files.evaluations,
            started,
            recorded: Recorded::default(),
        };
        if let (Some(events), Some(step)) = (&mut writer.events, step) {
            events.goes_on_after(step)?;
        }
        let (sender, receiver) = sync_channel(WAITING_MESSAGES);
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("recorder".to_owned())
            .spawn(move || {
                if let Err(error) = writer.run(&receiver, &theirs) {
                    // What the other files still hold back is worth keeping; the error to tell is the first one.
                    let _ = writer.lines.flush();
                    let _ = writer.fingerprints.as_mut().map(FingerprintFile::flush);
                    let _ = writer.events.as_mut().map(EventFile::flush);
                    theirs.fail(error);
                }
                writer.recorded
            })
            .map_err(|e| FileError::new("start a thread that writes", &files.metrics, &e))?;
        Ok(Recorder {
            sender: Some(sender),
            thread: Some(thread),
            shared,
            metrics: files.metrics,
            pictures_left_out: 0,
        })
    }

    /// Records a line of metrics. Returns at once, unless the disk is far behind.
    ///
    /// # Errors
    /// If something recorded earlier could not be written, or if the disk has taken nothing for ten seconds.
    pub fn record(&mut self, line: Line) -> Result<(), RecordError> {
        self.send(Message::Line(line))
    }

    /// Records fingerprints: whole records of `fingerprints.bin`.
    ///
    /// # Errors
    /// As [`record`](Self::record).
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
    /// As [`record`](Self::record).
    pub fn sync(&mut self) -> Result<Receiver<Vec<String>>, RecordError> {
        let (sender, receiver) = sync_channel(1);
        self.send(Message::Sync(sender))?;
        Ok(receiver)
    }

    /// Records a pair of pictures, as `pictures/step-000500-stream-0.png` and in TensorBoard as `stream 0`. If
    /// too many wait already it is left out, which [`finish`](Self::finish) counts.
    ///
    /// # Errors
    /// If a picture is not what it says, and as [`record`](Self::record).
    pub fn picture(&mut self, pair: PicturePair) -> Result<(), RecordError> {
        pair.check()?;
        let waiting = self.shared.picture_bytes.load(Ordering::Relaxed);
        if waiting > 0 && waiting + pair.bytes() > WAITING_PICTURE_BYTES {
            self.pictures_left_out += 1;
            return self.failed();
        }
        self.shared.picture_bytes.fetch_add(pair.bytes(), Ordering::Relaxed);
        self.send(Message::Pictures(pair))
    }

    /// Writes what is waiting, and ends.
    ///
    /// # Errors
    /// If anything that was recorded could not be written.
    pub fn finish(mut self) -> Result<Recorded, RecordError> {
        let recorded = self.end();
        self.failed()?;
        Ok(Recorded { pictures_left_out: self.pictures_left_out, ..recorded })
    }

    /// Ends the thread; what went wrong is then with [`failed`](Self::failed).
    fn end(&mut self) -> Recorded {
        self.sender = None; // the thread ends when nobody can send any more
        match self.thread.take().map(JoinHandle::join) {
            None => Recorded::default(),
            Some(Ok(recorded)) => recorded,
            Some(Err(panic)) => {
                let text = panic
                    .downcast_ref::<String>()
                    .map(String::as_str)
                    .or_else(|| panic.downcast_ref::<&str>().copied())
                    .unwrap_or("a panic without a message");
                self.shared.fail(RecordError::Panicked(text.to_owned()));
                Recorded::default()
            }
        }
    }

    fn failed(&self) -> Result<(), RecordError> {
        match &*self.shared.failure.lock() {
            Some(error) => Err(error.clone()),
            None => Ok(()),
        }
    }

    fn send(&mut self, mut message: Message) -> Result<(), RecordError> {
        self.failed()?;
        let Some(sender) = &self.sender else { return Ok(()) };
        let mut full_since = None;
        loop {
            match sender.try_send(message) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Disconnected(_)) => {
                    // The thread has ended: either it left its error behind, or it panicked.
                    self.end();
                    return self.failed();
                }
                Err(TrySendError::Full(back)) => message = back,
            }
            if full_since.get_or_insert_with(Instant::now).elapsed() > PATIENCE {
                let error = std::io::Error::new(
                    std::io::ErrorKind::TimedOut,
                    "the disk has taken nothing for ten seconds",
                );
                return Err(FileError::new("write", &self.metrics, &error).into());
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        let unfinished = self.thread.is_some();
        self.end();
        if let (true, Err(error)) = (unfinished, self.failed()) {
            tracing::error!("{error}");
        }
    }
}

/// What the thread has.
struct Writer {
    lines: MetricLines,
    fingerprints: Option<FingerprintFile>,
    events: Option<EventFile>,
    pictures: PathBuf,
    evaluations: PathBuf,
    started: SystemTime,
    recorded: Recorded,
}

impl Writer {
    /// Writes until the recorder is gone or something fails.
    fn run(&mut self, messages: &Receiver<Message>, shared: &Shared) -> Result<(), RecordError> {
        let mut flushed = Instant::now();
        let mut waiting = false;
        loop {
            let message = if waiting {
                messages.recv_timeout(FLUSH_EVERY.saturating_sub(flushed.elapsed()))
            } else {
                messages.recv().map_err(|_| RecvTimeoutError::Disconnected)
            };
            match message {
                Ok(Message::Line(line)) => {
                    self.lines.add(&line);
                    self.events.as_mut().map_or(Ok(()), |e| e.scalars(&line))?;
                    self.recorded.lines += 1;
                    waiting = true;
                }
                Ok(Message::Pictures(pair)) => {
                    let written = self.write_pictures(&pair);
                    shared.picture_bytes.fetch_sub(pair.bytes(), Ordering::Relaxed);
                    written?;
                    self.recorded.pictures += 1;
                    waiting = true;
                }
                Ok(Message::Fingerprints(records)) => {
                    self.fingerprints.as_mut().into_iter().for_each(|f| f.add(&records));
                    waiting = true;
                }
                Ok(Message::Evaluation(line)) => self.write_evaluation(&line)?,
                Ok(Message::Sync(reply)) => {
                    self.flush()?;
                    self.lines.sync()?;
                    let _ = reply.send(self.lines.names().to_vec()); // whoever asked may have gone
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    self.flush()?;
                    return self.lines.sync().map_err(RecordError::from);
                }
            }
            if waiting && flushed.elapsed() >= FLUSH_EVERY {
                self.flush()?;
                flushed = Instant::now();
                waiting = false;
            }
        }
    }

    fn flush(&mut self) -> Result<(), FileError> {
        self.lines.flush()?;
        self.fingerprints.as_mut().map_or(Ok(()), FingerprintFile::flush)?;
        self.events.as_mut().map_or(Ok(()), EventFile::flush)
    }

    fn write_evaluation(&self, line: &str) -> Result<(), FileError> {
        let path = &self.evaluations;
        let add = || OpenOptions::new().create(true).append(true).open(path)?.write_all(line.as_bytes());
        add().map_err(|e| FileError::new("write", path, &e))
    }

    fn write_pictures(&mut self, pair: &PicturePair) -> Result<(), RecordError> {
        let both = pictures::side_by_side(pair)?;
        let path = self.pictures.join(format!("step-{:06}-stream-{}.png", pair.step, pair.stream));
        let png = pictures::png(&both)
            .map_err(|e| FileError::new("write", &path, &std::io::Error::other(e.to_string())))?;
        pictures::save(&path, &png)?;
        let tag = format!("stream {}", pair.stream);
        let image = Image { tag, width: both.width, height: both.height, png: &png };
        // Pictures bring no time of their own: they are of now.
        let seconds = self.started.elapsed().map_or(0.0, |t| t.as_secs_f64());
        self.events.as_mut().map_or(Ok(()), |e| e.image(pair.step, seconds, image))?;
        Ok(())
    }
}

//! The thread that writes. It may wait; nothing waits for it before the end.
use super::files::{RecordedUntil, RecorderFiles};
use super::queue::{Message, Missing, Queue, Taken, Trouble};
use crate::disk::{self, Reserve};
use crate::fingerprints::FingerprintFile;
use crate::growing::GrowingFile;
use crate::lines::MetricLines;
use crate::readable::Grouped;
use crate::tensorboard::{EventFile, Image};
use crate::time::rfc3339;
use crate::{FileError, PicturePair, RecordError, pictures};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};
use std::{fs, io};

/// What was recorded is in its files after this long at most, if the disk takes it.
pub const FLUSH_EVERY: Duration = Duration::from_millis(500);
/// Bytes that are gathered before they are written.
const GATHERED: usize = 1 << 20;
/// The first pause before a write is tried again, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// A disk that still takes nothing is reported again after this long.
const SAID_EVERY: Duration = Duration::from_secs(600);
/// Bytes of fingerprints, and of TensorBoard's events, that may wait for a disk that takes lines and not these.
const DERIVED_WAITING: usize = 16 << 20;

/// What the thread has.
pub(super) struct Writer {
    lines: MetricLines,
    fingerprints: Option<FingerprintFile>,
    events: Option<EventFile>,
    evaluations: Evaluations,
    pictures: PathBuf,
    reserve: Option<Reserve>,
    /// How long a disk is waited for at the end.
    patience: Duration,
    trouble: Option<Trouble>,
    derived_said: bool,
    pub(super) done: Done,
}

/// What the thread has done.
#[derive(Debug, Clone, Default)]
pub(super) struct Done {
    pub(super) lines: u64,
    pub(super) pictures: u64,
    pub(super) pictures_left_out: u64,
    pub(super) derived_left_out: usize,
    /// What others have done to the files.
    pub(super) notes: Vec<String>,
}

/// `evaluations.jsonl`, which is made with the first evaluation.
struct Evaluations {
    path: PathBuf,
    file: Option<GrowingFile>,
    waiting: Vec<String>,
}

impl Evaluations {
    fn flush(&mut self) -> Result<(), FileError> {
        if self.waiting.is_empty() && self.file.as_ref().is_none_or(|file| file.waiting() == 0) {
            return Ok(());
        }
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(GrowingFile::open(&self.path)?),
        };
        self.waiting.drain(..).for_each(|line| file.add(line.as_bytes()));
        file.flush()
    }

    fn missing(&self) -> u64 {
        (self.waiting.len() + self.file.as_ref().map_or(0, GrowingFile::pieces)) as u64
    }
}

impl Writer {
    pub(super) fn open(
        files: &RecorderFiles,
        started: SystemTime,
        until: Option<RecordedUntil>,
        patience: Duration,
    ) -> Result<Self, RecordError> {
        let (step, metrics) = until.map(|until| (until.step, until.metrics)).unzip();
        let fingerprints = files.fingerprints.as_ref();
        let mut writer = Writer {
            lines: MetricLines::open(&files.metrics, metrics.unwrap_or_default())?,
            fingerprints: fingerprints.map(|(path, names)| FingerprintFile::open(path, names)).transpose()?,
            events: files.tensorboard.as_deref().map(|d| EventFile::create(d, started)).transpose()?,
            evaluations: Evaluations { path: files.evaluations.clone(), file: None, waiting: Vec::new() },
            pictures: files.pictures.clone(),
            reserve: files.reserved.as_deref().map(Reserve::take),
            patience,
            trouble: None,
            derived_said: false,
            done: Done::default(),
        };
        if let (Some(events), Some(step)) = (&mut writer.events, step) {
            events.goes_on_after(step)?;
        }
        Ok(writer)
    }

    /// Writes until nothing comes any more, or the end can't be written.
    pub(super) fn run(mut self, queue: &Queue) -> Done {
        let mut flushed = Instant::now();
        loop {
            let patience = self.waits().then(|| FLUSH_EVERY.saturating_sub(flushed.elapsed()));
            let closed = match queue.take(patience) {
                Taken::Message(Message::Sync(reply)) => {
                    if !self.write(queue, true) {
                        return self.done;
                    }
                    let _ = reply.send(self.lines.names()); // whoever asked may have gone
                    false
                }
                Taken::Message(message) => {
                    self.accept(queue, message);
                    false
                }
                Taken::Nothing => false,
                Taken::Closed => true,
            };
            let due = flushed.elapsed() >= FLUSH_EVERY || self.lines.waiting() > GATHERED;
            if closed || (due && self.waits()) {
                if !self.write(queue, closed) || closed {
                    self.done.derived_left_out += self.derived_waiting();
                    return self.done;
                }
                flushed = Instant::now();
            }
        }
    }

    fn accept(&mut self, queue: &Queue, message: Message) {
        match message {
            Message::Line(line) => {
                self.lines.add(&line);
                self.events.iter_mut().for_each(|events| events.add_scalars(&line));
                self.done.lines += 1;
            }
            Message::Evaluation(line) => self.evaluations.waiting.push(line),
            Message::Fingerprints(records) => self.fingerprints.iter_mut().for_each(|f| f.add(&records)),
            Message::Pictures(pair, seconds) => {
                queue.busy(true);
                let written = self.write_pictures(&pair, seconds);
                queue.busy(false);
                match written {
                    Ok(()) => self.done.pictures += 1,
                    Err(error) => {
                        if self.done.pictures_left_out == 0 {
                            tracing::warn!(
                                "pictures are left out, and the run goes on without them: {error}"
                            );
                        }
                        self.done.pictures_left_out += 1;
                    }
                }
            }
            Message::Sync(_) => {}
        }
    }

    fn waits(&self) -> bool {
        self.lines.waiting() > 0 || self.evaluations.missing() > 0 || self.derived_waiting() > 0
    }

    fn derived_waiting(&self) -> usize {
        self.fingerprints.as_ref().map_or(0, FingerprintFile::waiting)
            + self.events.as_ref().map_or(0, EventFile::waiting)
    }

    /// Writes what waits, and tries until the disk takes it. False: the end has come, and it does not.
    fn write(&mut self, queue: &Queue, sync: bool) -> bool {
        let mut pause = PAUSES.0;
        loop {
            queue.busy(true);
            let result = self.try_to_write(sync);
            queue.busy(false);
            let Err(error) = result else {
                if let Some(trouble) = self.trouble.take() {
                    queue.set_trouble(None);
                    let seconds = trouble.began.elapsed().as_secs();
                    tracing::warn!("what waited is written: the disk takes it again, after {seconds} s");
                }
                return true;
            };
            self.say(queue, error);
            if let Some(ending) = queue.ending() {
                if self.reserve.as_mut().is_some_and(Reserve::release_most) {
                    continue;
                }
                if ending > self.patience {
                    self.give_up(queue);
                    return false;
                }
            }
            queue.pause(pause);
            pause = PAUSES.1.min(2 * pause);
        }
    }

    fn try_to_write(&mut self, sync: bool) -> Result<(), FileError> {
        // At the end too, and before a checkpoint rests on it.
        self.look_after(sync);
        let lines = if sync { self.lines.sync() } else { self.lines.flush() };
        lines.and(self.evaluations.flush())?;
        // What follows can be done without: a disk that does not take it holds up nothing.
        let fingerprints = self.fingerprints.as_mut().map_or(Ok(()), FingerprintFile::flush);
        let events = self.events.as_mut().map_or(Ok(()), EventFile::flush);
        if let Err(error) = fingerprints.and(events) {
            if !std::mem::replace(&mut self.derived_said, true) {
                tracing::warn!(
                    "the run goes on, and this waits while it may: {error}. This is reported once"
                );
            }
            let fingerprints = self.fingerprints.as_mut().map_or(0, |f| f.waits_at_most(DERIVED_WAITING));
            let events = self.events.as_mut().map_or(0, |e| e.waits_at_most(DERIVED_WAITING));
            self.done.derived_left_out += fingerprints + events;
        }
        Ok(())
    }

    /// Makes good what others have done to the files, and says it.
    fn look_after(&mut self, now: bool) {
        let notes = [
            self.lines.look_after(now),
            self.evaluations.file.as_mut().and_then(|f| f.look_after(now)),
            self.fingerprints.as_mut().and_then(|f| f.look_after(now)),
            self.events.as_mut().and_then(|f| f.look_after(now)),
        ];
        for note in notes.into_iter().flatten() {
            tracing::warn!("{note}");
            self.done.notes.push(note);
        }
    }

    fn say(&mut self, queue: &Queue, error: FileError) {
        let now = Instant::now();
        let said = self.trouble.as_ref().is_some_and(|trouble| trouble.said.elapsed() < SAID_EVERY);
        let trouble = self.trouble.get_or_insert_with(|| Trouble {
            error: error.clone(),
            since: rfc3339(SystemTime::now()),
            began: now,
            said: now,
        });
        if !said {
            trouble.said = now;
            let (disk, since) = (disk::named(&error.file), &trouble.since);
            tracing::warn!(
                "{error}. The run goes on, and what it records waits in memory for {disk}, since {since}"
            );
        }
        trouble.error = error;
        queue.set_trouble(Some(trouble.clone()));
    }

    /// The end has come, and the disk takes nothing: says what is missing.
    fn give_up(&mut self, queue: &Queue) {
        let Some(trouble) = &self.trouble else { return };
        let mut missing: Missing = queue.abandon();
        self.lines.unwritten().for_each(|step| missing.line(step));
        missing.evaluations += self.evaluations.missing();
        let mut what = Vec::new();
        if let Some((first, last)) = missing.steps {
            let number = |n: u64, what: &str| match n {
                1 => format!("1 {what} is"),
                n => format!("{} {what}s are", Grouped(n)),
            };
            let steps = match first == last {
                true => format!("step {}", Grouped(last)),
                false => format!("steps {} to {}", Grouped(first), Grouped(last)),
            };
            what.push(format!("of {steps}, {} not in metrics.jsonl", number(missing.lines, "line")));
        }
        if missing.evaluations > 0 {
            what.push(format!("{} evaluations are not in evaluations.jsonl", missing.evaluations));
        }
        if what.is_empty() {
            // Written, but the disk does not say that it has it.
            what.push("what was recorded last may not be on the disk".to_owned());
        }
        queue.fail(RecordError::NotWritten {
            what: what.join(", and "),
            error: Box::new(trouble.error.clone()),
            disk: disk::named(&trouble.error.file),
            since: trouble.since.clone(),
        });
    }

    fn write_pictures(&mut self, pair: &PicturePair, seconds: f64) -> Result<(), RecordError> {
        let both = pictures::side_by_side(pair)?;
        let path = self.pictures.join(format!("step-{:06}-stream-{}.png", pair.step, pair.stream));
        let png = pictures::png(&both)
            .map_err(|e| FileError::new("write", &path, &io::Error::other(e.to_string())))?;
        match pictures::save(&path, &png) {
            // Somebody has tidied up.
            Err(error) if error.kind == io::ErrorKind::NotFound && fs::create_dir(&self.pictures).is_ok() => {
                pictures::save(&path, &png)?;
            }
            saved => saved?,
        }
        let tag = format!("stream {}", pair.stream);
        let image = Image { tag, width: both.width, height: both.height, png: &png };
        self.events.iter_mut().for_each(|events| events.add_image(pair.step, seconds, &image));
        Ok(())
    }
}

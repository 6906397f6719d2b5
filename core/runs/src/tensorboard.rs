//! TensorBoard event files: the same curves and pictures, to look at.
//!
//! The records' framing and checksums and the messages are tensorboard-rs's. Its own file writer is not used:
//! it panics on its own thread when the disk is full, and again when it is dropped, which would end the
//! process; it writes unbuffered; and it swaps width and height in what it says of a picture.
mod hparams;
mod layout;
mod value;

use super::FileError;
use super::growing::GrowingFile;
use super::lines::Line;
use protobuf::Message;
use std::fs::{self, OpenOptions};
use std::io;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};
use tensorboard_proto::event::{Event, SessionLog, SessionLog_SessionStatus};
use tensorboard_proto::summary::{Summary, Summary_Image, Summary_Value};
use tensorboard_rs::record_writer::RecordWriter;

/// A PNG picture that is to be shown under a tag.
pub(super) struct Image<'a> {
    pub(super) tag: String,
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) png: &'a [u8],
}

/// One event file, which is new: TensorBoard joins all files of a directory.
pub struct EventFile {
    file: GrowingFile,
    started: SystemTime,
}

/// Bytes that [`EventFile::scalars`] gathers before it writes them.
const GATHERED: usize = 256 << 10;

impl EventFile {
    /// Makes a new event file in a directory that is there. Wall times count from `started`.
    ///
    /// # Errors
    /// If that is not possible, as for everything here.
    pub fn create(directory: &Path, started: SystemTime) -> Result<Self, FileError> {
        let host: String = fs::read_to_string("/proc/sys/kernel/hostname")
            .unwrap_or_default()
            .trim()
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' })
            .collect();
        let host = if host.is_empty() { "localhost" } else { &host };
        // TensorBoard reads the files of a directory in the order of their names: first the time, then the number.
        let seconds = seconds_since_epoch(SystemTime::now()) as u64;
        let pid = std::process::id();
        let mut number = 0;
        let file = loop {
            let path = directory.join(format!("events.out.tfevents.{seconds:010}.{host}.{pid}.{number}"));
            match GrowingFile::create(&path) {
                Ok(file) => break file,
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists && number < 1_000 => number += 1,
                Err(e) => return Err(FileError::new("make", &path, &e)),
            }
        };
        let mut events = EventFile { file, started };
        let mut version = Event::new();
        version.set_wall_time(seconds_since_epoch(started));
        version.set_file_version("brain.Event:2".to_owned());
        events.add(&version);
        // Without it there are as many charts as there are curves.
        layout::layout().into_iter().for_each(|layout| events.summary(0, 0.0, vec![layout]));
        events.flush()?;
        Ok(events)
    }

    /// Says that the run goes on after a step: a TensorBoard that has read later ones forgets them.
    pub(super) fn goes_on_after(&mut self, step: u64) -> Result<(), FileError> {
        let mut session = SessionLog::new();
        session.set_status(SessionLog_SessionStatus::START);
        let mut event = Event::new();
        event.set_wall_time(seconds_since_epoch(SystemTime::now()));
        event.set_step(step as i64 + 1);
        event.set_session_log(session);
        self.add(&event);
        self.flush()
    }

    /// Adds the scalars of a line, all in one event.
    ///
    /// # Errors
    /// If what was gathered can't be written; it then waits for the next call.
    pub fn scalars(&mut self, line: &Line) -> Result<(), FileError> {
        self.add_scalars(line);
        if self.waiting() > GATHERED { self.flush() } else { Ok(()) }
    }

    /// Adds the scalars of a line to what waits for [`flush`](Self::flush).
    pub(super) fn add_scalars(&mut self, line: &Line) {
        let values = line.values.iter().map(|(name, value)| {
            let mut scalar = Summary_Value::new();
            scalar.set_tag(name.clone());
            scalar.set_simple_value(*value as f32);
            scalar
        });
        self.summary(line.step, line.seconds, values.collect());
    }

    /// Adds a picture to what waits.
    pub(super) fn add_image(&mut self, step: u64, seconds: f64, image: &Image<'_>) {
        let mut message = Summary_Image::new();
        message.set_width(image.width as i32);
        message.set_height(image.height as i32);
        message.set_colorspace(3); // RGB
        message.set_encoded_image_string(image.png.to_vec());
        let mut value = Summary_Value::new();
        value.set_tag(image.tag.clone());
        value.set_image(message);
        self.summary(step, seconds, vec![value]);
    }

    /// Hands everything to the system.
    ///
    /// # Errors
    /// If it does not take it; it then waits for the next call.
    pub fn flush(&mut self) -> Result<(), FileError> {
        self.file.flush()
    }

    /// Bytes that wait.
    pub(super) fn waiting(&self) -> usize {
        self.file.waiting()
    }

    /// See [`GrowingFile::waits_at_most`].
    pub(super) fn waits_at_most(&mut self, bytes: usize) -> usize {
        self.file.waits_at_most(bytes)
    }

    /// See [`GrowingFile::look_after`].
    pub(super) fn look_after(&mut self, now: bool) -> Option<String> {
        self.file.look_after(now)
    }

    fn summary(&mut self, step: u64, seconds: f64, values: Vec<Summary_Value>) {
        let mut summary = Summary::new();
        summary.set_value(values.into());
        let mut event = Event::new();
        event.set_wall_time(seconds_since_epoch(self.started) + seconds);
        event.set_step(step as i64);
        event.set_summary(summary);
        self.add(&event);
    }

    fn add(&mut self, event: &Event) {
        // Only a message without a required field can't be encoded, and a vector takes what is written to it.
        if let Ok(bytes) = event.write_to_bytes() {
            self.file.add_with(|waiting| drop(RecordWriter::new(waiting).write(&bytes)));
        }
    }
}

/// Cuts the event files of a directory before the first event of a step after `step`; scalars also before the first after
/// `scalars`, the last one that is in the metrics. A file that is damaged, as by a kill, is cut there.
pub(super) fn cut(directory: &Path, step: u64, scalars: Option<u64>) -> Result<(), FileError> {
    let Ok(entries) = fs::read_dir(directory) else { return Ok(()) };
    for path in entries.flatten().map(|e| e.path()) {
        if !path.file_name().is_some_and(|name| name.to_string_lossy().contains(".tfevents.")) {
            continue;
        }
        let bytes = fs::read(&path).map_err(|e| FileError::new("read", &path, &e))?;
        let early = |event: &Event| {
            let of_scalars = event.get_summary().get_value().iter().any(Summary_Value::has_simple_value);
            let last = if of_scalars { scalars.unwrap_or(0).min(step) } else { step };
            u64::try_from(event.get_step()).is_ok_and(|own| own <= last)
        };
        let keep =
            whole_events(&bytes).take_while(|(event, _)| early(event)).last().map_or(0, |(_, end)| end);
        let cut = if keep == 0 {
            fs::remove_file(&path)
        } else {
            OpenOptions::new().write(true).open(&path).and_then(|file| file.set_len(keep as u64))
        };
        cut.map_err(|e| FileError::new("cut", &path, &e))?;
    }
    Ok(())
}

/// The events of a file, each with where it ends. A record is its length (u64), a checksum of it (u32), the event, and a
/// checksum of that (u32).
pub(super) fn whole_events(bytes: &[u8]) -> impl Iterator<Item = (Event, usize)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let length = bytes.get(at..at + 8)?.try_into().map(u64::from_le_bytes).ok()?;
        let start = at + 12;
        let end = start.checked_add(usize::try_from(length).ok()?)?;
        bytes.get(end..end.checked_add(4)?)?;
        let event = Event::parse_from_bytes(&bytes[start..end]).ok()?;
        at = end + 4;
        Some((event, at))
    })
}

fn seconds_since_epoch(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).map_or(0.0, |t| t.as_secs_f64())
}

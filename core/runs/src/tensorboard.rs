//! TensorBoard event files: the same curves and pictures, to look at.
//!
//! The records' framing and checksums and the messages are tensorboard-rs's. Its own file writer is not used:
//! it panics on its own thread when the disk is full, and again when it is dropped, which would end the
//! process; it writes unbuffered; and it swaps width and height in what it says of a picture.
mod hparams;
mod layout;
mod value;

use super::FileError;
use super::lines::Line;
use protobuf::Message;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
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
    path: PathBuf,
    writer: RecordWriter<BufWriter<File>>,
    started: SystemTime,
}

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
        let (path, file) = loop {
            let path = directory.join(format!("events.out.tfevents.{seconds:010}.{host}.{pid}.{number}"));
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => break (path, file),
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists && number < 1_000 => number += 1,
                Err(e) => return Err(FileError::new("make", &path, &e)),
            }
        };
        let mut events = EventFile { path, writer: RecordWriter::new(BufWriter::new(file)), started };
        let mut version = Event::new();
        version.set_wall_time(seconds_since_epoch(started));
        version.set_file_version("brain.Event:2".to_owned());
        events.write(&version)?;
        let layout = layout::layout().map_err(|e| events.failed(io::Error::other(e)))?;
        events.summary(0, 0.0, vec![layout])?;
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
        self.write(&event)?;
        self.flush()
    }

    /// Adds the scalars of a line, all in one event.
    ///
    /// # Errors
    /// If they can't be written.
    pub fn scalars(&mut self, line: &Line) -> Result<(), FileError> {
        let values = line.values.iter().map(|(name, value)| {
            let mut scalar = Summary_Value::new();
            scalar.set_tag(name.clone());
            scalar.set_simple_value(*value as f32);
            scalar
        });
        self.summary(line.step, line.seconds, values.collect())
    }

    /// Adds a picture.
    pub(super) fn image(&mut self, step: u64, seconds: f64, image: Image<'_>) -> Result<(), FileError> {
        let mut message = Summary_Image::new();
        message.set_width(image.width as i32);
        message.set_height(image.height as i32);
        message.set_colorspace(3); // RGB
        message.set_encoded_image_string(image.png.to_vec());
        let mut value = Summary_Value::new();
        value.set_tag(image.tag);
        value.set_image(message);
        self.summary(step, seconds, vec![value])
    }

    /// Hands everything to the system.
    ///
    /// # Errors
    /// If it does not take it.
    pub fn flush(&mut self) -> Result<(), FileError> {
        self.writer.flush().map_err(|e| self.failed(e))
    }

    fn failed(&self, error: io::Error) -> FileError {
        FileError::new("write", &self.path, &error)
    }

    fn summary(&mut self, step: u64, seconds: f64, values: Vec<Summary_Value>) -> Result<(), FileError> {
        let mut summary = Summary::new();
        summary.set_value(values.into());
        let mut event = Event::new();
        event.set_wall_time(seconds_since_epoch(self.started) + seconds);
        event.set_step(step as i64);
        event.set_summary(summary);
        self.write(&event)
    }

    fn write(&mut self, event: &Event) -> Result<(), FileError> {
        event
            .write_to_bytes()
            .map_err(io::Error::other)
            .and_then(|bytes| self.writer.write(&bytes))
            .map_err(|e| FileError::new("write", &self.path, &e))
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

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
use tensorboard_proto::event::Event;
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

fn seconds_since_epoch(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).map_or(0.0, |t| t.as_secs_f64())
}

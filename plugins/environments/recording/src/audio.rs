//! Sound: WAV and FLAC. A frame is so many samples of each channel, the first channel's first; what is left at the end and fills
//! no frame is left out. Samples are in −1…1, which is also their own unit.
use crate::column::{Column, Values};
use crate::options::Options;
use crate::source::{Place, Source, Sources, checksum_of, has_changed, in_files, open};
use efference_sdk::{Result, bail, ensure};
use std::path::{Path, PathBuf};
use symphonia::core::audio::SampleBuffer;
use symphonia::core::codecs::{Decoder, DecoderOptions};
use symphonia::core::errors::Error as SoundError;
use symphonia::core::formats::{FormatOptions, FormatReader};
use symphonia::core::io::{MediaSourceStream, MediaSourceStreamOptions};
use symphonia::core::meta::MetadataOptions;
use symphonia::core::probe::Hint;

/// Elements of a frame, at most.
const WIDEST: usize = 1 << 20;

/// The columns of sound files, and their rows.
///
/// # Errors
/// A file that is no such sound, or without a whole frame: a sentence with its path.
pub(crate) fn open_all(paths: &[PathBuf], options: &Options) -> Result<(Vec<Column>, Sources)> {
    let columns = outline(paths, options)?;
    let mut sources: Sources = Vec::new();
    for path in paths {
        let sound = Sound {
            path: path.clone(),
            stream: Stream::open(path)?,
            samples: options.samples,
            waiting: Vec::new(),
            row: 0,
            checksum: checksum_of(path)?,
        };
        sources.push(Box::new(sound));
    }
    Ok((columns, sources))
}

/// The columns of sound files.
pub(crate) fn outline(paths: &[PathBuf], options: &Options) -> Result<Vec<Column>> {
    let mut first: Option<(String, usize, u32)> = None;
    for path in paths {
        let shown = path.display().to_string();
        let mut stream = Stream::open(path)?;
        let mut waiting = Vec::new();
        let mut enough = true;
        while waiting.len() < options.samples * stream.channels && enough {
            enough = stream.read(path, &mut waiting)?;
        }
        let found = waiting.len() / stream.channels;
        if found == 0 {
            return Err(in_files(format!("{shown} has no samples: there is nothing to observe")));
        }
        if found < options.samples {
            return Err(in_files(format!(
                "{shown} has {found} samples, and a frame is samples = {} of them: set environment.samples lower",
                options.samples
            )));
        }
        match &first {
            Some((other, channels, _)) if *channels != stream.channels => {
                return Err(in_files(format!(
                    "{shown} has {} channels, and {other} has {channels}: the streams of an environment observe the same",
                    stream.channels
                )));
            }
            Some((other, _, rate)) if *rate != stream.rate => efference_sdk::tracing::warn!(
                "{shown} has {} samples a second, and {other} has {rate}: a frame does not last as long in both",
                stream.rate
            ),
            Some(_) => {}
            None => first = Some((shown, stream.channels, stream.rate)),
        }
    }
    let channels = first.map_or(1, |(_, channels, _)| channels);
    let width = channels.saturating_mul(options.samples);
    ensure!(
        width <= WIDEST,
        "samples = {} of {channels} channels are more than {WIDEST} elements",
        options.samples
    );
    Ok(vec![Column::block("sound", width, Values::Within(-1.0, 1.0))])
}

/// A file that is being decoded.
struct Stream {
    format: Box<dyn FormatReader>,
    decoder: Box<dyn Decoder>,
    track: u32,
    channels: usize,
    rate: u32,
    samples: u64,
}

impl Stream {
    fn open(path: &Path) -> Result<Stream> {
        let shown = path.display();
        let none = |why: &str| in_files(format!("{shown} is no WAV or FLAC file that can be read: {why}"));
        let source = MediaSourceStream::new(Box::new(open(path)?), MediaSourceStreamOptions::default());
        let mut hint = Hint::new();
        if let Some(extension) = path.extension().and_then(|e| e.to_str()) {
            hint.with_extension(extension);
        }
        let probed = symphonia::default::get_probe()
            .format(&hint, source, &FormatOptions::default(), &MetadataOptions::default())
            .map_err(|e| none(&e.to_string()))?;
        let format = probed.format;
        let Some(track) = format.default_track() else { return Err(none("it has no sound in it")) };
        let parameters = track.codec_params.clone();
        let id = track.id;
        let channels = parameters.channels.map_or(0, |c| c.count());
        if channels == 0 {
            return Err(none("it does not say how many channels it has"));
        }
        let decoder = symphonia::default::get_codecs()
            .make(&parameters, &DecoderOptions::default())
            .map_err(|e| none(&format!("{e}; convert it: `ffmpeg -i {shown} sound.flac`")))?;
        let rate = parameters.sample_rate.unwrap_or_default();
        Ok(Stream { format, decoder, track: id, channels, rate, samples: 0 })
    }

    /// Appends samples, channel by channel for each moment; false: there are no more.
    fn read(&mut self, path: &Path, to: &mut Vec<f32>) -> Result<bool> {
        let shown = path.display();
        loop {
            let packet = match self.format.next_packet() {
                Ok(packet) => packet,
                Err(SoundError::IoError(e)) if e.kind() == std::io::ErrorKind::UnexpectedEof => {
                    return Ok(false);
                }
                Err(error) => bail!("{shown} is damaged after {} samples: {error}", self.samples),
            };
            if packet.track_id() != self.track {
                continue;
            }
            let decoded = match self.decoder.decode(&packet) {
                Ok(decoded) => decoded,
                Err(error) => bail!("{shown} is damaged after {} samples: {error}", self.samples),
            };
            let spec = *decoded.spec();
            ensure!(
                spec.channels.count() == self.channels,
                "{shown}: after {} samples there are {} channels, and there were {}",
                self.samples,
                spec.channels.count(),
                self.channels
            );
            let mut buffer = SampleBuffer::<f32>::new(decoded.capacity() as u64, spec);
            buffer.copy_interleaved_ref(decoded);
            let samples = buffer.samples();
            if let Some(at) = samples.iter().position(|s| s.is_infinite()) {
                bail!("{shown}: sample {} is infinite", self.samples + (at / self.channels) as u64 + 1);
            }
            self.samples += (samples.len() / self.channels) as u64;
            to.extend_from_slice(samples);
            if !samples.is_empty() {
                return Ok(true);
            }
        }
    }
}

/// A sound that is read frame by frame.
struct Sound {
    path: PathBuf,
    stream: Stream,
    samples: usize,
    /// Decoded, and not in a row yet.
    waiting: Vec<f32>,
    row: u64,
    checksum: u64,
}

impl Source for Sound {
    fn next(&mut self, row: &mut [f64]) -> Result<bool> {
        while self.waiting.len() < row.len() {
            if !self.stream.read(&self.path, &mut self.waiting)? {
                return Ok(false);
            }
        }
        let channels = self.stream.channels;
        for (i, sample) in self.waiting.drain(..row.len()).enumerate() {
            row[(i % channels) * self.samples + i / channels] = f64::from(sample);
        }
        self.row += 1;
        Ok(true)
    }

    fn place(&self) -> Place {
        Place { row: self.row, ..Place::default() }
    }

    /// Decoded again from the beginning: samples depend on those before.
    fn go(&mut self, place: Place) -> Result<()> {
        self.stream = Stream::open(&self.path)?;
        self.waiting.clear();
        self.row = 0;
        let mut row = vec![0.0; self.samples * self.stream.channels];
        while self.row < place.row {
            ensure!(self.next(&mut row)?, "{}: it ends at frame {}", has_changed(&self.path), self.row);
        }
        Ok(())
    }

    fn checksum(&self) -> u64 {
        self.checksum
    }

    fn rows(&self) -> Option<u64> {
        None
    }
}

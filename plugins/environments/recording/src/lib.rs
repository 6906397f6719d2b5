//! Environment plugin: recordings of the user's own as streams.
//!
//! ```toml
//! [environment]
//! plugin = "recording"
//! files = ["flow.csv"]
//! time = "Time"
//! period = 24
//! ```
//!
//! | format | a frame is | values |
//! |---|---|---|
//! | CSV and its relatives | a row | numbers; a column of text takes an element for each of its texts (1: this one, −1: not) |
//! | NPY | what stands behind the first index | numbers; `uint8` is 0…255, `bool` 0 or 1 |
//! | WAV, FLAC | `samples` samples of each channel | −1…1 |
//! | a folder of pictures, GIF, video (by `ffmpeg`) | a picture, brought to `width` × `height` | 0…1, black to white |
//! | UTF-8 text | a character, or a byte | an element for each that there is |
//!
//! Several files are several streams, which observe the same columns; rows are taken one after the other, however far apart
//! they are in time. There are no actions, no reward and no episodes. Files are read row by row and may be larger than memory;
//! tables, arrays and texts are read once before, so that all that is wrong with them is said before the first step (GIFs alone
//! are held whole, as they are shown).
//!
//! # Scaling
//!
//! What has a known range is linear in it, and so is what `min` and `max` say. Other numbers are scaled by statistics of the rows
//! before, never by the row itself or a later one: see `scaling.rs` for the formulas, and for the first rows. With several
//! streams a row is scaled by the rows that all of them had before that step, or with `statistics = "own"` by its stream's.
//!
//! With `predict = "change"` what is predicted of a number is how far it will be from its last value. The number itself is then
//! only seen. An agent that predicts 0 there says the last value again.
//!
//! # What is recorded
//!
//! Progressive validation: each row is predicted, then compared, then learned from. Beside the host's `error`, which is of scaled
//! elements, predictions are scaled back by the same statistics and compared in the data's own units, as are the last value
//! (`_last`) and, with `period`, the value a period ago (`_period`; the last value, where there was none):
//!
//! | metric | over the interval of a record | over the whole run so far |
//! |---|---|---|
//! | mean of the distance | `recording/mae` | `recording/run_mae` |
//! | mean of its square; root of that | `recording/mse` | `recording/run_rmse` |
//! | mean of 200 · distance / (size of both), in % | `recording/smape` | `recording/run_smape` |
//! | share of texts or characters that were foreseen | `recording/accuracy` | `recording/run_accuracy` |
//!
//! over all predicted numbers of all streams. Of a stream's first row there is no prediction, and no last value: it counts as
//! predicted 0 by the agent, the last value and the period alike, as in River, so that what is published of it can be compared; so does a
//! number that was never observed before. With `first_row = false` these do not count. The second row is predicted by an agent
//! that has learned nothing, and counts. In a `loop`, what comes from the second pass on has been seen before.

mod audio;
mod column;
mod npy;
mod open;
mod options;
mod pictures;
mod pixels;
mod program;
mod saved;
mod scaling;
mod source;
mod stream;
mod table;
#[cfg(test)]
mod tests;
mod text;
mod units;
mod video;

pub use options::{Format, Options, Predict, Scale, Statistics, Symbols};

use column::{Layout, Shows};
use efference_sdk::{
    Comparison, Environment, EnvironmentSetup, Frame, Frames, Outline, Picture, Plugin, Restores, Result,
    RewardRange, Spaces, StepType, ensure, serde_json, tracing,
};
use open::{Opened, open_all};
use pixels::Size;
use saved::{Head, SavedStream};
use scaling::Scaling;
use std::path::PathBuf;
use std::time::Duration;
use stream::Stream;
use units::Units;

/// The environment: streams of rows, and statistics of them.
pub struct Recording {
    options: Options,
    layout: Layout,
    paths: Vec<PathBuf>,
    streams: Vec<Stream>,
    /// One of all streams, or one a stream.
    scalings: Vec<Scaling>,
    /// Of the whole run.
    units: Units,
    size: Option<Size>,
}

impl Plugin for Recording {
    const NAME: &'static str = "recording";
    const DESCRIPTION: &'static str =
        "Recordings of your own as streams: CSV, NPY, WAV, FLAC, pictures, GIF, video, text.";
    type Options = Options;
    type Kind = dyn Environment;

    fn outline(options: &Options) -> Result<Outline> {
        let (streams, layout) = open::outline(options)?;
        Ok(Outline { streams: Some(streams), spaces: layout.map(|layout| spaces(&layout)) })
    }

    fn new(options: Options, _: &EnvironmentSetup) -> Result<Self> {
        let Opened { layout, sources, paths, size } = open_all(&options)?;
        let streams: Vec<Stream> =
            sources.into_iter().map(|source| Stream::new(source, &layout, options.period)).collect();
        let scalings = match options.statistics {
            Statistics::Shared => vec![Scaling::new(&options, &layout)],
            Statistics::Own => vec![Scaling::new(&options, &layout); streams.len()],
        };
        Ok(Recording { options, layout, paths, streams, scalings, units: Units::default(), size })
    }
}

fn spaces(layout: &Layout) -> Spaces {
    Spaces { observation: layout.elements.len(), actions: Vec::new(), reward: RewardRange::default() }
}

/// The statistics of a stream.
fn of_stream(scalings: &[Scaling], stream: usize) -> &Scaling {
    &scalings[stream.min(scalings.len() - 1)]
}

impl Recording {
    /// Has a stream read its next row; whether there is one.
    fn read(&mut self, number: usize) -> Result<bool> {
        let stream = &mut self.streams[number];
        if stream.source.next(&mut stream.row)? {
            return Ok(true);
        }
        if !self.options.r#loop {
            return Ok(false);
        }
        stream.source.go(source::Place::default())?;
        stream.pass += 1;
        if stream.pass == 1 {
            let path = self.paths[number].display();
            tracing::info!("{path} has come to its end, and begins again: from here on it was seen before");
        }
        ensure!(stream.source.next(&mut stream.row)?, "{}", source::has_changed(&self.paths[number]));
        Ok(true)
    }
}

impl Environment for Recording {
    /// Sends the next row of each stream that was responded to (at first: of each stream), and returns at once: nothing
    /// more can come before the next response.
    fn poll(&mut self, _timeout: Duration, frames: &mut dyn Frames) -> Result<()> {
        let mut came = Vec::new();
        for number in 0..self.streams.len() {
            if !std::mem::take(&mut self.streams[number].ready) {
                continue;
            }
            if !self.read(number)? {
                self.streams[number].ended = true;
                frames.end(number as u64)?;
                continue;
            }
            came.push(number);
            let (layout, stream) = (&self.layout, &mut self.streams[number]);
            let scaling = of_stream(&self.scalings, number);
            scaling.elements(layout, &stream.row, &stream.last, &mut stream.observation);
            let units = stream.compare(layout, scaling, &self.options);
            units.record_row();
            self.units.join(&units);
            frames.frame(Frame {
                stream: number as u64,
                observation: &stream.observation,
                actions: &[],
                reward: None,
                step_type: StepType::MIDDLE,
            })?;
        }
        for number in &came {
            let stream = &mut self.streams[*number];
            let scaling = *number.min(&(self.scalings.len() - 1));
            self.scalings[scaling].observe(&stream.row, &stream.last);
            stream.remember(&self.layout, self.options.period);
        }
        if !came.is_empty() {
            self.units.record_run();
        }
        if self.streams.iter().all(|stream| stream.ended) {
            frames.close()?;
        }
        Ok(())
    }

    /// Takes the prediction of a stream's next row. Errors, which leave the stream where it is: a stream that does not exist
    /// or does not wait for a response, wrong lengths.
    fn act(&mut self, stream: u64, prediction: &[f32], action: &[f32]) -> Result<()> {
        let last = self.streams.len() - 1;
        let wanted = self.layout.elements.len();
        let Some(of) = usize::try_from(stream).ok().and_then(|number| self.streams.get_mut(number)) else {
            efference_sdk::bail!(
                "there is no stream {stream} in this environment; its streams are 0 to {last}"
            );
        };
        ensure!(
            !of.ready && !of.ended,
            "stream {stream} does not wait for a response: poll its next frame before acting again"
        );
        ensure!(
            prediction.is_empty() || prediction.len() == wanted,
            "the prediction for stream {stream} has {} elements, but its observation has {wanted}",
            prediction.len()
        );
        ensure!(
            action.is_empty(),
            "the action for stream {stream} has {} elements, but its frame asked for none",
            action.len()
        );
        of.prediction.clear();
        of.prediction.extend_from_slice(prediction);
        of.ready = true;
        if self.options.first_row && of.is_at_first_row() && !prediction.is_empty() {
            let units = of.first_row(&self.layout, self.options.period > 0);
            units.record_row();
            self.units.join(&units);
            self.units.record_run();
        }
        Ok(())
    }

    fn spaces(&self) -> Result<Option<Spaces>> {
        Ok(Some(spaces(&self.layout)))
    }

    /// Draws pictures, of formats that have them.
    fn picture(&self, _stream: u64, observation: &[f32]) -> Result<Option<Picture>> {
        let Some(size) = self.size else { return Ok(None) };
        let wanted = self.layout.elements.len();
        ensure!(observation.len() == wanted, "{} elements are no picture of {wanted}", observation.len());
        let elements = self.layout.elements.iter().zip(observation);
        let shown: Vec<f32> = elements.filter(|(e, _)| e.shows == Shows::Value).map(|(_, x)| *x).collect();
        Ok(Some(size.draw(&shown)))
    }

    fn restores(&self) -> Result<Restores> {
        Ok(Restores::Exact)
    }

    /// Where all streams are, and the statistics; not the files, which are read again. Also which streams wait for a response:
    /// whoever saves between a poll and the response to it must act, not poll, after restoring.
    fn save(&self) -> Result<Vec<u8>> {
        let saved = |stream: &Stream| SavedStream {
            checksum: stream.source.checksum(),
            place: stream.source.place(),
            pass: stream.pass,
            moment: stream.moment,
            ready: stream.ready,
            ended: stream.ended,
            predicted: !stream.prediction.is_empty(),
        };
        let head = Head::new(serde_json::to_value(&self.options)?, self.streams.iter().map(saved).collect());
        let scalings = self.scalings.iter().flat_map(Scaling::save);
        let streams = self.streams.iter().flat_map(|stream| {
            let predicted = stream.prediction.iter().map(|x| f64::from(*x));
            stream.last.iter().chain(&stream.season).copied().chain(predicted)
        });
        head.write(scalings.chain(self.units.save()).chain(streams))
    }

    /// Errors, which leave the environment as it is: bytes of other options or files, or damaged ones.
    fn restore(&mut self, saved: &[u8]) -> Result<()> {
        let (Head { options, streams, .. }, numbers) = Head::read(saved)?;
        self.options.require_same(&options)?;
        let (now, were) = (self.streams.len(), streams.len());
        ensure!(were == now, "the environment was saved with {were} files, and there are {now} now");
        for ((stream, saved), path) in self.streams.iter().zip(&streams).zip(&self.paths) {
            ensure!(
                stream.source.checksum() == saved.checksum,
                "{} is not what it was when the environment was saved: go on with the files that it was saved with",
                path.display()
            );
        }
        let elements = self.layout.elements.len();
        let of_scalings: usize = self.scalings.iter().map(Scaling::saved_len).sum();
        let mut rest = &numbers[..];
        let mut take = |count: usize| -> Result<&[f64]> {
            ensure!(count <= rest.len(), "the saved environment is damaged: it ends too early");
            let (taken, left) = rest.split_at(count);
            rest = left;
            Ok(taken)
        };
        let (scalings, units) = (take(of_scalings)?, take(self.units.save().len())?);
        let mut of_streams = Vec::new();
        for (stream, saved) in self.streams.iter().zip(&streams) {
            let (last, season) = (take(stream.last.len())?, take(stream.season.len())?);
            ensure!(
                saved.moment <= self.options.period.saturating_sub(1),
                "the saved environment is damaged: it is at moment {} of a period of {}",
                saved.moment,
                self.options.period
            );
            of_streams.push((last, season, take(if saved.predicted { elements } else { 0 })?));
        }
        ensure!(rest.is_empty(), "the saved environment is damaged: it is too long");
        let units = units.try_into().map(Units::restored)?;
        for (stream, saved) in self.streams.iter_mut().zip(&streams) {
            stream.source.go(saved.place)?;
        }
        let mut scalings = scalings;
        for scaling in &mut self.scalings {
            let (own, left) = scalings.split_at(scaling.saved_len());
            scaling.restore(own);
            scalings = left;
        }
        self.units = units;
        for ((stream, saved), (last, season, prediction)) in
            self.streams.iter_mut().zip(streams).zip(of_streams)
        {
            stream.last.copy_from_slice(last);
            stream.season.copy_from_slice(season);
            stream.prediction = prediction.iter().map(|x| *x as f32).collect();
            SavedStream {
                pass: stream.pass,
                moment: stream.moment,
                ready: stream.ready,
                ended: stream.ended,
                ..
            } = saved;
        }
        Ok(())
    }

    fn comparison(&self) -> Result<Comparison> {
        let period = Some(self.options.period).filter(|period| *period > 0);
        Ok(Comparison { roles: self.layout.roles(), linear: true, period })
    }
}

efference_sdk::export! { environment: Recording }

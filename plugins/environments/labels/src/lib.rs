//! Environment plugin: pictures, each followed by its label.
//!
//! The pictures are those of an IDX file, the format of MNIST and its relatives; the labels are random (then they can only
//! be learnt by heart) or those of a file. Frames come in turns:
//!
//! | frame | picture, row by row | classes |
//! |---|---|---|
//! | picture | 0…255 as −1…1 | missing |
//! | label | missing | 1 for the picture's class, −1 for the others |
//!
//! The option `shrink` shows smaller pictures, of the means of squares of pixels.
//!
//! So what an agent predicts after a picture is compared with the label. Metric: `accuracy`, for each picture 1 if the
//! largest element of the predicted classes (the first one of several) is the label's, else 0; a picture after which
//! nothing is predicted does not count. There are no actions, no reward and no episodes.
//!
//! What an agent predicts after a label is compared with the next picture, which nobody can know if the order is
//! shuffled. A trainer whose unrolls are two steps long, without a synthetic gradient, learns from the labels alone: a run
//! begins with a picture, so that the prediction of each next picture is compared beyond the end of an unroll.
//!
//! The order of the pictures and random labels follow from the experiment's seed. Saved and restored, the environment
//! goes on bit for bit as if it had never stopped, and with the seed that it had.

mod dataset;
mod idx;
mod options;
mod picture;
mod stream;
#[cfg(test)]
mod tests;

pub use options::{Options, Order, Source};

use dataset::Dataset;
use efference_sdk::serde::{Deserialize, Serialize};
use efference_sdk::{
    Environment, EnvironmentSetup, Frame, Frames, Outline, Picture, Plugin, Restores, Result, ResultExt,
    RewardRange, Spaces, StepType, ensure, metric, serde_json,
};
use std::time::Duration;
use stream::{Ordering, Place, Stream};

/// The environment: the pictures, and streams that go through them.
pub struct Labels {
    options: Options,
    dataset: Dataset,
    ordering: Ordering,
    streams: Vec<Stream>,
}

/// What [`Labels::save`] writes, as JSON.
#[derive(Serialize, Deserialize)]
#[serde(crate = "efference_sdk::serde", deny_unknown_fields)]
struct Saved {
    format: u32,
    options: Options,
    /// Tells files of other contents.
    checksum: u32,
    /// What order and random labels follow from.
    seed: u64,
    places: Vec<Place>,
}

/// Goes up when older saved bytes can no longer be read.
const FORMAT: u32 = 1;

impl Plugin for Labels {
    const NAME: &'static str = "labels";
    const DESCRIPTION: &'static str =
        "Pictures of a file in the format of MNIST, each followed by its label, or by a random one.";
    type Options = Options;
    type Kind = dyn Environment;

    /// What a file says is known only while it is there; that it is missing is found out when the environment is made.
    fn outline(options: &Options) -> Result<Outline> {
        options.check()?;
        let spaces = Dataset::observation_of(options).map(|observation| Spaces {
            observation,
            actions: Vec::new(),
            reward: RewardRange::default(),
        });
        Ok(Outline { streams: Some(options.streams), spaces })
    }

    /// Errors: a file that is missing, no IDX file, cut off, damaged, or holds fewer pictures than `count`.
    fn new(options: Options, setup: &EnvironmentSetup) -> Result<Self> {
        options.check()?;
        options.warn_of_unused();
        let dataset = Dataset::new(&options, setup.seed)?;
        let (order, streams) = (options.order, options.streams);
        let ordering = Ordering { order, seed: setup.seed, streams, count: dataset.count() };
        let observation = dataset.observation();
        let streams = (0..streams).map(|stream| Stream::new(&ordering, stream, observation)).collect();
        let mut labels = Labels { options, dataset, ordering, streams };
        labels.show_all();
        Ok(labels)
    }
}

impl Labels {
    /// Writes the observations of all streams.
    fn show_all(&mut self) {
        self.streams.iter_mut().for_each(|stream| show(&self.dataset, stream));
    }

    /// Moves a stream on, as [`Environment::act`] does; after a picture, if something was predicted: whether that was
    /// its label.
    fn respond(&mut self, stream: u64, prediction: &[f32], action: &[f32]) -> Result<Option<bool>> {
        let index = usize::try_from(stream).ok().filter(|s| *s < self.streams.len());
        let Some(index) = index else {
            let last = self.streams.len() - 1;
            efference_sdk::bail!(
                "there is no stream {stream} in this environment; its streams are 0 to {last}"
            );
        };
        let moved = &mut self.streams[index];
        ensure!(
            !moved.place.ready,
            "stream {stream} does not wait for a response: poll its next frame before acting again"
        );
        let wanted = self.dataset.observation();
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
        let asked = !moved.place.labelled && !prediction.is_empty();
        let label = self.dataset.label(moved.picture());
        let right = asked.then(|| largest(&prediction[self.dataset.picture()..]) == Some(label));
        moved.advance(&self.ordering, index);
        moved.place.ready = true;
        show(&self.dataset, moved);
        Ok(right)
    }
}

/// Writes the observation of a stream.
fn show(dataset: &Dataset, stream: &mut Stream) {
    let picture = stream.picture();
    match stream.place.labelled {
        true => dataset.show_label(picture, &mut stream.observation),
        false => dataset.show_picture(picture, &mut stream.observation),
    }
}

/// Which element is the largest: the first one of several; none if all are NaN.
fn largest(elements: &[f32]) -> Option<usize> {
    let values = elements.iter().enumerate().filter(|(_, value)| !value.is_nan());
    values.reduce(|best, next| if next.1 > best.1 { next } else { best }).map(|(index, _)| index)
}

impl Environment for Labels {
    /// Sends a frame of each stream that was responded to (at first: of each stream), and returns at once: nothing
    /// more can come before the next response.
    fn poll(&mut self, _timeout: Duration, frames: &mut dyn Frames) -> Result<()> {
        for (number, stream) in self.streams.iter_mut().enumerate() {
            if std::mem::take(&mut stream.place.ready) {
                frames.frame(Frame {
                    stream: number as u64,
                    observation: &stream.observation,
                    actions: &[],
                    reward: None,
                    step_type: StepType::MIDDLE,
                })?;
            }
        }
        Ok(())
    }

    /// Moves one stream on. Errors, which leave it where it is: a stream that does not exist or that does not wait
    /// for a response, wrong lengths.
    fn act(&mut self, stream: u64, prediction: &[f32], action: &[f32]) -> Result<()> {
        if let Some(right) = self.respond(stream, prediction, action)? {
            metric("accuracy", f64::from(u8::from(right)));
        }
        Ok(())
    }

    fn spaces(&self) -> Result<Option<Spaces>> {
        let observation = self.dataset.observation();
        Ok(Some(Spaces { observation, actions: Vec::new(), reward: RewardRange::default() }))
    }

    /// Draws an observation or a prediction of the same length, with the classes below the picture: black is −1, white
    /// is 1, a missing value is violet.
    fn picture(&self, _stream: u64, observation: &[f32]) -> Result<Option<Picture>> {
        picture::draw(&self.dataset, observation).map(Some)
    }

    fn restores(&self) -> Result<Restores> {
        Ok(Restores::Exact)
    }

    /// The places of all streams and the seed, as JSON; not the pictures, which are read from their file again. Also
    /// which streams wait for a response: whoever saves between a poll and the response to it must act, not poll, after
    /// restoring.
    fn save(&self) -> Result<Vec<u8>> {
        let saved = Saved {
            format: FORMAT,
            options: self.options.clone(),
            checksum: self.dataset.checksum(),
            seed: self.ordering.seed,
            places: self.streams.iter().map(|stream| stream.place).collect(),
        };
        Ok(serde_json::to_vec(&saved)?)
    }

    /// Errors, which leave the environment as it is: bytes of other options or pictures, or damaged ones.
    fn restore(&mut self, saved: &[u8]) -> Result<()> {
        let saved: Saved = serde_json::from_slice(saved)
            .context("these bytes are no saved state of `labels`, or are damaged")?;
        ensure!(
            saved.format == FORMAT,
            "this environment was saved in format {}, but this version of the plugin reads format {FORMAT}; resume with the version that saved it",
            saved.format
        );
        self.options.require_same(&saved.options)?;
        ensure!(
            saved.checksum == self.dataset.checksum(),
            "the environment was saved with other pictures or labels than those of {}; restore it with the files that it was saved with",
            self.options.images
        );
        let (now, were) = (self.streams.len(), saved.places.len());
        ensure!(were == now, "the saved environment is damaged: it has {were} streams, not {now}");
        let beyond = saved.places.iter().find(|place| place.position >= self.ordering.count);
        if let Some(Place { position, .. }) = beyond {
            efference_sdk::bail!(
                "the saved environment is damaged: a stream is at picture {position} of {}",
                self.ordering.count
            );
        }
        self.ordering.seed = saved.seed;
        self.dataset.reseed(saved.seed);
        for (number, (stream, place)) in self.streams.iter_mut().zip(saved.places).enumerate() {
            stream.go(&self.ordering, number, place);
        }
        self.show_all();
        Ok(())
    }
}

efference_sdk::export! { environment: Labels }

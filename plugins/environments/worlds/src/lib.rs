//! Environment plugin: small deterministic worlds, drawn as pictures.
//!
//! | world | observation | actions | reward | episode |
//! |---|---|---|---|---|
//! | `bounce` | `size²` elements, a picture row by row | none | absent | none: all frames are middle ones |
//! | `catch` | `size²` elements, a picture row by row | a choice of 3, or a value, see [`Control`] | ±1 when the dot lands | one fall |
//! | `cartpole` | position, its velocity, angle, its velocity | a choice of 2: left, right | 1 a step | until the pole falls (terminated) or time is up (truncated) |
//! | `memory` | time, query, context, and with `memory_answer` the answer | a choice of 2: the context was −1, or 1 | ±1 at the end | `memory_length + 1` frames |
//! | `deep_sea` | `size² + noise` elements, a picture row by row, then noise | a choice of 2 | 1 at the far end, small costs on the way | `size + 1` frames |
//! | `copy` | `2·bits + 3` elements, see [`WorldName::Copy`] | none | absent | one sequence |
//!
//! All observations lie in −1…1. Every stream is a world of its own, with its own random numbers from the
//! experiment's seed, and moves on only when it is responded to: a run sees the same frames whatever the timing. Saved
//! and restored, a world goes on bit for bit as if it had never stopped.

mod bounce;
mod cartpole;
mod catch;
mod copy;
mod deep_sea;
mod exact;
mod memory;
mod options;
mod picture;
mod random;
mod world;

pub use options::{Control, Options, WorldName};

use efference_sdk::serde::{Deserialize, Serialize};
use efference_sdk::{
    Environment, EnvironmentSetup, Frame, Frames, Outline, Picture, Plugin, Restores, Result, ResultExt,
    Spaces, ensure, serde_json,
};
use std::time::Duration;
use world::World;

/// The environment: one world, in as many streams as the options say.
pub struct Worlds {
    options: Options,
    world: Box<dyn World>,
    spaces: Spaces,
    /// Per stream: whether its frame waits to be polled. A stream whose frame was polled waits for its response.
    ready: Vec<bool>,
}

/// What [`Worlds::save`] writes, as JSON.
#[derive(Serialize, Deserialize)]
#[serde(crate = "efference_sdk::serde", deny_unknown_fields)]
struct Saved {
    format: u32,
    options: Options,
    ready: Vec<bool>,
    world: serde_json::Value,
}

/// Goes up when older saved bytes can no longer be read.
const FORMAT: u32 = 2;

impl Plugin for Worlds {
    const NAME: &'static str = "worlds";
    const DESCRIPTION: &'static str = "Small deterministic worlds: a ball in a box, catch, cartpole, a memory chain, a copying task, a deep \
         sea.";
    type Options = Options;
    type Kind = dyn Environment;

    /// Errors: options that contradict each other, such as a ball too large for its box.
    fn outline(options: &Options) -> Result<Outline> {
        let spaces = match options.world {
            WorldName::Bounce => bounce::spaces(options)?,
            WorldName::Catch => catch::spaces(options)?,
            WorldName::CartPole => cartpole::spaces(),
            WorldName::Memory => memory::spaces(options),
            WorldName::Copy => copy::spaces(options.bits),
            WorldName::DeepSea => deep_sea::spaces(options),
        };
        Ok(Outline { streams: Some(options.streams), spaces: Some(spaces) })
    }

    /// Errors: as of [`outline`](Self::outline), and too little memory.
    fn new(options: Options, setup: &EnvironmentSetup) -> Result<Self> {
        ensure!(options.streams > 0, "streams = 0, but a world needs one stream at least");
        options.warn_of_unused();
        let world: Box<dyn World> = match options.world {
            WorldName::Bounce => Box::new(bounce::Bounce::new(&options, setup.seed)?),
            WorldName::Catch => Box::new(catch::Catch::new(&options, setup.seed)?),
            WorldName::CartPole => Box::new(cartpole::CartPole::new(&options, setup.seed)?),
            WorldName::Memory => Box::new(memory::Memory::new(&options, setup.seed)?),
            WorldName::Copy => Box::new(copy::Copy::new(&options, setup.seed)?),
            WorldName::DeepSea => Box::new(deep_sea::DeepSea::new(&options, setup.seed)?),
        };
        Ok(Worlds { ready: vec![true; options.streams], spaces: world.spaces(), options, world })
    }
}

impl Environment for Worlds {
    /// Sends a frame of each stream that was responded to (at first: of each stream), and returns at once: nothing
    /// more can come before the next response.
    fn poll(&mut self, _timeout: Duration, frames: &mut dyn Frames) -> Result<()> {
        for (stream, ready) in self.ready.iter_mut().enumerate() {
            if std::mem::take(ready) {
                frames.frame(Frame {
                    stream: stream as u64,
                    observation: self.world.observation(stream),
                    actions: &self.spaces.actions,
                    reward: self.world.reward(stream),
                    step_type: self.world.step_type(stream),
                })?;
            }
        }
        Ok(())
    }

    /// Moves one stream on. Errors, which leave it where it is: a stream that does not exist or that does not wait
    /// for a response, wrong lengths, an action that is not a number.
    fn act(&mut self, stream: u64, prediction: &[f32], action: &[f32]) -> Result<()> {
        let index = usize::try_from(stream).ok().filter(|s| *s < self.ready.len());
        let Some(index) = index else {
            let last = self.ready.len() - 1;
            efference_sdk::bail!("there is no stream {stream} in this world; its streams are 0 to {last}");
        };
        ensure!(
            !self.ready[index],
            "stream {stream} does not wait for a response: poll its next frame before acting again"
        );
        ensure!(
            prediction.is_empty() || prediction.len() == self.spaces.observation,
            "the prediction for stream {stream} has {} elements, but its observation has {}",
            prediction.len(),
            self.spaces.observation
        );
        ensure!(
            action.len() == self.spaces.action_width(),
            "the action for stream {stream} has {} elements, but its frame asked for {}",
            action.len(),
            self.spaces.action_width()
        );
        if let Some(nan) = action.iter().position(|a| a.is_nan()) {
            efference_sdk::bail!(
                "element {nan} of the action for stream {stream} is not a number (NaN): the agent has diverged"
            );
        }
        self.world.step(index, prediction, action);
        self.ready[index] = true;
        Ok(())
    }

    fn spaces(&self) -> Result<Option<Spaces>> {
        Ok(Some(self.spaces.clone()))
    }

    /// Draws an observation or a prediction of the same length: black is −1, white is 1, a missing value is violet.
    fn picture(&self, _stream: u64, observation: &[f32]) -> Result<Option<Picture>> {
        self.world.picture(observation).map(Some)
    }

    fn restores(&self) -> Result<Restores> {
        Ok(Restores::Exact)
    }

    /// All that is needed to go on bit for bit, as JSON. Also which streams wait for a response: whoever saves
    /// between a poll and the response to it must act, not poll, after restoring.
    fn save(&self) -> Result<Vec<u8>> {
        let saved = Saved {
            format: FORMAT,
            options: self.options.clone(),
            ready: self.ready.clone(),
            world: self.world.save()?,
        };
        Ok(serde_json::to_vec(&saved)?)
    }

    /// Errors, which leave the world as it is: bytes of another world, of other options, or damaged ones.
    fn restore(&mut self, saved: &[u8]) -> Result<()> {
        let saved: Saved =
            serde_json::from_slice(saved).context("these bytes are no saved world, or are damaged")?;
        ensure!(
            saved.format == FORMAT,
            "this world was saved in format {}, but this version of the plugin reads format {FORMAT}; resume with the version that saved it",
            saved.format
        );
        self.options.require_same(&saved.options)?;
        ensure!(
            saved.ready.len() == self.ready.len(),
            "the saved world is damaged: it says of {} streams whether they wait, but has {}",
            saved.ready.len(),
            self.ready.len()
        );
        self.world.restore(saved.world).context("the saved world is damaged")?;
        self.ready = saved.ready;
        Ok(())
    }
}

efference_sdk::export! { environment: Worlds }

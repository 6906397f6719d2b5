//! Environments: where observations come from and actions go.
use crate::bridge::interface;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use efference_abi::{ActionGroup, Restores, Role, StepType};

/// What an environment is made from.
#[derive(Debug, Clone)]
pub struct EnvironmentSetup {
    /// A seed for its random numbers, from the experiment's seed and the environment's name.
    pub seed: u64,
    /// The run's directory, where the environment may keep files in a folder of its own name.
    pub run_directory: Option<PathBuf>,
}

impl EnvironmentSetup {
    /// A setup without a run, for tests.
    pub fn with_seed(seed: u64) -> Self {
        EnvironmentSetup { seed, run_directory: None }
    }

    /// A folder of the environment's own in the run's directory, if there is one.
    pub fn folder(&self, name: &str) -> Option<PathBuf> {
        self.run_directory.as_deref().map(|d: &Path| d.join(name))
    }
}

/// What one stream observed at one moment.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// The stream.
    pub stream: u64,
    /// Values in −1…1; NaN: missing.
    pub observation: &'a [f32],
    /// What actions the stream wants in response.
    pub actions: &'a [ActionGroup],
    /// What is to be maximised; `None`: absent.
    pub reward: Option<f32>,
    /// Where it stands in an episode; [`StepType::MIDDLE`] in a stream without episodes.
    ///
    /// As in dm_env and Gymnasium, a last frame carries the episode's real last observation; the action that responds
    /// to it is ignored; the stream's next frame is a first one.
    pub step_type: StepType,
}

/// The range of an environment's reward.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RewardRange {
    /// The smallest.
    pub min: f32,
    /// The largest.
    pub max: f32,
}

impl Default for RewardRange {
    /// −1…1
    fn default() -> Self {
        RewardRange { min: -1.0, max: 1.0 }
    }
}

/// What all streams of an environment observe and want.
#[derive(Debug, Clone, PartialEq)]
pub struct Spaces {
    /// Elements of an observation.
    pub observation: usize,
    /// What actions are wanted in response to each frame.
    pub actions: Vec<ActionGroup>,
    /// What the reward may be.
    pub reward: RewardRange,
}

impl Spaces {
    /// Elements of a vector of actions: one for a value, as many as there are choices for a choice.
    pub fn action_width(&self) -> usize {
        action_width(&self.actions)
    }
}

/// How predictions of an environment's observations are compared with what came. By default all elements are observed and
/// predicted, and the baselines are the last value and the mean.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Comparison {
    /// What each element of an observation is for; empty: all are observed and predicted. Frames have all elements: the
    /// host shows the agent a missing value in place of those that are only predicted, and compares predictions of those
    /// that are only seen with nothing.
    pub roles: Vec<Role>,
    /// Whether linear extrapolation, `2 · last − the one before`, is a baseline.
    pub linear: bool,
    /// Frames after which the same comes again, about: then the observation of so many frames ago is a baseline.
    pub period: Option<usize>,
}

impl Comparison {
    /// The elements that have a role, in order.
    pub fn elements(&self, role: Role) -> impl Iterator<Item = usize> {
        self.roles.iter().enumerate().filter(move |(_, r)| **r == role).map(|(element, _)| element)
    }
}

/// What the options of a plugin say of it before it is made: nothing, but of an environment that knows.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Outline {
    /// How many streams it has at once.
    pub streams: Option<usize>,
    /// What its streams observe and want.
    pub spaces: Option<Spaces>,
}

/// Elements of a vector of actions for these groups.
pub fn action_width(groups: &[ActionGroup]) -> usize {
    groups.iter().fold(0, |sum, group| sum.saturating_add(group.width()))
}

interface! {
    /// Receives what [`Environment::poll`] has to send.
    pub trait Frames in frames as efference_abi::FramesVTable {
        /// A stream begins. [`frame`](Frames::frame) does the same for a stream that is not known yet.
        exclusive fn begin(stream: u64) -> ();
        /// A frame; at most one a stream in one poll.
        exclusive fn frame(frame: Frame<'_>) -> ();
        /// A stream has ended; its number may come back as a new one.
        exclusive fn end(stream: u64) -> ();
        /// The environment is over: no frame will come any more.
        exclusive fn close() -> ();
    }
}

/// A picture: red, green and blue of each pixel, row by row from the top left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// Pixels in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// `3 · width · height` bytes.
    pub rgb: Vec<u8>,
}

interface! {
    /// An environment. What it has started ends when it is dropped.
    pub trait Environment: Send in environment as efference_abi::EnvironmentVTable {
        /// Sends what has come, waiting for it at most about `timeout`.
        exclusive fn poll(timeout: Duration, frames: &mut dyn Frames) -> ();
        /// Responds to the last frame of a stream: what the agent predicts of the next one (as long as that frame's
        /// observation; empty from a goal that predicts nothing) and its actions, laid out as that frame's groups: 1
        /// for what was chosen of a choice and 0 for the rest of it, −1…1 for a value.
        exclusive fn act(stream: u64, prediction: &[f32], action: &[f32]) -> ();
        /// What all streams observe and want, if it is known beforehand. Asked for before the agent is made, which may
        /// then be made to measure.
        shared fn spaces() -> Option<Spaces> = Ok(None);
        /// Draws an observation of a stream, or a prediction of one; `None` if it has no picture. Values outside −1…1
        /// and missing ones are drawn as well.
        shared fn picture(stream: u64, observation: &[f32]) -> Option<Picture> = Ok(None);
        /// What is lost when it is saved and restored.
        shared fn restores() -> Restores = Ok(Restores::Fresh);
        /// What [`restore`](Environment::restore) needs.
        shared fn save() -> Vec<u8> = Ok(Vec::new()), context "saving";
        /// Takes up what [`save`](Environment::save) returned.
        exclusive fn restore(saved: &[u8]) -> () = Ok(()), context "restoring";
        /// How its predictions are compared with what came. Asked for once, before the agent is made. Roles need
        /// [`spaces`](Environment::spaces).
        shared fn comparison() -> Comparison = Ok(Comparison::default());
    }
}

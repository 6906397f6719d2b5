//! Environments: where observations come from and actions go.
use crate::{Error, List, Object, Slice, Status, Str};
use core::ffi::c_void;

/// What an environment is made from.
#[repr(C)]
pub struct EnvironmentSetup {
    /// Size of this struct, in bytes.
    pub size: usize,
    /// A seed for its random numbers, from the experiment's seed and the environment's name.
    pub seed: u64,
    /// The run's directory, where the environment may keep files in a folder of its own name; empty: none.
    pub run_directory: Str,
}

/// One decision that an agent makes at a time: a choice among `choices`, or, if that is 0, a value in −1…1.
///
/// In a vector of actions a choice takes `choices` elements (1 for what was chosen, 0 for the others), a value one.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ActionGroup {
    /// How many there are to choose from, at least 2; 0: a value.
    pub choices: u32,
}

impl ActionGroup {
    /// A value in −1…1.
    pub const VALUE: ActionGroup = ActionGroup { choices: 0 };

    /// A choice among `choices`.
    pub const fn choice(choices: u32) -> ActionGroup {
        ActionGroup { choices }
    }

    /// Elements that it takes in a vector of actions.
    pub const fn width(self) -> usize {
        if self.choices == 0 { 1 } else { self.choices as usize }
    }
}

/// Where a frame stands in an episode.
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StepType(pub u32);

impl StepType {
    /// Within an episode, or in a stream without episodes.
    pub const MIDDLE: StepType = StepType(0);
    /// The first frame of an episode.
    pub const FIRST: StepType = StepType(1);
    /// The last frame of an episode, whose future is worth nothing: it has come to its own end.
    pub const TERMINATED: StepType = StepType(2);
    /// The last frame of an episode that was cut off, as by a time limit: its future is worth what it would be.
    pub const TRUNCATED: StepType = StepType(3);

    /// Whether an episode begins with it.
    pub const fn is_first(self) -> bool {
        self.0 == Self::FIRST.0
    }

    /// Whether an episode ends with it, in either way.
    pub const fn is_last(self) -> bool {
        self.0 == Self::TERMINATED.0 || self.0 == Self::TRUNCATED.0
    }
}

/// What one stream observed at one moment.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Frame {
    /// Size of this struct, in bytes.
    pub size: usize,
    /// The stream.
    pub stream: u64,
    /// Values in −1…1; NaN: missing.
    pub observation: Slice<f32>,
    /// What actions the stream wants in response.
    pub actions: Slice<ActionGroup>,
    /// What is to be maximised; NaN: absent.
    pub reward: f32,
    /// Where it stands in an episode. A last frame carries the episode's real last observation; the action that
    /// responds to it is ignored; the stream's next frame is a first one.
    pub step_type: StepType,
}

/// Functions of what receives frames.
#[repr(C)]
pub struct FramesVTable {
    /// Size of the maker's table, in bytes.
    pub size: usize,
    /// Frees an object that was returned.
    pub destroy: unsafe extern "C" fn(this_: *mut c_void),
    /// A stream begins; `frame` does the same for a stream that is not known yet.
    pub begin:
        unsafe extern "C" fn(this_: *mut c_void, stream: u64, out: *mut c_void, err: *mut Error) -> Status,
    /// A frame. At most one a stream in one `poll`.
    pub frame: unsafe extern "C" fn(
        this_: *mut c_void,
        frame: *const Frame,
        out: *mut c_void,
        err: *mut Error,
    ) -> Status,
    /// A stream has ended; its number may come back as a new one.
    pub end:
        unsafe extern "C" fn(this_: *mut c_void, stream: u64, out: *mut c_void, err: *mut Error) -> Status,
    /// The environment is over: no frame will come any more.
    pub close: unsafe extern "C" fn(this_: *mut c_void, out: *mut c_void, err: *mut Error) -> Status,
}

/// What all streams of an environment observe and want, if it is known beforehand.
#[repr(C)]
pub struct Spaces {
    /// Size of this struct, in bytes.
    pub size: usize,
    /// Whether it is known: if not, nothing else here is to be read.
    pub known: bool,
    /// Elements of an observation.
    pub observation: usize,
    /// What actions are wanted in response to each frame.
    pub actions: List<ActionGroup>,
    /// The smallest reward.
    pub reward_min: f32,
    /// The largest reward.
    pub reward_max: f32,
}

/// What an element of an observation is for.
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Role(pub u8);

impl Role {
    /// The agent observes it, and predicts it.
    pub const BOTH: Role = Role(0);
    /// The agent observes it; what it predicts of it is compared with nothing.
    pub const SEEN: Role = Role(1);
    /// The agent predicts it and never observes it.
    pub const PREDICTED: Role = Role(2);
}

/// How predictions of an environment's observations are compared with what came.
#[repr(C)]
pub struct Comparison {
    /// Size of this struct, in bytes.
    pub size: usize,
    /// What each element of an observation is for; empty: all are observed and predicted.
    pub roles: List<Role>,
    /// Whether linear extrapolation is a baseline.
    pub linear: bool,
    /// Frames after which the same comes again, about, which makes the observation of so many frames ago a baseline; 0:
    /// there is no such number.
    pub period: u64,
}

/// What the options of an environment say of it before it is made.
#[repr(C)]
pub struct Outline {
    /// Size of this struct, in bytes.
    pub size: usize,
    /// How many streams it has at once; 0: not known.
    pub streams: u64,
    /// What its streams observe and want.
    pub spaces: Spaces,
}

/// A picture: red, green and blue of each pixel, row by row from the top left; no pixels: no picture.
#[repr(C)]
pub struct Picture {
    /// Pixels in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// `3 · width · height` bytes.
    pub rgb: List<u8>,
}

/// What is lost when an environment is saved and restored.
#[repr(u32)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Restores {
    /// It begins anew.
    Fresh = 0,
    /// It comes back by playing the same actions again.
    Replay = 1,
    /// Nothing is lost.
    Exact = 2,
}

/// Functions of an environment.
#[repr(C)]
pub struct EnvironmentVTable {
    /// Size of the maker's table, in bytes.
    pub size: usize,
    /// Closes the environment, with all that it has started.
    pub destroy: unsafe extern "C" fn(this_: *mut c_void),
    /// Sends what has come, waiting for it at most `timeout` nanoseconds.
    pub poll: unsafe extern "C" fn(
        this_: *mut c_void,
        timeout: u64,
        frames: Object<FramesVTable>,
        out: *mut c_void,
        err: *mut Error,
    ) -> Status,
    /// Responds to the last frame of a stream: what the agent predicts of the next observation, and its actions, laid
    /// out as the frame's groups.
    pub act: unsafe extern "C" fn(
        this_: *mut c_void,
        stream: u64,
        prediction: Slice<f32>,
        action: Slice<f32>,
        out: *mut c_void,
        err: *mut Error,
    ) -> Status,
    /// What all streams observe and want. Asked for before the agent is made.
    pub spaces: Option<unsafe extern "C" fn(this_: *mut c_void, out: *mut Spaces, err: *mut Error) -> Status>,
    /// Draws an observation of a stream, or a prediction of one.
    pub picture: Option<
        unsafe extern "C" fn(
            this_: *mut c_void,
            stream: u64,
            observation: Slice<f32>,
            out: *mut Picture,
            err: *mut Error,
        ) -> Status,
    >,
    /// A [`Restores`].
    pub restores: Option<unsafe extern "C" fn(this_: *mut c_void, out: *mut u32, err: *mut Error) -> Status>,
    /// What `restore` needs.
    pub save: Option<unsafe extern "C" fn(this_: *mut c_void, out: *mut List<u8>, err: *mut Error) -> Status>,
    /// Takes up what `save` returned.
    pub restore: Option<
        unsafe extern "C" fn(
            this_: *mut c_void,
            saved: Slice<u8>,
            out: *mut c_void,
            err: *mut Error,
        ) -> Status,
    >,
    /// How its predictions are compared. Asked for once, before the agent is made.
    pub comparison:
        Option<unsafe extern "C" fn(this_: *mut c_void, out: *mut Comparison, err: *mut Error) -> Status>,
}

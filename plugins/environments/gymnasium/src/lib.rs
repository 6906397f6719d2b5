//! Environment plugin: any Gymnasium environment, in a Python of the user's.
//!
//! ```toml
//! [environment]
//! plugin = "gymnasium"
//! id = "CartPole-v1"
//! python = "venv/bin/python"      # the Python that has Gymnasium; "python3" where this is left out
//! ```
//!
//! One Python makes as many environments as there are `streams`, and steps them one after another, all at once from the
//! agent's point of view. What they need is installed there: `python3 -m venv venv && venv/bin/python -m pip install gymnasium`.
//! Ids of these packages need no `import`: Gymnasium's own, ALE (`ALE/Pong-v5`), POPGym (`popgym-RepeatPreviousEasy-v0`),
//! MinAtar (`MinAtar/Breakout-v1`) and MiniGrid (`MiniGrid-Empty-5x5-v0`).
//!
//! # What is observed
//!
//! An observation is all parts of the observation space, one behind the other, in the order of the space:
//!
//! | space | elements |
//! |---|---|
//! | `Box` with bounds | each element from its bounds to −1…1, linearly |
//! | `Box` without bounds | (x − mean) / (4 · deviation), limited to −1…1, with the running mean and deviation of the element; see `scaling` |
//! | `Discrete(n)` | n elements: 1 for the value that it is, 0 for the others |
//! | `MultiDiscrete` | the same of each, one behind the other |
//! | `MultiBinary` | −1 or 1 of each |
//! | `Tuple`, `Dict` | those of its entries |
//!
//! Bounds that are more than 1e6 apart count as none. NaN is a missing value; an infinite number is an error. Mean and
//! deviation are of all that came until then, in all streams. An evaluation has environments of its own, whose statistics
//! begin anew: for that, `scaling = "squash"` depends on nothing but the element.
//! Spaces of other kinds (`Text`, `Graph`, `Sequence`) have no fixed number of elements: `without` leaves entries out,
//! and `wrappers` may change them.
//!
//! A picture is a `Box` of bytes of the shape height × width, or height × width × 1 or 3. `width` and `height` scale it (each
//! new pixel is the mean of the area that it covers), and `grey` makes three channels one (ITU-R BT.601). The first
//! `Box` that looks like a picture is drawn; with `render = true` it is what the environment renders instead.
//!
//! # What is done
//!
//! `Discrete(n)` is a choice among n, `MultiDiscrete` one of each, `MultiBinary` a choice among 2 of each; each element of
//! a `Box` is a value in −1…1, spread linearly over its bounds, and rounded where the box is of integers. A `Box` without
//! bounds needs `action_bound`. What has one value only is not decided.
//!
//! # Episodes
//!
//! The last frame of an episode is terminated or truncated as the environment says, and has the episode's real last
//! observation; the response to it is ignored, and the stream's next frame is the first of the next episode: the plugin
//! resets the environment itself. A first frame has no reward. Rewards are as the environment gives them, unless `reward` says
//! otherwise; their range is not declared.
//!
//! Each stream's first reset gets a seed from the experiment's and the stream's number, later ones none, as Gymnasium
//! advises. The generators of Python's `random` and of NumPy are seeded as well, and the order of Python's sets is the
//! same in each run. So the same spec sees the same frames as far as the environment takes all its chance from there.
//!
//! # Saving
//!
//! At the start, one environment is pickled in the middle of episodes, and it and its copies must go on alike for some
//! dozens of steps, bit for bit: then a run can be resumed exactly. (Of environments which pickle their arguments alone, such as
//! MuJoCo's, all is pickled nevertheless.) Otherwise it begins anew, and the log says why: so ALE and Box2D, whose
//! emulator and whose world cannot be pickled. A checkpoint with pickles is a program: resume only what you trust.
//!
//! # Trouble
//!
//! `efference check` starts nothing, and so knows of the options alone; everything else is refused before the first step:
//! a missing package with the command that installs it, an id that does not exist with the nearest ones, a space that cannot
//! be mapped, a state that is too small for it. What the environments print goes to the run's log. A Python that ends, is
//! silent for longer than `silence_timeout`, or sends what does not fit its spaces ends the run, and the error shows what
//! it printed last. It is in a process group of its own, and ends with the run, also where that is killed (SIGKILL).
//!
//! # Speed
//!
//! Observations, rewards and actions go through memory that both processes share, and both look into it for up to 0.1 ms
//! before they sleep, so that a step of a quick environment costs no call of the system.
//! `examples/steps_per_second.rs` compares with a plain loop in Python.

mod action;
mod help;
mod leaf;
mod link;
mod memory;
mod observation;
mod options;
mod resize;
mod saving;
mod session;
mod statistics;

pub use options::{Options, Reward, Scaling};

use action::Actor;
use efference_sdk::{
    ActionGroup, Environment, EnvironmentSetup, Frame, Frames, Outline, Picture, Plugin, Restores, Result,
    RewardRange, Spaces, bail, ensure, serde_json, tracing,
};
use observation::Observer;
use saving::Saved;
use session::{Made, Session};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Environments in a Python.
pub struct Gymnasium {
    options: Options,
    actor: Actor,
    spaces: Spaces,
    action_width: usize,
    why_not_exact: Option<String>,
    /// Of Python, Gymnasium and NumPy.
    versions: Vec<String>,
    inner: Mutex<Inner>,
}

/// What is said to the child, and where in the conversation it stands.
struct Inner {
    session: Session,
    observer: Observer,
    phase: Phase,
    /// Of each stream, whether its last frame waits for a response.
    open: Vec<bool>,
    /// How many of them do.
    waiting: usize,
    /// What each stream observed last, where that is rendered.
    observed: Vec<Vec<f32>>,
    observation: Vec<f32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// All streams were responded to, or none has begun; the next step is not asked for yet.
    Responded,
    /// A step was asked for, and its frames were not sent.
    Asked,
    /// The frames were sent, and wait for responses.
    Sent,
}

impl Plugin for Gymnasium {
    const NAME: &'static str = "gymnasium";
    const DESCRIPTION: &'static str = "Any Gymnasium environment, in a Python of the user's.";
    type Options = Options;
    type Kind = dyn Environment;

    /// What it observes and wants is not known before Python runs.
    fn outline(options: &Options) -> Result<Outline> {
        options.check()?;
        Ok(Outline { streams: Some(options.streams), spaces: None })
    }

    /// Starts Python and makes the environments.
    fn new(options: Options, setup: &EnvironmentSetup) -> Result<Self> {
        options.check()?;
        let Made { session, observer, actor, why_not_exact, versions } =
            Session::start(&options, setup.seed)?;
        tracing::info!("Python, Gymnasium and NumPy: {}", versions.join(", "));
        if let Some(why) = &why_not_exact {
            tracing::info!("{} cannot be saved, and would begin anew: {why}", options.id);
        }
        let reward = match options.reward {
            Reward::Raw => RewardRange { min: f32::MIN, max: f32::MAX },
            Reward::Clip | Reward::Sign => RewardRange::default(),
        };
        let spaces = Spaces { observation: observer.elements(), actions: actor.groups().to_vec(), reward };
        let inner = Inner {
            session,
            observer,
            phase: Phase::Responded,
            open: vec![false; options.streams],
            waiting: 0,
            observed: vec![Vec::new(); if options.render { options.streams } else { 0 }],
            observation: Vec::new(),
        };
        let action_width = spaces.action_width();
        Ok(Gymnasium {
            options,
            actor,
            spaces,
            action_width,
            why_not_exact,
            versions,
            inner: Mutex::new(inner),
        })
    }
}

impl Gymnasium {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Sends the frame of each stream.
    fn deliver(&mut self, options: &Options, actions: &[ActionGroup], frames: &mut dyn Frames) -> Result<()> {
        self.phase = Phase::Sent;
        for stream in 0..options.streams {
            let (step_type, reward) = self.session.frame(stream)?;
            let places = &self.session.layout.streams[stream].observation;
            self.observation.clear();
            self.observer.read(&self.session.memory, places, &mut self.observation)?;
            if let Some(observed) = self.observed.get_mut(stream) {
                observed.clone_from(&self.observation);
            }
            self.open[stream] = true;
            self.waiting += 1;
            frames.frame(Frame {
                stream: stream as u64,
                observation: &self.observation,
                actions,
                reward: reward.map(|reward| options.reward.of(reward)),
                step_type,
            })?;
        }
        Ok(())
    }
}

impl Environment for Gymnasium {
    /// Sends the frames of all streams, once the step is done that the last response has asked for.
    fn poll(&mut self, timeout: Duration, frames: &mut dyn Frames) -> Result<()> {
        let inner = self.inner.get_mut().unwrap_or_else(PoisonError::into_inner);
        inner.session.link.log();
        if inner.phase == Phase::Responded {
            inner.session.ask()?;
            inner.phase = Phase::Asked;
        }
        if inner.phase == Phase::Asked && inner.session.wait(Instant::now() + timeout)? {
            inner.deliver(&self.options, &self.spaces.actions, frames)?;
        }
        Ok(())
    }

    /// Takes the response to a stream's frame; the last one lets all streams go on.
    fn act(&mut self, stream: u64, _prediction: &[f32], action: &[f32]) -> Result<()> {
        let inner = self.inner.get_mut().unwrap_or_else(PoisonError::into_inner);
        let index = usize::try_from(stream).ok().filter(|index| inner.open.get(*index) == Some(&true));
        let Some(index) = index else { bail!("stream {stream} does not wait for a response") };
        ensure!(
            action.len() == self.action_width,
            "the action for stream {stream} has {} elements, but its frame asked for {}",
            action.len(),
            self.action_width
        );
        if let Some(nan) = action.iter().position(|a| a.is_nan()) {
            bail!(
                "element {nan} of the action for stream {stream} is not a number (NaN): the agent has diverged"
            );
        }
        self.actor.write(action, &inner.session.memory, &inner.session.layout.streams[index].action);
        inner.open[index] = false;
        inner.waiting -= 1;
        if inner.waiting == 0 {
            inner.phase = Phase::Responded;
            // Where it may be asked to render what was observed, it must not go on before.
            if !self.options.render {
                inner.session.ask()?;
                inner.phase = Phase::Asked;
            }
        }
        Ok(())
    }

    fn spaces(&self) -> Result<Option<Spaces>> {
        Ok(Some(self.spaces.clone()))
    }

    /// What is rendered for the last observation of a stream, if that is asked for; else the picture in an observation or a
    /// prediction, if there is one.
    fn picture(&self, stream: u64, observation: &[f32]) -> Result<Option<Picture>> {
        let mut inner = self.inner();
        let observed = usize::try_from(stream).ok().and_then(|stream| inner.observed.get(stream));
        let same = |(a, b): (&f32, &f32)| a.to_bits() == b.to_bits();
        let is_observed = observed.is_some_and(|observed| {
            observed.len() == observation.len() && observed.iter().zip(observation).all(same)
        });
        if !is_observed || inner.phase == Phase::Asked {
            return Ok(inner.observer.picture(observation));
        }
        let (answer, rgb) = inner.session.request(&serde_json::json!({ "render": stream }), &[])?;
        let [height, width] = answer.rendered;
        let bytes = width.checked_mul(height).and_then(|pixels| pixels.checked_mul(3));
        ensure!(bytes == Some(rgb.len()), "{} bytes were rendered for {width} × {height} pixels", rgb.len());
        Ok((!rgb.is_empty()).then_some(Picture { width, height, rgb }))
    }

    fn restores(&self) -> Result<Restores> {
        Ok(if self.why_not_exact.is_none() { Restores::Exact } else { Restores::Fresh })
    }

    /// The environments, pickled, what they have sent last, and the statistics; nothing where they can't be pickled.
    fn save(&self) -> Result<Vec<u8>> {
        if self.why_not_exact.is_some() {
            return Ok(Vec::new());
        }
        let mut inner = self.inner();
        ensure!(inner.phase != Phase::Sent, "it can be saved only when each frame was responded to");
        while inner.phase == Phase::Asked
            && !inner.session.wait(Instant::now() + Duration::from_millis(100))?
        {}
        let (answer, environments) = inner.session.request(&serde_json::json!({ "save": true }), &[])?;
        let mut statistics = Vec::new();
        inner.observer.statistics().save(&mut statistics);
        Saved {
            id: self.options.id.clone(),
            versions: self.versions.clone(),
            asked: inner.phase == Phase::Asked,
            content: inner.session.content(),
            statistics,
            lengths: answer.saved,
            environments,
        }
        .write()
    }

    /// Errors: bytes of other environments, of other versions of the packages, or damaged ones.
    fn restore(&mut self, saved: &[u8]) -> Result<()> {
        if self.why_not_exact.is_some() {
            return Ok(());
        }
        let saved = Saved::read(saved)?;
        saved.check(&self.options, &self.versions)?;
        let inner = self.inner.get_mut().unwrap_or_else(PoisonError::into_inner);
        while inner.phase == Phase::Asked
            && !inner.session.wait(Instant::now() + Duration::from_millis(100))?
        {}
        ensure!(
            saved.content.len() == inner.session.content().len(),
            "the environments that were saved have other spaces"
        );
        let statistics = inner.observer.statistics().restore(&saved.statistics)?;
        let message = serde_json::json!({ "restore": saved.lengths });
        let (answer, _) = inner.session.request(&message, &saved.environments)?;
        ensure!(answer.restored, "Python has not taken up the environments that were saved");
        inner.session.set_content(&saved.content);
        *inner.observer.statistics() = statistics;
        inner.phase = if saved.asked { Phase::Asked } else { Phase::Responded };
        inner.open.fill(false);
        inner.waiting = 0;
        Ok(())
    }
}

efference_sdk::export! { environment: Gymnasium }

//! One experiment: environment, agent and trainer, step by step.
use super::frames::Inbox;
use crate::agent::Model;
use crate::plugins::is_finite;
use efference_runs::Baselines;
use efference_sdk::tch::{Device, Tensor};
use efference_sdk::{AnyEnvironment, AnyTrainer, Batch, Error, Picture, Result, ResultExt};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// How long an environment may keep a poll waiting before the host looks whether it should stop.
const POLL: Duration = Duration::from_millis(100);

/// Where the time of steps went.
#[derive(Debug, Default, Clone, Copy)]
pub struct Times {
    /// Waiting for the environment, and handing it predictions and actions.
    pub environment: Duration,
    /// The trainer's step, with everything that it calls.
    pub trainer: Duration,
    /// Comparing predictions with what came.
    pub comparing: Duration,
}

/// What one step was like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Stepped {
    /// A step was made.
    Step,
    /// The environment is over.
    Closed,
    /// It was told to stop.
    Stopped,
}

/// Numbers of one frame of one stream, for metrics.
#[derive(Debug, Clone, Copy, Default)]
pub struct FrameFigures {
    /// What the environment said is to be maximised.
    pub score: Option<f64>,
    /// Of the last prediction and of those of fools.
    pub errors: Option<efference_runs::Errors>,
}

/// The plugins that are blamed for what is found out behind their calls, as messages call them.
#[derive(Debug, Clone)]
pub struct Blamed {
    /// The environment.
    pub environment: String,
    /// The trainer.
    pub trainer: String,
    /// The goal.
    pub goal: String,
}

impl Default for Blamed {
    fn default() -> Self {
        let name = |kind: &str| format!("the {kind}");
        Blamed { environment: name("environment"), trainer: name("trainer"), goal: name("goal") }
    }
}

/// A running experiment.
pub struct Experiment {
    environment: Box<dyn AnyEnvironment>,
    model: Model,
    trainer: Box<dyn AnyTrainer>,
    blamed: Blamed,
    inbox: Inbox,
    step: u64,
    baselines: Option<Baselines>,
    /// What was predicted of each stream's next observation, and what it was predicted from last.
    predictions: HashMap<u64, Vec<f32>>,
    compared: HashMap<u64, Vec<f32>>,
    figures: Vec<FrameFigures>,
    rows: Vec<f32>,
    numbers: Vec<f32>,
    /// Where time went since it was last set to zero.
    pub times: Times,
}

impl Experiment {
    /// Puts an experiment together. Without `compare` predictions are not compared with what came.
    pub fn new(
        environment: Box<dyn AnyEnvironment>,
        model: Model,
        trainer: Box<dyn AnyTrainer>,
        compare: bool,
    ) -> Self {
        Experiment {
            environment,
            model,
            trainer,
            blamed: Blamed::default(),
            inbox: Inbox::default(),
            step: 0,
            baselines: compare.then(Baselines::default),
            predictions: HashMap::new(),
            compared: HashMap::new(),
            figures: Vec::new(),
            rows: Vec::new(),
            numbers: Vec::new(),
            times: Times::default(),
        }
    }

    /// Says how messages call the plugins.
    pub fn blaming(self, blamed: Blamed) -> Self {
        Experiment { blamed, ..self }
    }

    /// How many steps were made.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// The agent.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The trainer.
    pub fn trainer(&self) -> &dyn AnyTrainer {
        &*self.trainer
    }

    /// The environment.
    pub fn environment(&self) -> &dyn AnyEnvironment {
        &*self.environment
    }

    /// What the last step was like, one a live stream.
    pub fn figures(&self) -> &[FrameFigures] {
        &self.figures
    }

    /// How many streams observed something in the last step.
    pub fn live_streams(&self) -> usize {
        self.figures.len()
    }

    /// Makes one step; `stop` is asked while the environment keeps it waiting.
    pub fn advance(&mut self, stop: &dyn Fn() -> bool) -> Result<Stepped> {
        let began = Instant::now();
        self.inbox.clear();
        loop {
            self.environment.poll(POLL, &mut self.inbox)?;
            if !self.inbox.live.is_empty() {
                break;
            }
            if self.inbox.closed {
                return Ok(Stepped::Closed);
            }
            if stop() {
                return Ok(Stepped::Stopped);
            }
        }
        let (size, reserved) = (self.model.state_size(), self.model.reserved());
        self.inbox.check(size, reserved).context(&self.blamed.environment)?;
        let polled = Instant::now();
        self.compare();
        let compared = Instant::now();

        let width = self.inbox.rows(reserved, &mut self.rows) as i64;
        let observation = Tensor::f_from_slice(&self.rows)?
            .f_view([self.inbox.live.len() as i64, width])?
            .f_to_device(self.model.device())?;
        self.model.set_step(self.step);
        let live = self.inbox.streams();
        let batch = Batch {
            live: &live,
            observation: &observation,
            episode_ends: &self.inbox.episode_ends,
            started: &self.inbox.started,
            ended: &self.inbox.ended,
        };
        let states = self.trainer.step(&self.model, &batch)?.f_detach()?;
        if states.size()[1] != size {
            let message = format!("returned states of {} numbers; a state has {size}", states.size()[1]);
            return Err(Error::msg(message).context(&self.blamed.trainer));
        }
        let trained = Instant::now();
        self.answer(&states, width - reserved)?;
        self.step += 1;

        self.times.environment += polled - began + trained.elapsed();
        self.times.comparing += compared - polled;
        self.times.trainer += trained - compared;
        Ok(Stepped::Step)
    }

    fn compare(&mut self) {
        self.figures.clear();
        if let Some(baselines) = &mut self.baselines {
            for stream in &self.inbox.ended {
                baselines.end(*stream);
                self.predictions.remove(stream);
                self.compared.remove(stream);
            }
        }
        for live in &self.inbox.live {
            let errors = self.baselines.as_mut().and_then(|b| {
                let prediction = self.predictions.get(&live.stream).map(Vec::as_slice);
                b.observe(live.stream, self.inbox.observation(live), prediction)
            });
            self.figures.push(FrameFigures { score: live.score.map(f64::from), errors });
        }
    }

    /// Hands each stream its prediction and its actions.
    fn answer(&mut self, states: &Tensor, observed: i64) -> Result<()> {
        let live = self.inbox.live.len();
        let actions = self.inbox.live.iter().map(|l| l.action_length).max().unwrap_or_default() as i64;
        let predicted = states.f_narrow(1, self.model.reserved(), observed)?;
        let both = match actions {
            0 => predicted,
            // One transfer from the device for both.
            n => Tensor::f_cat(&[predicted, self.model.act(states, n)?], 1)?,
        };
        let width = (observed + actions) as usize;
        self.numbers.resize(live * width, 0.0);
        let both = both.f_to_device(Device::Cpu)?.f_contiguous()?;
        if !is_finite(&both)? {
            return Err(self.not_finite(states)?);
        }
        if !self.numbers.is_empty() {
            both.f_copy_data(&mut self.numbers, live * width)?;
        }
        for number in &mut self.numbers {
            *number = number.clamp(-1.0, 1.0);
        }
        for (row, live) in self.inbox.live.iter().enumerate() {
            let row = &self.numbers[row * width..][..width];
            let (predicted, actions) = row.split_at(observed as usize);
            let predicted = &predicted[..self.inbox.observation(live).len()];
            self.environment.act(live.stream, predicted, &actions[..live.action_length])?;
            if self.baselines.is_some() {
                let kept = self.predictions.entry(live.stream).or_default();
                // What this step's observation was compared with is drawn beside it.
                std::mem::swap(kept, self.compared.entry(live.stream).or_default());
                kept.clear();
                kept.extend_from_slice(predicted);
            }
        }
        Ok(())
    }

    /// Why there are predictions or actions that are no numbers.
    fn not_finite(&self, states: &Tensor) -> Result<Error> {
        const CURE: &str = "Lower the learning rate, or set `clip` under [optimizer]";
        if is_finite(states)? {
            let message = format!("chose actions that are not finite (NaN or infinity). {CURE}");
            return Ok(Error::msg(message).context(&self.blamed.goal));
        }
        let message = format!("the new states are not finite (NaN or infinity). {CURE}");
        // On a GPU, what the cell answers with is not looked at before: then it may not be the trainer's fault.
        let blamed = states.device() == Device::Cpu;
        Ok(if blamed { Error::msg(message).context(&self.blamed.trainer) } else { Error::msg(message) })
    }

    /// What came in the last step beside what was predicted of it, for the first `most` live streams that have
    /// pictures: stream, observation, prediction.
    pub fn pictures(&self, most: usize) -> Result<Vec<(u64, Picture, Option<Picture>)>> {
        let mut pictures = Vec::new();
        for live in self.inbox.live.iter().take(most) {
            let Some(seen) = self.environment.picture(live.stream, self.inbox.observation(live))? else {
                continue;
            };
            let predicted = match self.compared.get(&live.stream).filter(|p| !p.is_empty()) {
                Some(p) => self.environment.picture(live.stream, p)?,
                None => None,
            };
            pictures.push((live.stream, seen, predicted));
        }
        Ok(pictures)
    }
}

//! One experiment: environment, agent and trainer, step by step.
use super::actions::{LastActions, perform};
use super::answers::{columns, gather};
use super::episodes::{Episode, Episodes};
use super::frames::{Active, FrameBuffer};
use super::threads;
use crate::agent::Model;
use crate::plugins::{all_finite, is_finite};
use efference_abi::Kind;
use efference_runs::{Baselines, Errors, Fingerprint, MoreBaselines};
use efference_sdk::autograd::matrix;
use efference_sdk::tch::{self, Device, Tensor};
use efference_sdk::{
    Batch, Comparison, Environment, Error, Moment, Picture, PluginId, Result, Role, Spaces, Trainer,
};
use efference_spec::Section;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// How long an environment may keep a poll waiting before the host looks whether it should stop.
const POLL: Duration = Duration::from_millis(100);

/// Where the time of steps went.
#[derive(Debug, Default, Clone, Copy)]
pub struct Times {
    /// Waiting for the environment, and passing predictions and actions to it.
    pub environment: Duration,
    /// The trainer's step, with everything that it calls.
    pub trainer: Duration,
    /// Comparing predictions with what came.
    pub comparing: Duration,
}

/// How one step ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum StepOutcome {
    /// A step was made.
    Step,
    /// The environment is over.
    Closed,
    /// The run should stop.
    Stopped,
}

/// Numbers of one frame of one stream, for metrics.
#[derive(Debug, Clone, Copy, Default)]
pub struct FrameStats {
    /// What the environment said is to be maximised.
    pub reward: Option<f64>,
    /// What the goal added to it.
    pub bonus: Option<f64>,
    /// The episode that ended with the frame.
    pub episode: Option<Episode>,
    /// Of the last prediction and of the baselines.
    pub errors: Option<Errors>,
    /// How many steps, and how long, before the frame its prediction was made; absent where a run has just gone on.
    pub delay: Option<(u64, Duration)>,
}

/// Which plugins an error found behind their calls is attributed to.
#[derive(Debug, Clone)]
pub struct Attribution {
    /// The environment.
    pub environment: PluginId,
    /// The trainer.
    pub trainer: PluginId,
    /// The goal.
    pub goal: PluginId,
    /// The bonus beside it; the goal, where there is none.
    pub bonus: PluginId,
    /// The cell.
    pub cell: PluginId,
    /// The layer.
    pub layer: PluginId,
}

impl Attribution {
    fn of(&self, section: Section) -> &PluginId {
        match section {
            Section::Of(Kind::Environment) => &self.environment,
            Section::Of(Kind::Trainer) => &self.trainer,
            Section::Of(Kind::Goal) => &self.goal,
            Section::Of(Kind::Cell) => &self.cell,
            Section::Of(Kind::Layer) => &self.layer,
            Section::Bonus => &self.bonus,
        }
    }
}

/// A running experiment.
pub struct Experiment {
    pub(super) environment: Box<dyn Environment>,
    pub(super) model: Model,
    pub(super) trainer: Box<dyn Trainer>,
    plugins: Attribution,
    pub(super) frames: FrameBuffer,
    pub(super) step: u64,
    pub(super) baselines: Option<Baselines>,
    /// Elements of an observation that predictions are not compared with.
    seen_only: Vec<usize>,
    /// An observation without them.
    compared_row: Vec<f32>,
    /// What was predicted of each stream's next observation, and the prediction that its last one was compared with.
    pub(super) predictions: HashMap<u64, Vec<f32>>,
    pub(super) compared: HashMap<u64, Vec<f32>>,
    /// The step of each stream's prediction, and when it was made.
    predicted: HashMap<u64, (u64, Instant)>,
    pub(super) last_actions: LastActions,
    pub(super) episodes: Episodes,
    pub(super) stats: Vec<FrameStats>,
    rows: Vec<f32>,
    answers: Vec<f32>,
    /// Whether it acts as well as it can, and does not explore.
    greedy: bool,
    /// Of the last step's observation and response, if fingerprints are wanted.
    prints: Option<[u32; 2]>,
    /// Where time went since it was last set to zero.
    pub times: Times,
}

impl Experiment {
    /// Puts an experiment together. Without `compare`, which says how, predictions are not compared with what came.
    pub fn new(
        environment: Box<dyn Environment>,
        spaces: Option<Spaces>,
        model: Model,
        trainer: Box<dyn Trainer>,
        plugins: Attribution,
        compare: Option<&Comparison>,
    ) -> Self {
        let compare = compare.filter(|_| model.predicts());
        let seen_only = compare.map(|c| c.elements(Role::SEEN).collect()).unwrap_or_default();
        let more = |c: &Comparison| MoreBaselines { linear: c.linear, period: c.period };
        Experiment {
            environment,
            model,
            trainer,
            plugins,
            frames: FrameBuffer::new(spaces),
            step: 0,
            baselines: compare.map(|c| Baselines::with(more(c))),
            seen_only,
            compared_row: Vec::new(),
            predictions: HashMap::new(),
            compared: HashMap::new(),
            predicted: HashMap::new(),
            last_actions: LastActions::default(),
            episodes: Episodes::default(),
            stats: Vec::new(),
            rows: Vec::new(),
            answers: Vec::new(),
            greedy: false,
            prints: None,
            times: Times::default(),
        }
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
    pub fn trainer(&self) -> &dyn Trainer {
        &*self.trainer
    }

    /// From now on it acts as well as it can, and does not learn.
    pub fn freeze(&mut self) {
        self.greedy = true;
        self.model.freeze();
    }

    /// The streams of the last step, in the order of [`stats`](Self::stats), and whether each frame was the first of an
    /// episode.
    pub fn active(&self) -> impl Iterator<Item = (u64, bool)> {
        self.frames.active.iter().map(|active| (active.stream, active.step_type.is_first()))
    }

    /// Has fingerprints made of each step from now on; returns what they are of, in the order in which a step computes it.
    pub fn record_fingerprints(&mut self) -> Vec<String> {
        self.prints = Some([0; 2]);
        let mut components = vec!["observation".to_owned()];
        components.extend(self.model.record_fingerprints());
        components.push("prediction and action".to_owned());
        components
    }

    /// The fingerprints of the last step; none unless they are wanted.
    pub fn take_fingerprints(&self, to: &mut Vec<u32>) {
        if let Some([observation, response]) = self.prints {
            to.push(observation);
            self.model.take_fingerprints(to);
            to.push(response);
        }
    }

    /// What the last step was like, one an active stream.
    pub fn stats(&self) -> &[FrameStats] {
        &self.stats
    }

    /// How many streams observed something in the last step.
    pub fn active_streams(&self) -> usize {
        self.stats.len()
    }

    /// Makes one step; `stop` is asked while the environment keeps it waiting.
    pub fn advance(&mut self, stop: &dyn Fn() -> bool) -> Result<StepOutcome> {
        let began = Instant::now();
        self.frames.clear();
        loop {
            self.environment.poll(POLL, &mut self.frames)?;
            if !self.frames.active.is_empty() {
                break;
            }
            if self.frames.closed {
                return Ok(StepOutcome::Closed);
            }
            if stop() {
                return Ok(StepOutcome::Stopped);
            }
        }
        self.frames.check().map_err(|e| e.in_plugin(&self.plugins.environment))?;
        let size = self.model.state_size();
        // What fitted before and does not now is the environment's doing.
        let too_small = |e: Error| if self.step > 0 { e.in_plugin(&self.plugins.environment) } else { e };
        self.frames.check_size(size, self.model.reserved()).map_err(too_small)?;
        let polled = Instant::now();
        self.compare();
        let compared = Instant::now();

        self.model.set_step(self.step);
        self.forget_ended();
        self.model.end_streams(&self.frames.ended)?;
        let streams = self.frames.streams();
        let step_types = self.frames.step_types();
        let action = self.last_actions.tensor(&streams)?;
        let reward = self.frames.rewards();
        let observation = self.observation(&reward)?;
        let (reward_with_bonus, observation_with_bonus);
        let mut moment = Moment {
            streams: &streams,
            observation: &observation,
            reward: &reward,
            action: &action,
            step_types: &step_types,
        };
        if let Some(bonus) = self.model.bonus(&moment)? {
            reward_with_bonus = self.add_bonus(&reward, &bonus);
            observation_with_bonus = self.observation(&reward_with_bonus)?;
            moment = Moment { observation: &observation_with_bonus, reward: &reward_with_bonus, ..moment };
        }
        let batch = Batch { moment, started: &self.frames.started, ended: &self.frames.ended };
        let states = self.trainer.step(&self.model, &batch);
        let states = states.map_err(|error| self.whose_graph(error, &moment))?;
        let states = if states.requires_grad() { states.f_detach()? } else { states };
        if columns(&states) != size {
            let message = format!("returned states of {} elements; a state has {size}", states.size()[1]);
            return Err(Error::msg(message).in_plugin(&self.plugins.trainer));
        }
        let trained = Instant::now();
        self.respond(&moment, &states)?;
        self.restore_threads();
        self.step += 1;

        self.times.environment += polled - began + trained.elapsed();
        self.times.comparing += compared - polled;
        self.times.trainer += trained - compared;
        Ok(StepOutcome::Step)
    }

    /// Sets libtorch's number of threads back if a plugin has changed it.
    fn restore_threads(&self) {
        let Some(threads) = threads::of_libtorch() else { return };
        let found = tch::get_num_threads();
        if found != threads as i32 {
            tch::set_num_threads(threads as i32);
            tracing::warn!(
                "in step {} a plugin changed libtorch's number of threads from {threads} to {found}; it was set back. Use \
                 `threads` in the spec",
                self.step
            );
        }
    }

    /// What the active streams observed, (rows, length), the reserved slots first.
    fn observation(&mut self, reward: &[f32]) -> Result<Tensor> {
        self.frames.rows(self.model.reserved(), reward, &mut self.rows);
        if let Some([observed, _]) = &mut self.prints {
            *observed = fingerprint(&[&self.rows, reward]);
        }
        let observation = matrix(self.frames.active.len(), &self.rows)?;
        self.model.hide(match self.model.device() {
            Device::Cpu => observation,
            device => observation.f_to_device(device)?,
        })
    }

    fn add_bonus(&mut self, reward: &[f32], bonus: &[f32]) -> Vec<f32> {
        for (stats, bonus) in self.stats.iter_mut().zip(bonus) {
            stats.bonus = Some(f64::from(*bonus));
        }
        // Where there is neither, the reward stays absent.
        let sum = |(reward, bonus): (&f32, &f32)| match reward.is_nan() && *bonus != 0.0 {
            true => *bonus,
            false => reward + bonus,
        };
        reward.iter().zip(bonus).map(sum).collect()
    }

    /// Drops what was kept of streams that have ended, and the actions that episodes have ignored.
    fn forget_ended(&mut self) {
        for stream in &self.frames.ended {
            self.last_actions.forget(*stream);
        }
        for active in self.frames.active.iter().filter(|a| a.step_type.is_first()) {
            self.last_actions.forget(active.stream);
        }
    }

    fn compare(&mut self) {
        self.stats.clear();
        let now = Instant::now();
        for stream in &self.frames.ended {
            self.episodes.end(*stream);
            if let Some(baselines) = &mut self.baselines {
                baselines.end(*stream);
                self.predictions.remove(stream);
                self.compared.remove(stream);
                self.predicted.remove(stream);
            }
        }
        for active in &self.frames.active {
            let errors = self.baselines.as_mut().and_then(|b| {
                let prediction = self.predictions.get(&active.stream).map(Vec::as_slice);
                let mut observation = self.frames.observation(active);
                if !self.seen_only.is_empty() {
                    self.compared_row.clear();
                    self.compared_row.extend_from_slice(observation);
                    self.seen_only.iter().for_each(|element| self.compared_row[*element] = f32::NAN);
                    observation = &self.compared_row;
                }
                b.observe(active.stream, observation, prediction)
            });
            let reward = (!active.reward.is_nan()).then_some(f64::from(active.reward));
            let episode = self.episodes.observe(active.stream, active.step_type, active.reward);
            let made = self.predicted.get(&active.stream);
            let delay = made.map(|(step, at)| (self.step - step, now.duration_since(*at)));
            self.stats.push(FrameStats { reward, bonus: None, episode, errors, delay });
        }
    }

    /// Passes each stream its prediction and its actions.
    fn respond(&mut self, moment: &Moment<'_>, states: &Tensor) -> Result<()> {
        let rows = self.frames.active.len();
        let reserved = self.model.reserved();
        let observed = if self.model.predicts() { columns(moment.observation) - reserved } else { 0 };
        let groups = self.frames.widest_actions();
        let actions = match groups {
            [] => None,
            groups => Some(self.model.act(moment, states, groups, self.greedy)?),
        };
        let width = observed as usize + actions.as_ref().map_or(0, |actions| columns(actions) as usize);
        if !gather(states, actions.as_ref(), reserved as usize, observed as usize, &mut self.answers) {
            let predicted = states.f_narrow(1, reserved, observed)?;
            // One transfer from the device for both.
            let both = match actions {
                None => predicted,
                Some(actions) => Tensor::f_cat(&[predicted, actions], 1)?,
            };
            let both = both.f_to_device(Device::Cpu)?.f_contiguous()?;
            self.answers.resize(rows * width, 0.0);
            if !self.answers.is_empty() {
                both.f_copy_data(&mut self.answers, rows * width)?;
            }
        }
        if !all_finite(&self.answers) {
            return Err(self.not_finite(states)?);
        }
        let now = Instant::now();
        for (row, active) in self.frames.active.iter().enumerate() {
            let answer = &mut self.answers[row * width..][..width];
            let (predicted, action) = answer.split_at_mut(observed as usize);
            let length = self.frames.observation(active).len().min(predicted.len());
            let predicted = &mut predicted[..length];
            predicted.iter_mut().for_each(|x| *x = x.clamp(-1.0, 1.0));
            let groups = self.frames.actions(active);
            let action = &mut action[..efference_sdk::action_width(groups)];
            perform(groups, action);
            self.environment.act(active.stream, predicted, action)?;
            if active.step_type.is_last() {
                self.last_actions.forget(active.stream);
            } else {
                self.last_actions.keep(active.stream, action);
            }
            if self.baselines.is_some() {
                let prediction = self.predictions.entry(active.stream).or_default();
                // What this step's observation was compared with is drawn beside it.
                std::mem::swap(prediction, self.compared.entry(active.stream).or_default());
                prediction.clear();
                prediction.extend_from_slice(predicted);
                self.predicted.insert(active.stream, (self.step, now));
            }
        }
        if let Some([_, response]) = &mut self.prints {
            *response = fingerprint(&[&self.answers]);
        }
        Ok(())
    }

    /// The same error, of the plugin that brought a graph into the step which was gone, if it is of that kind.
    fn whose_graph(&self, error: Error, moment: &Moment<'_>) -> Error {
        let width = self.trainer.input().map_or(0, |layout| layout.width);
        let Some(section) = self.model.keeper_of_a_graph(&error, moment, width) else { return error };
        let said = error.chain().last().unwrap_or_default();
        let message = format!(
            "uses tensors of an earlier step with their graph, which is gone since the gradients were taken. It must \
             detach what it carries over (`f_detach()`). In the backward pass of {}: {said}",
            self.plugins.trainer
        );
        Error::msg(message).in_plugin(self.plugins.of(section))
    }

    /// Why there are predictions or actions that are no numbers.
    fn not_finite(&self, states: &Tensor) -> Result<Error> {
        const HELP: &str = "Lower the learning rate, or set `clip` under [optimizer]";
        if is_finite(states)? {
            let message = format!("chose actions that are not finite (NaN or infinity). {HELP}");
            return Ok(Error::msg(message).in_plugin(&self.plugins.goal));
        }
        let message = format!("the new states are not finite (NaN or infinity). {HELP}");
        // On a GPU, what the cell returns is not looked at before: then it may not be the trainer's doing.
        let by_trainer = states.device() == Device::Cpu;
        let error = Error::msg(message);
        Ok(if by_trainer { error.in_plugin(&self.plugins.trainer) } else { error })
    }

    /// What came in the last step beside what was predicted of it, for the first `most` active streams that have
    /// pictures: stream, observation, prediction.
    pub fn pictures(&self, most: usize) -> Result<Vec<(u64, Picture, Option<Picture>)>> {
        let mut pictures = Vec::new();
        for active in self.frames.active.iter().take(most) {
            if let Some((seen, predicted)) = self.pictures_of(active)? {
                pictures.push((active.stream, seen, predicted));
            }
        }
        Ok(pictures)
    }

    /// The same of one stream, if it has pictures.
    pub(super) fn pictures_of(&self, active: &Active) -> Result<Option<(Picture, Option<Picture>)>> {
        let Some(seen) = self.environment.picture(active.stream, self.frames.observation(active))? else {
            return Ok(None);
        };
        let predicted = match self.compared.get(&active.stream).filter(|p| !p.is_empty()) {
            Some(p) => self.environment.picture(active.stream, p)?,
            None => None,
        };
        Ok(Some((seen, predicted)))
    }
}

fn fingerprint(parts: &[&[f32]]) -> u32 {
    let mut fingerprint = Fingerprint::default();
    parts.iter().for_each(|part| fingerprint.add_all(part));
    fingerprint.finish()
}

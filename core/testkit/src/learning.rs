//! A whole agent in a tiny world: does its loss fall?
use crate::{OwnedMoment, PlainAgent, Rule};
use efference_sdk::tch::{self, Device, Kind, Tensor};
use efference_sdk::{
    ActionGroup, ActionRequest, Agent, Batch, Cell, CellSetup, Goal, GoalSetup, InputLayout, LayerFactory,
    LossInput, Params, Result, RewardRange, Saved, Size, Spaces, Trainer, TrainerSetup, autograd, bail,
    derive_seed, ensure, group,
};
use std::collections::BTreeMap;
use std::f32::consts::TAU;

/// Features that the tiny world shows.
const FEATURES: i64 = 4;
/// Streams of the tiny world.
const STREAMS: i64 = 2;
/// Steps after which a stream shows the same again.
const PERIODS: [i64; STREAMS as usize] = [8, 6];
/// What is to be chosen from in each step.
const ACTIONS: ActionGroup = ActionGroup::choice(2);

/// An agent that is to be trained in a tiny world.
///
/// The world has two streams of four features, sines of period 8 and 6, each a quarter of the period behind the one before;
/// the reward is half the first of them, and a choice of two is asked for, which changes nothing. So all that can be learned is
/// what comes next.
pub struct Learner<'a> {
    /// Elements of a state, the goal's reserved slots included; room for these and for the four features at least.
    pub state_size: i64,
    /// Makes the agent's layers.
    pub layers: &'a dyn LayerFactory,
    /// What the first parameters are drawn by.
    pub seed: u64,
    /// How parameters are updated.
    pub rule: Rule,
    /// How many steps the agent is trained.
    pub steps: usize,
}

impl Learner<'_> {
    /// Makes the agent of these parts, and trains it.
    ///
    /// # Errors
    /// Those of the parts, with the step; a loss that is not finite.
    pub fn learn(
        self,
        goal: impl FnOnce(&GoalSetup<'_>) -> Result<Box<dyn Goal>>,
        trainer: impl FnOnce(&TrainerSetup<'_>) -> Result<Box<dyn Trainer>>,
        cell: impl FnOnce(&CellSetup<'_>) -> Result<Box<dyn Cell>>,
    ) -> Result<Learned> {
        let Learner { state_size, layers, seed, rule, steps } = self;
        let mut agent = PlainAgent::new(state_size, layers, seed, rule);
        let spaces =
            Spaces { observation: FEATURES as usize, actions: vec![ACTIONS], reward: RewardRange::default() };
        let goal = {
            let params = Params::new(&agent.store).scope("goal");
            goal(&GoalSetup { state_size, spaces: Some(&spaces), layers, params })?
        };
        let reserved = goal.reserved()?;
        ensure!(
            state_size >= reserved + FEATURES,
            "a state of {state_size} elements has no room for the goal's {reserved} and {FEATURES} features"
        );
        let mut trainer = trainer(&TrainerSetup { spaces: Some(&spaces), ..agent.trainer_setup(reserved) })?;
        let InputLayout { width, observation, action } = trainer.input()?;
        if width > 0 {
            let cell = {
                let params = Params::new(&agent.store).scope("cell");
                let size = Size { ins: width, outs: state_size };
                cell(&CellSetup { size, observation, action, layers, params })?
            };
            agent.set_cell(cell);
        }
        agent.set_goal(goal);
        trainer.begin(&agent)?;

        let mut learned = Learned { terms: BTreeMap::new() };
        let mut action = Tensor::f_full([STREAMS, 2], f64::NAN, (Kind::Float, Device::Cpu))?;
        for step in 0..steps {
            agent.step.set(step as u64);
            let moment = moment(step as i64, reserved, &action)?;
            let begins: &[u64] = if step == 0 { &moment.streams } else { &[] };
            let batch = Batch { moment: moment.get(), started: begins, ended: &[] };
            let states = trainer.step(&agent, &batch)?;
            learned.take_in(&agent, step)?;
            let seed = derive_seed(seed, &format!("act {step}"));
            let request = ActionRequest { groups: &[ACTIONS], seed, greedy: false };
            action = tch::no_grad(|| agent.act(&moment.get(), &states, &request))?;
        }
        Ok(learned)
    }
}

/// What the world shows in a step.
fn moment(step: i64, reserved: i64, action: &Tensor) -> Result<OwnedMoment> {
    let (mut rows, mut reward) = (Vec::new(), Vec::new());
    for period in PERIODS {
        let feature = |i: i64| (TAU * (step - i * period / FEATURES) as f32 / period as f32).sin();
        reward.push(feature(0) / 2.0);
        let mut row = vec![f32::NAN; reserved as usize];
        row.extend((0..FEATURES).map(feature));
        if reserved > 0 {
            row[0] = feature(0) / 2.0;
        }
        rows.extend(row);
    }
    let observation = Tensor::f_from_slice(&rows)?.f_view([STREAMS, reserved + FEATURES])?;
    Ok(OwnedMoment { reward, action: action.shallow_clone(), ..OwnedMoment::of(&observation) })
}

/// How an agent's losses went.
#[derive(Debug, Clone)]
pub struct Learned {
    /// Of each term of the goal's loss its value in each step, summed over streams.
    pub terms: BTreeMap<String, Vec<f64>>,
}

impl Learned {
    fn take_in(&mut self, agent: &PlainAgent<'_>, step: usize) -> Result<()> {
        for term in &agent.last_loss.borrow().terms {
            let value = autograd::item(&term.total()?)?;
            ensure!(value.is_finite(), "the loss term '{}' is {value} after step {step}", term.name);
            self.terms.entry(term.name.clone()).or_default().push(value);
        }
        Ok(())
    }

    /// The mean of a term in the first tenth of the steps, and in the last.
    ///
    /// # Errors
    /// There is no such term; the message names those that there are.
    pub fn first_and_last(&self, term: &str) -> Result<[f64; 2]> {
        let Some(values) = self.terms.get(term) else {
            let names: Vec<&str> = self.terms.keys().map(String::as_str).collect();
            bail!("the loss has no term '{term}', but {}", names.join(", "));
        };
        let tenth = (values.len() / 10).max(1);
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        Ok([mean(&values[..tenth]), mean(&values[values.len() - tenth..])])
    }

    /// Whether a term of the loss has fallen: below `share` of what it was in the first tenth of the steps. (Terms that follow
    /// other terms, such as what is foretold of an error, and those of an actor-critic are not meant to fall.)
    ///
    /// # Errors
    /// It has not; the message says from what to what it went. There is no such term.
    pub fn check_fell(&self, term: &str, share: f64) -> Result<()> {
        let [first, last] = self.first_and_last(term)?;
        ensure!(
            last < share * first,
            "the loss term '{term}' was {first:.4} in the first tenth of the steps and is {last:.4} in the last, which is not \
             below {share} of that"
        );
        Ok(())
    }
}

/// The plainest trainer, for tests of goals and cells: states and observations side by side, and gradient through two
/// transitions at a time. All streams of a run are active in all steps.
#[derive(Debug)]
pub struct TwoSteps {
    state_size: i64,
    observed: i64,
    state: Option<Tensor>,
    terms: Vec<Tensor>,
    unroll: u64,
}

impl TwoSteps {
    /// For states of this size and the tiny world of a [`Learner`].
    pub fn new(setup: &TrainerSetup<'_>) -> Self {
        let observed = setup.reserved + setup.spaces.map_or(0, |spaces| spaces.observation as i64);
        TwoSteps { state_size: setup.state_size, observed, state: None, terms: Vec::new(), unroll: 0 }
    }
}

impl Trainer for TwoSteps {
    fn input(&self) -> Result<InputLayout> {
        let width = self.state_size + self.observed;
        Ok(InputLayout { width, observation: self.state_size..width, action: 0..0 })
    }

    fn step(&mut self, agent: &dyn Agent, batch: &Batch<'_>) -> Result<Tensor> {
        let moment = &batch.moment;
        let rows = moment.streams.len() as i64;
        let state = match self.state.take() {
            Some(state) => state,
            None => Tensor::f_zeros([rows, self.state_size], (Kind::Float, Device::Cpu))?,
        };
        let seen = moment.observation;
        let predicted = state.f_detach()?.f_narrow(1, 0, self.observed)?;
        let known = seen.f_isnan()?.f_logical_not()?;
        let front = seen.f_clamp(-1.0, 1.0)?.f_where_self(&known, &predicted)?;
        let back = state.f_detach()?.f_narrow(1, self.observed, self.state_size - self.observed)?;
        let target = Tensor::f_cat(&[&front, &back], 1)?;
        let (state, target) = (&state, &target);
        let loss = agent.loss(&LossInput { moment, state, target, next: None, unroll: self.unroll })?;
        for term in &loss.terms {
            self.terms.push(term.total()?);
        }
        let next = agent.transition(&Tensor::f_cat(&[state, &front], 1)?)?;
        let states = next.f_detach()?;
        if agent.step()? % 2 == 0 {
            self.state = Some(next);
            return Ok(states);
        }
        let total = self.terms.drain(..).try_fold(Tensor::from(0.0f32), |sum, term| sum.f_add(&term))?;
        if total.requires_grad() {
            total.f_backward()?;
        }
        agent.update(group::ALL)?;
        self.unroll += 1;
        self.state = Some(states.shallow_clone());
        Ok(states)
    }

    fn save(&self) -> Result<Saved> {
        Ok(self.state.iter().map(|state| ("state".to_owned(), state.detach())).collect())
    }

    fn restore(&mut self, saved: Saved) -> Result<()> {
        self.state = saved.into_iter().next().map(|(_, state)| state);
        Ok(())
    }

    fn saves_exactly(&self) -> Result<bool> {
        Ok(self.terms.is_empty())
    }
}

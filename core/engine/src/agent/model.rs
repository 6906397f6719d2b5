//! Puts an agent together, and is what a trainer gets to train.
use super::optimizer::{Optimizer, clear_gradients};
use super::shared_cell::SharedCell;
use super::store::Store;
use super::transition::{CellTransition, GraphSharing};
use crate::plugins::{Health, Plugin, Work, is_finite};
use efference_sdk::{
    Agent, AnyGoal, AnyLayer, AnyTrainer, LayerFactory, Loss, LossInput, NetworkSpec, Params, Part, Result,
    ResultExt, Saved, Size, Stack, StackSpec, TrainerSetup, autograd, bail, derive_seed, ensure,
};
use efference_spec::OptimizerSettings;
use serde_json::Value;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tch::{Device, Tensor};

/// A plugin and its options.
#[derive(Debug, Clone)]
pub struct Choice {
    /// The plugin.
    pub plugin: Plugin,
    /// A JSON object.
    pub options: Value,
}

/// What an agent is made of.
pub struct Blueprint<'a> {
    /// The experiment's seed.
    pub seed: u64,
    /// Where it computes.
    pub device: Device,
    /// Numbers in a state.
    pub state_size: i64,
    /// What cells, networks and goals are built with.
    pub layer: Choice,
    /// The cell.
    pub cell: Choice,
    /// The goal.
    pub goal: Choice,
    /// The trainer.
    pub trainer: Choice,
    /// How much of an evaluation of the cell the gradient paths of a goal share: all they can, but for measuring.
    pub sharing: GraphSharing,
    /// How a part is updated: its name, and the learning rate that its maker asks for.
    pub optimizer: &'a dyn Fn(&str, Option<f64>) -> OptimizerSettings,
}

struct Layers {
    choice: Choice,
    health: Arc<Health>,
}

impl LayerFactory for Layers {
    fn make(&self, size: Size, params: &Params<'_>) -> Result<Box<dyn AnyLayer>> {
        self.choice.plugin.layer(&self.choice.options, size, params, &self.health)
    }
}

/// The agent: everything but the trainer, which trains it.
pub struct Model {
    seed: u64,
    device: Device,
    state_size: i64,
    sharing: GraphSharing,
    step: Cell<u64>,
    store: Store,
    health: Arc<Health>,
    layers: Layers,
    goal: RefCell<Box<dyn AnyGoal>>,
    reserved: i64,
    cell: Option<SharedCell>,
    networks: RefCell<BTreeMap<String, Network>>,
    optimizers: RefCell<HashMap<String, Optimizer>>,
    recorded: RefCell<Recorded>,
    loss_of_step: RefCell<Vec<Tensor>>,
    times: Cell<AgentTimes>,
}

/// How long the trainer has waited for the agent. On a GPU: how long it took to hand over the work.
#[derive(Debug, Default, Clone, Copy)]
pub struct AgentTimes {
    /// Transitions: goal, cell and layers, forward.
    pub transition: Duration,
    /// The goal's loss, forward.
    pub loss: Duration,
    /// The trainer's networks, forward.
    pub network: Duration,
    /// Optimizers.
    pub update: Duration,
}

struct Network {
    stack: Stack,
    learning_rate: Option<f64>,
}

/// The sum of the terms, without gradient.
fn total(loss: &Loss) -> Result<Option<Tensor>> {
    if loss.terms.is_empty() || loss.terms.iter().any(|(_, t)| t.device() != Device::Cpu) {
        return loss.total();
    }
    let numbers = loss.terms.iter().map(|(_, t)| autograd::item(t));
    Ok(Some(autograd::scalar(numbers.sum::<Result<f64>>()? as f32)?))
}

/// The metric that the sum of all terms is recorded as.
const LOSS: &str = "loss";

/// Terms and metrics of the steps since they were last taken.
#[derive(Default)]
pub struct Recorded {
    sums: Vec<Sum>,
}

/// The sum of a term or metric over some steps.
struct Sum {
    name: String,
    count: u64,
    /// What was at hand as numbers.
    number: f64,
    /// What is on a GPU, and stays there until it is asked for.
    tensor: Option<Tensor>,
}

impl Recorded {
    fn add(&mut self, name: &str, value: &Tensor) -> Result<()> {
        let place = match self.sums.iter().position(|s| s.name == name) {
            Some(place) => place,
            None => {
                self.sums.push(Sum { name: name.to_owned(), count: 0, number: 0.0, tensor: None });
                self.sums.len() - 1
            }
        };
        let sum = &mut self.sums[place];
        sum.count += 1;
        if value.device() == Device::Cpu {
            sum.number += autograd::item(value)?;
            return Ok(());
        }
        let value = value.f_detach()?.f_reshape(&[] as &[i64])?;
        sum.tensor = Some(match sum.tensor.take() {
            Some(sum) => sum.f_add(&value)?,
            None => value,
        });
        Ok(())
    }

    /// The mean of the loss.
    pub fn loss(&self) -> Result<Vec<(String, f64)>> {
        self.means(|name| name == LOSS)
    }

    /// The means of the loss's terms, as `loss/NAME`, and of the goal's own metrics.
    pub fn terms(&self) -> Result<Vec<(String, f64)>> {
        self.means(|name| name != LOSS)
    }

    fn means(&self, wanted: impl Fn(&str) -> bool) -> Result<Vec<(String, f64)>> {
        let wanted = self.sums.iter().filter(|s| wanted(&s.name));
        wanted
            .map(|s| {
                let elsewhere = s.tensor.as_ref().map_or(Ok(0.0), autograd::item)?;
                Ok((s.name.clone(), (s.number + elsewhere) / s.count as f64))
            })
            .collect()
    }
}

struct Setup<'a>(&'a Model);

impl TrainerSetup for Setup<'_> {
    fn state_size(&self) -> i64 {
        self.0.state_size
    }

    fn reserved(&self) -> i64 {
        self.0.reserved
    }

    fn device(&self) -> Device {
        self.0.device
    }

    fn network(&self, spec: &NetworkSpec<'_>) -> Result<()> {
        let name = spec.name;
        ensure!(
            !["", "cell", "goal"].contains(&name) && !name.contains('.'),
            "a network cannot be called '{name}'; choose a name without dots, other than 'cell' and 'goal'"
        );
        ensure!(!self.0.networks.borrow().contains_key(name), "there is a network '{name}' already");
        let stack = StackSpec {
            size: Size { ins: spec.ins, outs: spec.outs },
            layers: spec.layers,
            nonlinearity: spec.nonlinearity,
            zero_at_start: spec.zero_at_start,
        };
        let stack = Stack::new(stack, &self.0.layers, &Params::new(&self.0.store).scope(name))
            .with_context(|| format!("network '{name}'"))?;
        let network = Network { stack, learning_rate: spec.learning_rate };
        self.0.networks.borrow_mut().insert(name.to_owned(), network);
        Ok(())
    }
}

impl Model {
    /// Makes the agent and its trainer: goal, trainer with its networks, then the cell for the width of input
    /// that the trainer says.
    pub fn build(blueprint: &Blueprint<'_>) -> Result<(Model, Box<dyn AnyTrainer>)> {
        let Blueprint { seed, device, state_size, .. } = *blueprint;
        let health = Arc::new(Health::default());
        let store = Store::new(seed, device);
        let layers = Layers { choice: blueprint.layer.clone(), health: health.clone() };
        let goal = &blueprint.goal;
        let params = Params::new(&store);
        let goal = goal.plugin.goal(&goal.options, state_size, &layers, &params.scope("goal"), &health)?;
        let reserved = goal.reserved();
        ensure!(
            (0..state_size).contains(&reserved),
            "{} reserves {reserved} numbers of a state of {state_size}; enlarge state.size",
            blueprint.goal.plugin
        );
        drop(params);
        let mut model = Model {
            seed,
            device,
            state_size,
            sharing: blueprint.sharing,
            step: Cell::new(0),
            store,
            health,
            layers,
            goal: RefCell::new(goal),
            reserved,
            cell: None,
            networks: RefCell::default(),
            optimizers: RefCell::default(),
            recorded: RefCell::default(),
            loss_of_step: RefCell::default(),
            times: Cell::default(),
        };
        let trainer = &blueprint.trainer;
        let trainer = trainer.plugin.trainer(&trainer.options, &Setup(&model), &model.health)?;
        let size = Size { ins: trainer.input_size(), outs: state_size };
        ensure!(
            size.ins >= 1,
            "{} hands an input of {} numbers to the cell",
            blueprint.trainer.plugin,
            size.ins
        );
        let cell = &blueprint.cell;
        let params = Params::new(&model.store).scope("cell");
        let cell = cell.plugin.cell(&cell.options, size, &model.layers, &params, &model.health)?;
        model.cell = Some(SharedCell::new(cell));
        let requested =
            model.networks.borrow().iter().map(|(n, w)| (n.clone(), w.learning_rate)).collect::<Vec<_>>();
        let parts = [("cell".to_owned(), None), ("goal".to_owned(), None)].into_iter().chain(requested);
        model.optimizers = RefCell::new(
            parts
                .map(|(name, rate)| (name.clone(), Optimizer::new((blueprint.optimizer)(&name, rate))))
                .collect(),
        );
        Ok((model, trainer))
    }

    /// Whether it has a part of this name.
    pub fn has_part(&self, name: &str) -> bool {
        self.optimizers.borrow().contains_key(name)
    }

    /// Where it computes.
    pub fn device(&self) -> Device {
        self.device
    }

    /// Numbers in a state.
    pub fn state_size(&self) -> i64 {
        self.state_size
    }

    /// Numbers at the front of a state that the goal keeps for itself.
    pub fn reserved(&self) -> i64 {
        self.reserved
    }

    /// Its parameters and buffers.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Says which step it is, from 0.
    pub fn set_step(&self, step: u64) {
        self.step.set(step);
        self.loss_of_step.borrow_mut().clear();
    }

    /// `length` actions for each state.
    pub fn act(&self, states: &Tensor, length: i64) -> Result<Tensor> {
        tch::no_grad(|| self.goal.borrow_mut().act(states, length))
    }

    /// The losses of the current step, in the order in which they were asked for.
    pub fn loss_of_step(&self) -> Vec<Tensor> {
        self.loss_of_step.borrow().iter().map(Tensor::shallow_clone).collect()
    }

    /// Takes the terms and metrics gathered since the last call.
    pub fn take_recorded(&self) -> Recorded {
        self.recorded.take()
    }

    /// Takes how long the trainer has waited since the last call.
    pub fn take_times(&self) -> AgentTimes {
        self.times.take()
    }

    /// Takes the work of layers and optimizers since the last call; see [`Health::take_work`].
    pub fn take_work(&self) -> Work {
        self.health.take_work()
    }

    fn timed<R>(&self, part: impl FnOnce(&mut AgentTimes) -> &mut Duration, f: impl FnOnce() -> R) -> R {
        let began = Instant::now();
        let result = f();
        let mut times = self.times.get();
        *part(&mut times) += began.elapsed();
        self.times.set(times);
        result
    }

    /// What the optimizers keep.
    pub fn save_optimizers(&self) -> Saved {
        let optimizers = self.optimizers.borrow();
        let mut parts: Vec<_> = optimizers.keys().collect();
        parts.sort();
        parts.into_iter().flat_map(|p| optimizers[p].save("")).collect()
    }

    /// What the goal keeps beside its parameters.
    pub fn save_goal(&self) -> Result<Saved> {
        self.goal.borrow().save()
    }

    fn cell(&self) -> Result<&SharedCell> {
        match &self.cell {
            Some(cell) => Ok(cell),
            None => {
                bail!("asked for a transition before the cell was made: a trainer trains in `step` alone")
            }
        }
    }

    fn evaluate(&self, x: &Tensor) -> Result<Tensor> {
        let (cell, state_size) = (self.cell()?, self.state_size);
        let transition = CellTransition { cell, store: &self.store, state_size, sharing: self.sharing };
        self.goal.borrow_mut().transition(&transition, x)
    }

    fn names(&self, part: Part<'_>) -> Result<Vec<String>> {
        if part != Part::All {
            let known = self.optimizers.borrow().contains_key(part.name());
            ensure!(known, "the agent has no part '{}'", part.name());
            return Ok(vec![part.name().to_owned()]);
        }
        let mut names: Vec<_> = self.optimizers.borrow().keys().cloned().collect();
        names.sort();
        Ok(names)
    }

    /// Finds out which plugin made the numbers of the last transition not finite.
    fn blame(&self, x: &Tensor) -> efference_sdk::Error {
        let not_finite = |what: &str| {
            efference_sdk::Error::msg(format!(
                "{what} are not finite (NaN or infinity). Lower the learning rate, or set `clip` under [optimizer]"
            ))
        };
        if let Ok(false) = is_finite(x) {
            return not_finite("the numbers that the trainer hands to the cell");
        }
        for (name, p) in self.store.trained("").iter() {
            if let Ok(false) = is_finite(p) {
                return not_finite(&format!("the numbers of parameter '{name}'"));
            }
        }
        let again = self.health.search(|| tch::no_grad(|| self.evaluate(x)));
        again.err().unwrap_or_else(|| not_finite("the numbers of the new state"))
    }
}

impl Agent for Model {
    fn transition(&self, x: &Tensor) -> Result<Tensor> {
        let y = self.timed(|t| &mut t.transition, || self.evaluate(x))?;
        // On a GPU this would wait for it; there the numbers are checked where they come to the CPU anyway.
        if self.device == Device::Cpu && !is_finite(&y.f_detach()?)? {
            return Err(self.blame(&x.f_detach()?));
        }
        Ok(y)
    }

    fn loss(&self, input: &LossInput<'_>) -> Result<Loss> {
        let mut loss = Loss::default();
        self.timed(|t| &mut t.loss, || self.goal.borrow_mut().loss(input, &mut loss))?;
        let mut recorded = self.recorded.borrow_mut();
        if let Some(total) = tch::no_grad(|| total(&loss))? {
            recorded.add(LOSS, &total)?;
            self.loss_of_step.borrow_mut().push(total);
        }
        for (name, value) in &loss.terms {
            recorded.add(&format!("{LOSS}/{name}"), value)?;
        }
        for (name, value) in &loss.metrics {
            recorded.add(name, value)?;
        }
        Ok(loss)
    }

    fn network(&self, name: &str, x: &Tensor) -> Result<Tensor> {
        let networks = self.networks.borrow();
        match networks.get(name) {
            Some(network) => self
                .timed(|t| &mut t.network, || network.stack.forward(x))
                .with_context(|| format!("network '{name}'")),
            None => bail!("the agent has no network '{name}': ask for it where the trainer is made"),
        }
    }

    fn parameters(&self, part: Part<'_>) -> Result<Vec<(String, Tensor)>> {
        let names = self.names(part)?;
        let mut all = Vec::new();
        for name in names {
            let trained = self.store.trained(&format!("{name}."));
            all.extend(trained.iter().map(|(name, p)| (name.clone(), p.shallow_clone())));
        }
        Ok(all)
    }

    fn update(&self, part: Part<'_>) -> Result<()> {
        self.timed(
            |t| &mut t.update,
            || {
                for name in self.names(part)? {
                    if let Some(optimizer) = self.optimizers.borrow_mut().get_mut(&name) {
                        let updated = optimizer.update(&self.store.trained(&format!("{name}.")))?;
                        let bytes = updated * optimizer.bytes_a_number();
                        self.health.add_work(Work { bytes, ..Work::default() });
                    }
                }
                Ok(())
            },
        )
    }

    fn clear_gradients(&self, part: Part<'_>) -> Result<()> {
        clear_gradients(&self.parameters(part)?)
    }

    fn seed(&self, purpose: &str) -> u64 {
        derive_seed(derive_seed(self.seed, &format!("step {}", self.step.get())), purpose)
    }

    fn step(&self) -> u64 {
        self.step.get()
    }
}

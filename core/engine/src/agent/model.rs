//! The agent's parts, and what a step asks of them beside the trainer.
use super::groups::Optimizers;
use super::layers::Layers;
use super::loss_means::LossMeans;
use super::missing_gradients::MissingGradients;
use super::rehearsal::Rehearsal;
use super::roles::Roles;
use super::shared_cell::SharedCell;
use super::slow_cell::SlowCell;
use super::store::ParameterStore;
use super::transition::{CellTransition, GraphSharing};
use crate::plugins::{CallMonitor, OpCount, set_step_seed};
use efference_runs::Fingerprint;
use efference_sdk::{
    ActionGroup, ActionRequest, Comparison, Goal, Moment, Recurrence, Result, Stack, bail, derive_seed,
    ensure,
};
use std::cell::{Cell, Ref, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tch::{Device, Tensor};

/// The agent: everything but the trainer, which trains it.
pub struct Model {
    pub(super) seed: u64,
    pub(super) device: Device,
    pub(super) state_size: i64,
    pub(super) reserved: i64,
    pub(super) predicts: bool,
    /// Elements at the end of a state that are the cell's own.
    pub(super) memory: i64,
    pub(super) sharing: GraphSharing,
    pub(super) step: Cell<u64>,
    /// Whether updates change nothing.
    pub(super) frozen: Cell<bool>,
    pub(super) store: ParameterStore,
    pub(super) monitor: Arc<CallMonitor>,
    pub(super) layers: Layers,
    pub(super) goal: RefCell<Box<dyn Goal>>,
    pub(super) cell: Option<SharedCell>,
    pub(super) slow_cell: Option<SlowCell>,
    pub(super) networks: RefCell<BTreeMap<String, Network>>,
    pub(super) optimizers: RefCell<Optimizers>,
    pub(super) means: RefCell<LossMeans>,
    pub(super) missing_gradients: RefCell<MissingGradients>,
    /// What elements of an observation are for, if not all are both seen and predicted.
    pub(super) roles: Option<Roles>,
    /// The bits of the losses of this step.
    pub(super) loss_fingerprint: Cell<Fingerprint>,
    /// Of an agent that only rehearses.
    pub(super) rehearsal: Option<Arc<Rehearsal>>,
    times: Cell<AgentTimes>,
}

/// A network of the trainer's.
pub(super) struct Network {
    pub(super) stack: Stack,
    pub(super) learning_rate: Option<f64>,
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

/// The parts that [`Model::assemble`] puts together first.
pub(super) struct Parts {
    pub(super) seed: u64,
    pub(super) device: Device,
    pub(super) state_size: i64,
    pub(super) sharing: GraphSharing,
    pub(super) store: ParameterStore,
    pub(super) monitor: Arc<CallMonitor>,
    pub(super) layers: Layers,
    pub(super) goal: Box<dyn Goal>,
    pub(super) optimizers: Optimizers,
    pub(super) rehearsal: Option<Arc<Rehearsal>>,
}

impl Model {
    /// An agent without a cell yet.
    pub(super) fn assemble(parts: Parts) -> Result<Self> {
        let Parts { seed, device, state_size, sharing, store, monitor, layers, goal, optimizers, rehearsal } =
            parts;
        Ok(Model {
            seed,
            device,
            state_size,
            reserved: goal.reserved()?,
            predicts: goal.predicts()?,
            memory: 0,
            sharing,
            step: Cell::new(0),
            frozen: Cell::new(false),
            store,
            monitor,
            layers,
            goal: RefCell::new(goal),
            cell: None,
            slow_cell: None,
            networks: RefCell::default(),
            optimizers: RefCell::new(optimizers),
            means: RefCell::default(),
            missing_gradients: RefCell::default(),
            roles: None,
            loss_fingerprint: Cell::default(),
            rehearsal,
            times: Cell::default(),
        })
    }

    /// Names of parameter groups that have settings of their own and no parameters.
    pub fn unused_groups(&self) -> Vec<String> {
        self.optimizers.borrow().unused(&self.store).map(str::to_owned).collect()
    }

    /// Where it computes.
    pub fn device(&self) -> Device {
        self.device
    }

    /// Elements of a state.
    pub fn state_size(&self) -> i64 {
        self.state_size
    }

    /// Elements at the front of a state that the goal keeps for itself.
    pub fn reserved(&self) -> i64 {
        self.reserved
    }

    /// Whether the front of a state predicts the next observation.
    pub fn predicts(&self) -> bool {
        self.predicts
    }

    /// Its parameters and buffers.
    pub fn store(&self) -> &ParameterStore {
        &self.store
    }

    /// From now on the elements of an observation are for what this says.
    ///
    /// # Errors
    /// If a tensor cannot be made.
    pub(crate) fn set_roles(&mut self, comparison: &Comparison) -> Result<()> {
        self.roles = Roles::new(comparison, self.reserved, self.device)?;
        Ok(())
    }

    /// What the agent sees of the step's observation, (rows, length) with the reserved slots.
    ///
    /// # Errors
    /// If a tensor cannot be made.
    pub(crate) fn hide(&self, observation: Tensor) -> Result<Tensor> {
        match &self.roles {
            Some(roles) => roles.hide(observation),
            None => Ok(observation),
        }
    }

    /// From now on updates change nothing.
    pub fn freeze(&self) {
        self.frozen.set(true);
    }

    /// Says which step it is, from 0.
    pub fn set_step(&self, step: u64) {
        self.step.set(step);
        set_step_seed(self.step_seed());
    }

    /// What the seeds of this step are derived from.
    pub(super) fn step_seed(&self) -> u64 {
        derive_seed(self.seed, &format!("step {}", self.step.get()))
    }

    /// Actions for each state, (rows, width of the groups).
    pub fn act(
        &self,
        moment: &Moment<'_>,
        states: &Tensor,
        groups: &[ActionGroup],
        greedy: bool,
    ) -> Result<Tensor> {
        let request = ActionRequest { groups, seed: derive_seed(self.step_seed(), "act"), greedy };
        tch::no_grad(|| self.goal.borrow_mut().act(moment, states, &request))
    }

    /// What the goal adds to the reward, one number a row.
    pub fn bonus(&self, moment: &Moment<'_>) -> Result<Option<Vec<f32>>> {
        let bonus = tch::no_grad(|| self.goal.borrow_mut().bonus(moment))?;
        let numbers = bonus.map(|b| Vec::<f32>::try_from(&b.f_to_device(Device::Cpu)?));
        Ok(numbers.transpose()?)
    }

    /// Tells the goal which streams have ended, if any.
    pub fn end_streams(&self, ended: &[u64]) -> Result<()> {
        if ended.is_empty() { Ok(()) } else { self.goal.borrow_mut().ended(ended) }
    }

    /// Has fingerprints made of each step from now on; returns what they are of.
    pub fn record_fingerprints(&self) -> Vec<String> {
        let groups = self.optimizers.borrow_mut().record_fingerprints();
        let both = groups.iter().flat_map(|g| [format!("gradient of {g}"), format!("parameters of {g}")]);
        std::iter::once("loss".to_owned()).chain(both).collect()
    }

    /// The fingerprints of the last step.
    pub fn take_fingerprints(&self, to: &mut Vec<u32>) {
        to.push(self.loss_fingerprint.take().finish());
        self.optimizers.borrow_mut().take_fingerprints(to);
    }

    /// Takes the terms and metrics gathered since the last call.
    pub fn take_means(&self) -> LossMeans {
        self.means.take()
    }

    /// What [`take_means`](Self::take_means) would take now.
    pub fn means(&self) -> Ref<'_, LossMeans> {
        self.means.borrow()
    }

    /// Goes on with what was gathered before.
    pub fn restore_means(&self, means: LossMeans) {
        self.means.replace(means);
    }

    /// Takes how long the trainer has waited since the last call.
    pub fn take_times(&self) -> AgentTimes {
        self.times.take()
    }

    /// Takes the work of layers and optimizers since the last call; see [`CallMonitor::take_work`].
    pub fn take_work(&self) -> OpCount {
        self.monitor.take_work()
    }

    pub(super) fn timed<R>(
        &self,
        part: impl FnOnce(&mut AgentTimes) -> &mut Duration,
        f: impl FnOnce() -> R,
    ) -> R {
        let began = Instant::now();
        let result = f();
        let mut times = self.times.get();
        *part(&mut times) += began.elapsed();
        self.times.set(times);
        result
    }

    fn cell(&self) -> Result<&SharedCell> {
        match &self.cell {
            Some(cell) => Ok(cell),
            None => {
                bail!(
                    "asked for a transition where there is no cell: a trainer trains in `step` alone, and says in `input` how \
                     wide the cell's input is"
                )
            }
        }
    }

    /// How the cell's state recurs, if it does so unit by unit, with the full names of parameters.
    pub(super) fn cell_recurrence(&self) -> Result<Option<Recurrence>> {
        let Some(Recurrence { elements, parts, units }) = self.cell()?.lock().recurrence()? else {
            return Ok(None);
        };
        ensure!(
            elements.end <= self.state_size,
            "the cell says that the elements {elements:?} of its state recur, and a state has {}",
            self.state_size
        );
        let units = units.into_iter().map(|(name, units)| (format!("cell.{name}"), units)).collect();
        Ok(Some(Recurrence { elements, parts, units }))
    }

    /// The next states of `x`, by way of the goal.
    pub(super) fn evaluate(&self, x: &Tensor) -> Result<Tensor> {
        let y = self.evaluate_by(self.cell()?, x)?;
        if self.memory == 0 {
            return Ok(y);
        }
        // The cell's own memory carries no gradient from step to step.
        let front = self.state_size - self.memory;
        let memory = y.f_narrow(1, front, self.memory)?.f_detach()?;
        Ok(Tensor::f_cat(&[y.f_narrow(1, 0, front)?, memory], 1)?)
    }

    /// The same by a given cell.
    pub(super) fn evaluate_by(&self, cell: &SharedCell, x: &Tensor) -> Result<Tensor> {
        let (state_size, sharing) = (self.state_size, self.sharing);
        let transition = CellTransition { cell, store: &self.store, state_size, sharing };
        self.goal.borrow_mut().transition(&transition, x)
    }
}

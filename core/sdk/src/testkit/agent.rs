//! An agent in memory, for trainers.
use super::{MemoryStore, evaluate_paths};
use crate::{
    Agent, AnyCell, AnyGoal, GradPath, LayerFactory, Loss, LossInput, NetworkSpec, ParamStore, Params, Part,
    Result, Size, Stack, StackSpec, TrainerSetup, Transition, derive_seed, ensure,
};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use tch::{Device, Tensor};

/// Changes a parameter by its gradient: its full name, the parameter (without gradient tracking), the gradient.
pub type Rule = Box<dyn Fn(&str, &mut Tensor, &Tensor) -> Result<()>>;

/// Plain gradient descent.
pub fn sgd(learning_rate: f64) -> Rule {
    Box::new(move |_, parameter, gradient| {
        *parameter = parameter.f_sub_(&gradient.f_mul_scalar(learning_rate)?)?;
        Ok(())
    })
}

/// The agent that a host would make of a cell, a goal and layers, on the CPU, updated by a plain [`Rule`].
///
/// Make it, then the trainer, which makes its networks here, then the goal and the cell.
pub struct PlainAgent<'a> {
    /// All parameters: those of the parts `cell` and `goal`, and of the networks under their names.
    pub store: MemoryStore,
    /// What the goal was told last: the total of its loss and its metrics.
    pub last_loss: RefCell<Loss>,
    /// The number of the current step.
    pub step: Cell<u64>,
    layers: &'a dyn LayerFactory,
    state_size: i64,
    reserved: i64,
    rule: Rule,
    cell: Option<Box<dyn AnyCell>>,
    goal: Option<RefCell<Box<dyn AnyGoal>>>,
    networks: RefCell<BTreeMap<String, Stack>>,
}

impl<'a> PlainAgent<'a> {
    /// An agent without a cell and a goal yet.
    pub fn new(state_size: i64, reserved: i64, layers: &'a dyn LayerFactory, seed: u64, rule: Rule) -> Self {
        PlainAgent {
            store: MemoryStore::new(seed),
            last_loss: RefCell::default(),
            step: Cell::new(0),
            layers,
            state_size,
            reserved,
            rule,
            cell: None,
            goal: None,
            networks: RefCell::default(),
        }
    }

    /// Takes the cell, made with the parameters `cell` of [`store`](Self::store).
    pub fn set_cell(&mut self, cell: Box<dyn AnyCell>) {
        self.cell = Some(cell);
    }

    /// Takes the goal, made with the parameters `goal` of [`store`](Self::store).
    pub fn set_goal(&mut self, goal: Box<dyn AnyGoal>) {
        self.goal = Some(RefCell::new(goal));
    }

    /// What the goal does in this state.
    pub fn act(&self, state: &Tensor, length: i64) -> Result<Tensor> {
        self.goal()?.borrow_mut().act(state, length)
    }

    fn goal(&self) -> Result<&RefCell<Box<dyn AnyGoal>>> {
        self.goal.as_ref().ok_or_else(|| crate::Error::msg("the agent has no goal yet"))
    }

    fn cell(&self) -> Result<&dyn AnyCell> {
        self.cell.as_deref().ok_or_else(|| crate::Error::msg("the agent has no cell yet"))
    }

    fn prefix(part: Part<'_>) -> String {
        if part == Part::All { String::new() } else { format!("{}.", part.name()) }
    }
}

impl TrainerSetup for PlainAgent<'_> {
    fn state_size(&self) -> i64 {
        self.state_size
    }

    fn reserved(&self) -> i64 {
        self.reserved
    }

    fn device(&self) -> Device {
        Device::Cpu
    }

    fn network(&self, spec: &NetworkSpec<'_>) -> Result<()> {
        let stack = Stack::new(
            StackSpec {
                size: Size { ins: spec.ins, outs: spec.outs },
                layers: spec.layers,
                nonlinearity: spec.nonlinearity,
                zero_at_start: spec.zero_at_start,
            },
            self.layers,
            &Params::new(&self.store).scope(spec.name),
        )?;
        let before = self.networks.borrow_mut().insert(spec.name.to_owned(), stack);
        ensure!(before.is_none(), "the trainer made two networks '{}'", spec.name);
        Ok(())
    }
}

impl Transition for PlainAgent<'_> {
    fn evaluate(&self, x: &Tensor, paths: &[GradPath]) -> Result<Vec<Tensor>> {
        evaluate_paths(self.cell()?, x, paths, &Params::new(&self.store).scope("cell"))
    }

    fn outs(&self) -> i64 {
        self.state_size
    }
}

impl Agent for PlainAgent<'_> {
    fn transition(&self, x: &Tensor) -> Result<Tensor> {
        self.goal()?.borrow_mut().transition(self, x)
    }

    fn loss(&self, input: &LossInput<'_>) -> Result<Loss> {
        let mut loss = Loss::default();
        self.goal()?.borrow_mut().loss(input, &mut loss)?;
        let detached = |numbers: &[(String, Tensor)]| {
            numbers.iter().map(|(n, t)| (n.clone(), t.detach())).collect::<Vec<_>>()
        };
        *self.last_loss.borrow_mut() =
            Loss { terms: detached(&loss.terms), metrics: detached(&loss.metrics) };
        Ok(loss)
    }

    fn network(&self, name: &str, x: &Tensor) -> Result<Tensor> {
        match self.networks.borrow().get(name) {
            Some(network) => network.forward(x),
            None => crate::bail!("the trainer made no network '{name}'"),
        }
    }

    fn parameters(&self, part: Part<'_>) -> Result<Vec<(String, Tensor)>> {
        let all = self.store.list(&Self::prefix(part))?;
        Ok(all.into_iter().filter(|(_, t)| t.requires_grad()).collect())
    }

    fn update(&self, part: Part<'_>) -> Result<()> {
        let _no_grad = tch::no_grad_guard();
        for (name, mut parameter) in Agent::parameters(self, part)? {
            let gradient = parameter.f_grad()?;
            if gradient.defined() {
                (self.rule)(&name, &mut parameter, &gradient)?;
            }
        }
        self.clear_gradients(part)
    }

    fn clear_gradients(&self, part: Part<'_>) -> Result<()> {
        for (_, mut parameter) in Agent::parameters(self, part)? {
            if parameter.f_grad()?.defined() {
                parameter.zero_grad();
            }
        }
        Ok(())
    }

    fn seed(&self, purpose: &str) -> u64 {
        derive_seed(self.step.get(), purpose)
    }

    fn step(&self) -> u64 {
        self.step.get()
    }
}

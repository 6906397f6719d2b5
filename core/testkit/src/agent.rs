//! An agent in memory, for trainers.
use crate::{MemoryStore, evaluate_paths};
use efference_sdk::tch::{self, Device, Tensor};
use efference_sdk::{
    ActionRequest, Agent, AgentBuilder, Cell, Goal, GradPath, LayerFactory, Loss, LossInput, Moment,
    NetworkSpec, ParamStore, Params, Recurrence, Result, Saved, Size, Stack, StackSpec, Term, TracedLoss,
    TracedRow, TrainerSetup, Transition, autograd, bail, derive_seed, ensure, group, split_elements,
    weighted_traces,
};
use std::cell::{Cell as Slot, RefCell};
use std::collections::BTreeMap;

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
    /// All parameters: those of the groups `cell` and `goal`, and of the networks under their names.
    pub store: MemoryStore,
    /// The goal's last loss: its terms and metrics, without gradient.
    pub last_loss: RefCell<Loss>,
    /// The number of the current step.
    pub step: Slot<u64>,
    layers: &'a dyn LayerFactory,
    state_size: i64,
    rule: Rule,
    cell: Option<Box<dyn Cell>>,
    goal: Option<RefCell<Box<dyn Goal>>>,
    networks: RefCell<BTreeMap<String, Stack>>,
}

impl<'a> PlainAgent<'a> {
    /// An agent without a cell and a goal yet.
    pub fn new(state_size: i64, layers: &'a dyn LayerFactory, seed: u64, rule: Rule) -> Self {
        PlainAgent {
            store: MemoryStore::new(seed),
            last_loss: RefCell::default(),
            step: Slot::new(0),
            layers,
            state_size,
            rule,
            cell: None,
            goal: None,
            networks: RefCell::default(),
        }
    }

    /// What a trainer for this agent is made from, next to a goal that reserves `reserved` slots of the state.
    pub fn trainer_setup(&self, reserved: i64) -> TrainerSetup<'_> {
        let (state_size, device) = (self.state_size, Device::Cpu);
        TrainerSetup { state_size, reserved, device, spaces: None, agent: self }
    }

    /// Takes the cell, made with the parameters `cell` of [`store`](Self::store).
    pub fn set_cell(&mut self, cell: Box<dyn Cell>) {
        self.cell = Some(cell);
    }

    /// Takes the goal, made with the parameters `goal` of [`store`](Self::store).
    pub fn set_goal(&mut self, goal: Box<dyn Goal>) {
        self.goal = Some(RefCell::new(goal));
    }

    /// What the goal does in this state.
    pub fn act(&self, moment: &Moment<'_>, state: &Tensor, request: &ActionRequest<'_>) -> Result<Tensor> {
        self.goal()?.borrow_mut().act(moment, state, request)
    }

    /// What the goal saves beside its parameters.
    pub fn save_goal(&self) -> Result<Saved> {
        self.goal()?.borrow().save()
    }

    /// Lets the goal take up what [`save_goal`](Self::save_goal) returned.
    pub fn restore_goal(&self, saved: Saved) -> Result<()> {
        self.goal()?.borrow_mut().restore(saved)
    }

    fn goal(&self) -> Result<&RefCell<Box<dyn Goal>>> {
        self.goal.as_ref().ok_or_else(|| efference_sdk::Error::msg("the agent has no goal yet"))
    }

    fn cell(&self) -> Result<&dyn Cell> {
        self.cell.as_deref().ok_or_else(|| efference_sdk::Error::msg("the agent has no cell yet"))
    }
}

impl AgentBuilder for PlainAgent<'_> {
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

    fn slow_cell(&self, _: f64) -> Result<()> {
        bail!("this agent keeps no slow copy of its cell")
    }
}

impl Transition for PlainAgent<'_> {
    fn evaluate(&self, x: &Tensor, paths: &[GradPath]) -> Result<Vec<Tensor>> {
        evaluate_paths(self.cell()?, x, paths, &Params::new(&self.store).scope("cell"))
    }

    fn outs(&self) -> Result<i64> {
        Ok(self.state_size)
    }
}

impl Agent for PlainAgent<'_> {
    fn transition(&self, x: &Tensor) -> Result<Tensor> {
        self.goal()?.borrow_mut().transition(self, x)
    }

    fn slow_transition(&self, _: &Tensor) -> Result<Tensor> {
        bail!("this agent keeps no slow copy of its cell")
    }

    fn loss(&self, input: &LossInput<'_>) -> Result<Loss> {
        let loss = self.goal()?.borrow_mut().loss(input)?;
        let terms = loss.terms.iter().map(|t| Term {
            name: t.name.clone(),
            value: t.value.detach(),
            error: t.error.as_ref().map(Tensor::detach),
            traces: t.traces.clone(),
        });
        let metrics = loss.metrics.iter().map(|(name, t)| (name.clone(), t.detach()));
        *self.last_loss.borrow_mut() = Loss { terms: terms.collect(), metrics: metrics.collect() };
        Ok(loss)
    }

    fn traced_loss(&self, input: &LossInput<'_>) -> Result<Option<TracedLoss>> {
        let Some(loss) = self.goal()?.borrow_mut().traced_loss(input)? else { return Ok(None) };
        let terms = loss.traced.iter().map(|term| {
            let of_rows = |f: &dyn Fn(&TracedRow) -> f32| -> Result<Tensor> {
                Ok(Tensor::f_from_slice(&term.rows.iter().map(f).collect::<Vec<f32>>())?)
            };
            Ok(Term {
                name: term.name.clone(),
                value: of_rows(&|row| row.value)?,
                error: Some(of_rows(&|row| row.error)?),
                traces: term.rows.iter().map(|row| row.step).collect(),
            })
        });
        let terms = terms.collect::<Result<Vec<_>>>()?;
        let metrics = loss.numbers.iter().map(|(name, number)| (name.clone(), Tensor::from(*number)));
        *self.last_loss.borrow_mut() = Loss { terms, metrics: metrics.collect() };
        Ok(Some(loss))
    }

    fn may_replay(&self) -> Result<()> {
        ensure!(self.goal()?.borrow().replayable()?, "the goal keeps something from moment to moment");
        Ok(())
    }

    fn replayed_loss(&self, input: &LossInput<'_>) -> Result<Loss> {
        self.goal()?.borrow_mut().loss(input)
    }

    fn traced_parameters(&self, term: &str) -> Result<Vec<String>> {
        let names = self.goal()?.borrow().traced_parameters(term)?;
        Ok(names.into_iter().map(|name| format!("{}.{name}", group::GOAL)).collect())
    }

    fn network(&self, name: &str, x: &Tensor) -> Result<Tensor> {
        match self.networks.borrow().get(name) {
            Some(network) => network.forward(x),
            None => bail!("the trainer made no network '{name}'"),
        }
    }

    fn parameters(&self, group: &str) -> Result<Saved> {
        let all = self.store.list("")?;
        Ok(all.into_iter().filter(|(n, t)| t.requires_grad() && group::contains(group, n)).collect())
    }

    fn update(&self, group: &str) -> Result<()> {
        let _no_grad = tch::no_grad_guard();
        for (name, mut parameter) in Agent::parameters(self, group)? {
            let gradient = parameter.f_grad()?;
            if gradient.defined() {
                (self.rule)(&name, &mut parameter, &gradient)?;
            }
        }
        self.clear_gradients(group)
    }

    fn descend(&self, _: &str, group: &str, gradients: &[Option<&Tensor>]) -> Result<()> {
        let _no_grad = tch::no_grad_guard();
        let parameters = Agent::parameters(self, group)?;
        ensure!(
            parameters.len() == gradients.len(),
            "the group '{group}' has {} parameters, and {} gradients were passed",
            parameters.len(),
            gradients.len()
        );
        for ((name, mut parameter), gradient) in parameters.into_iter().zip(gradients) {
            if let Some(gradient) = gradient {
                (self.rule)(&name, &mut parameter, gradient)?;
            }
        }
        Ok(())
    }

    fn follow(
        &self,
        name: &str,
        group: &str,
        _: f64,
        errors: &[f64],
        traces: &[Option<&Tensor>],
        _: &[Option<&Tensor>],
    ) -> Result<()> {
        let mut sums = weighted_traces(errors, traces)?;
        let parameters = Agent::parameters(self, group)?;
        if let ([one], true) = (&sums[..], parameters.len() > 1) {
            let parameters: Vec<&Tensor> = parameters.iter().map(|(_, p)| p).collect();
            sums = match one {
                Some(all) => split_elements(all, &parameters)?.into_iter().map(Some).collect(),
                None => parameters.iter().map(|_| None).collect(),
            };
        }
        self.descend(name, group, &sums.iter().map(Option::as_ref).collect::<Vec<_>>())
    }

    fn clear_gradients(&self, group: &str) -> Result<()> {
        for (_, parameter) in Agent::parameters(self, group)? {
            autograd::clear_gradient(&parameter);
        }
        Ok(())
    }

    fn seed(&self, purpose: &str) -> Result<u64> {
        Ok(derive_seed(self.step.get(), purpose))
    }

    fn step(&self) -> Result<u64> {
        Ok(self.step.get())
    }

    fn memory(&self) -> Result<i64> {
        self.cell()?.memory()
    }

    fn recurrence(&self) -> Result<Option<Recurrence>> {
        let Some(Recurrence { elements, parts, units }) = self.cell()?.recurrence()? else { return Ok(None) };
        let units = units.into_iter().map(|(name, units)| (format!("cell.{name}"), units)).collect();
        Ok(Some(Recurrence { elements, parts, units }))
    }
}

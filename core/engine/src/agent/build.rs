//! Builds an agent and its trainer: goal, trainer with its networks, then the cell for the width of input that the
//! trainer says.
use super::config::{AgentConfig, PluginConfig};
use super::counted::Rehearsed;
use super::groups::Optimizers;
use super::layers::Layers;
use super::model::{Model, Network, Parts};
use super::rehearsal::Rehearsal;
use super::shared_cell::SharedCell;
use super::slow_cell::{self, SlowCell};
use super::store::{MOST_COUNTED, ParameterStore};
use super::with_bonus::{self, WithBonus};
use crate::plugins::CallMonitor;
use efference_sdk::{
    AgentBuilder, Cell, CellSetup, Error, Goal, GoalSetup, InputLayout, NetworkSpec, Params, Result,
    ResultExt, Size, Stack, StackSpec, Trainer, TrainerSetup, bail, ensure,
};
use std::cell::Cell as Slot;
use std::fmt::Display;
use std::sync::Arc;
use tch::Device;

/// What a trainer asks of the agent while it is made.
struct Builder<'a> {
    model: &'a Model,
    slow_decay: &'a Slot<Option<f64>>,
}

impl AgentBuilder for Builder<'_> {
    fn network(&self, spec: &NetworkSpec<'_>) -> Result<()> {
        let (model, name) = (self.model, spec.name);
        let taken = ["", "cell", "goal", with_bonus::SCOPE, slow_cell::SCOPE];
        ensure!(
            !taken.contains(&name) && !name.contains('.'),
            "a network cannot be called '{name}'; choose a name without dots, other than 'cell', 'goal', 'bonus' and \
             'slow'"
        );
        ensure!(!model.networks.borrow().contains_key(name), "there is a network '{name}' already");
        let stack = StackSpec {
            size: Size { ins: spec.ins, outs: spec.outs },
            layers: spec.layers,
            nonlinearity: spec.nonlinearity,
            zero_at_start: spec.zero_at_start,
        };
        let stack = Stack::new(stack, &model.layers, &Params::new(&model.store).scope(name))
            .with_context(|| format!("network '{name}'"))?;
        let network = Network { stack, learning_rate: spec.learning_rate };
        model.networks.borrow_mut().insert(name.to_owned(), network);
        Ok(())
    }

    fn slow_cell(&self, decay: f64) -> Result<()> {
        ensure!((0.0..=1.0).contains(&decay), "the decay of a slow cell is {decay}, and must be in 0…1");
        if self.slow_decay.replace(Some(decay)).is_some() {
            bail!("one slow copy of the cell is kept, and two were asked for");
        }
        Ok(())
    }
}

/// Fails if a state has no room for what a stream, so called, observes and does.
pub(crate) fn check_room(
    state_size: i64,
    reserved: i64,
    stream: impl Display,
    (observation, actions): (usize, usize),
) -> Result<()> {
    let needed = (reserved as usize).saturating_add(observation).saturating_add(actions);
    if needed <= state_size as usize {
        return Ok(());
    }
    let message = format!(
        "`state.size` is {state_size}: {stream} observes {observation} values and wants {actions} actions, which with the \
         {reserved} reserved slots of the goal need a state of {needed}. Set `size` under [state] to {needed} or more"
    );
    Err(Error::msg(message).in_option("state.size"))
}

/// Checks what a plugin returned: an error is its own.
fn by(config: &PluginConfig, check: impl FnOnce() -> Result<()>) -> Result<()> {
    check().map_err(|e| e.in_plugin(&config.plugin.id()))
}

impl Model {
    /// Builds the agent and its trainer.
    pub fn build(config: &AgentConfig<'_>) -> Result<(Model, Box<dyn Trainer>)> {
        Model::build_with(config, None)
    }

    /// Builds an agent on the CPU that makes steps without computing its layers or changing its parameters, which take no
    /// memory: to find out what the real one takes.
    pub(crate) fn rehearse(config: &AgentConfig<'_>) -> Rehearsed {
        let rehearsal = Arc::new(Rehearsal::default());
        let config = AgentConfig { device: Device::Cpu, ..config.clone() };
        match Model::build_with(&config, Some(rehearsal.clone())) {
            Ok((model, trainer)) => {
                model.freeze();
                Rehearsed::Built(Box::new(model), trainer)
            }
            Err(_) if rehearsal.overflowed() => Rehearsed::TooManyTensors(MOST_COUNTED),
            Err(error) => Rehearsed::Failed(error, rehearsal.added()),
        }
    }

    fn build_with(
        config: &AgentConfig<'_>,
        rehearsal: Option<Arc<Rehearsal>>,
    ) -> Result<(Model, Box<dyn Trainer>)> {
        let AgentConfig { seed, device, state_size, spaces, .. } = *config;
        let monitor = Arc::new(CallMonitor::default());
        let store = match &rehearsal {
            None => ParameterStore::new(seed, device),
            Some(rehearsal) => ParameterStore::counting(seed, rehearsal.clone()),
        };
        let layers = Layers::new(config.layer.clone(), monitor.clone(), rehearsal.clone());
        let make_goal = |config: &PluginConfig, scope: &str| {
            let params = Params::new(&store).scope(scope);
            let setup = GoalSetup { state_size, spaces, layers: &layers, params };
            config.plugin.create::<dyn Goal>(&config.options, &setup, &monitor)
        };
        let goal = make_goal(&config.goal, "goal")?;
        if goal.is_bonus()? {
            let message = format!(
                "{} adds to the reward, and chooses no actions: name it under [bonus], and another goal under [goal]",
                config.goal.plugin
            );
            return Err(Error::msg(message).in_option("goal.plugin"));
        }
        let reserved = goal.reserved()?;
        by(&config.goal, || {
            ensure!(
                (0..state_size).contains(&reserved),
                "reserves {reserved} slots of a state of {state_size}; enlarge state.size"
            );
            Ok(())
        })?;
        let goal = match &config.bonus {
            None => goal,
            Some(config) => {
                let bonus = make_goal(config, with_bonus::SCOPE)?;
                if !bonus.is_bonus()? {
                    // The goal may be the same plugin, so that its name does not tell which section it is.
                    let message = format!(
                        "{} is no bonus: name another plugin under [bonus], or leave the section out",
                        config.plugin
                    );
                    return Err(Error::msg(message).in_option("bonus.plugin"));
                }
                by(config, || {
                    let own = bonus.reserved()?;
                    ensure!(
                        own == 0,
                        "reserves {own} slots of a state, which only a goal may do that stands alone"
                    );
                    Ok(())
                })?;
                Box::new(WithBonus::new(goal, bonus)?)
            }
        };
        if let Some(spaces) = spaces {
            check_room(state_size, reserved, "a stream", (spaces.observation, spaces.action_width()))?;
        }
        let optimizers = Optimizers::new(Vec::new(), &[], config.optimizer);
        let sharing = config.sharing;
        let parts =
            Parts { seed, device, state_size, sharing, store, monitor, layers, goal, optimizers, rehearsal };
        let mut model = Model::assemble(parts)?;

        let slow_decay = Slot::new(None);
        let mut trainer = {
            let agent = &Builder { model: &model, slow_decay: &slow_decay };
            let setup = TrainerSetup { state_size, reserved, device, spaces, agent };
            let trainer = &config.trainer;
            trainer.plugin.create::<dyn Trainer>(&trainer.options, &setup, &model.monitor)?
        };
        let input = trainer.input()?;
        by(&config.trainer, || {
            ensure!(input.width >= 0, "passes an input of {} features to the cell", input.width);
            ensure!(
                input.width > 0 || slow_decay.get().is_none(),
                "asks for a slow copy of a cell that it does not use"
            );
            Ok(())
        })?;
        if input.width > 0 {
            let cell = model.make_cell(config, &input, "")?;
            model.memory = cell.memory()?;
            by(&config.cell, || {
                ensure!(
                    (0..state_size - reserved).contains(&model.memory),
                    "has a memory of {} elements in a state of {state_size}; enlarge state.size",
                    model.memory
                );
                Ok(())
            })?;
            model.cell = Some(SharedCell::new(cell));
        }
        if let Some(decay) = slow_decay.get() {
            let cell = SharedCell::new(model.make_cell(config, &input, slow_cell::SCOPE)?);
            model.slow_cell = Some(SlowCell::new(cell, decay, &model.store)?);
        }

        let mut made = vec![("cell".to_owned(), None), ("goal".to_owned(), None)];
        made.extend(config.bonus.iter().map(|_| (with_bonus::SCOPE.to_owned(), None)));
        made.extend(model.networks.borrow().iter().map(|(name, w)| (name.clone(), w.learning_rate)));
        *model.optimizers.borrow_mut() = Optimizers::new(config.groups.clone(), &made, config.optimizer);
        trainer.begin(&model)?;
        Ok((model, trainer))
    }

    /// Makes the cell, or with a scope a copy of it that is not trained.
    fn make_cell(&self, config: &AgentConfig<'_>, input: &InputLayout, scope: &str) -> Result<Box<dyn Cell>> {
        let params = Params::new(&self.store);
        let params = match scope {
            "" => params.scope("cell"),
            scope => params.scope(scope).scope("cell").frozen(),
        };
        let setup = CellSetup {
            size: Size { ins: input.width, outs: self.state_size },
            observation: input.observation.clone(),
            action: input.action.clone(),
            layers: &self.layers,
            params,
        };
        let cell = &config.cell;
        cell.plugin.create::<dyn Cell>(&cell.options, &setup, &self.monitor)
    }
}

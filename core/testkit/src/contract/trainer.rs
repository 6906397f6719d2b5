//! What must be true of every trainer: it trains a small cell that predicts a small world.
use super::process::check_growth;
use super::units_cell::UnitsCell;
use super::{Check, MADE_HELP, MADE_NAME, Verdict};
use crate::{Happening, LayersOf, Matrix, PlainAgent, Predicts, Rule, StackCell, sgd, story};
use efference_sdk::tch::{Kind, Tensor};
use efference_sdk::{
    Batch, Cell, Goal, LayerFactory, Loss, LossInput, Nonlinearity, ParamStore, Params, Random, Result,
    ResultExt, Size, Stack, StackSpec, StepType, Trainer, TrainerSetup, ensure,
};
use std::cell::Cell as Slot;
use std::rc::Rc;

/// Makes trainers.
pub type MakeTrainer = Box<dyn Fn(&TrainerSetup<'_>) -> Result<Box<dyn Trainer>>>;

/// Trainers of one plugin.
pub struct Trainers(MakeTrainer);

/// Elements of a state.
const STATE: i64 = 12;
/// Elements of an observation.
const OBSERVED: usize = 4;

impl Trainers {
    /// Those that this makes.
    pub fn new(make: impl Fn(&TrainerSetup<'_>) -> Result<Box<dyn Trainer>> + 'static) -> Self {
        Trainers(Box::new(make))
    }

    /// Calls `f` with an agent that predicts, updated by `rule`, and a trainer of it.
    fn with<R>(&self, seed: u64, rule: Rule, f: impl FnOnce(&mut Trained<'_>) -> Result<R>) -> Result<R> {
        let layers = LayersOf::<Matrix>::new("{}")?;
        let (agent, mut trainer) = self.make(seed, rule, &layers)?;
        trainer.begin(&agent).context("when the agent was complete")?;
        f(&mut Trained { agent: &agent, trainer: &mut *trainer })
    }

    fn make<'l>(
        &self,
        seed: u64,
        rule: Rule,
        layers: &'l dyn LayerFactory,
    ) -> Result<(PlainAgent<'l>, Box<dyn Trainer>)> {
        let mut agent = PlainAgent::new(STATE, layers, seed, rule);
        let trainer = (self.0)(&agent.trainer_setup(0)).context("when it was made")?;
        let layout = trainer.input()?;
        let width = layout.width;
        for (what, range) in [("observation", &layout.observation), ("action", &layout.action)] {
            ensure!(
                range.is_empty() || (0 <= range.start && range.end <= width),
                "its input has {width} elements, and the {what} is said to stand at {range:?}"
            );
        }
        match width {
            0 => agent.set_goal(Box::new(Echo::new(&Params::new(&agent.store).scope("goal"))?)),
            // What stands beside the state is the cell's to see; a trainer that passes the state alone gets a cell for that.
            width if width > STATE => {
                let size = Size { ins: width, outs: STATE };
                agent.set_cell(Box::new(UnitsCell::new(size, &Params::new(&agent.store).scope("cell"))?));
                agent.set_goal(Box::new(Predicts));
            }
            _ => {
                agent.set_cell(plain(width, layers, &agent)?);
                agent.set_goal(Box::new(Predicts));
            }
        }
        Ok((agent, trainer))
    }
}

fn plain(width: i64, layers: &dyn LayerFactory, agent: &PlainAgent<'_>) -> Result<Box<dyn Cell>> {
    let size = Size { ins: width, outs: STATE };
    let spec = StackSpec { size, layers: 1, nonlinearity: Nonlinearity::Softsign, zero_at_start: false };
    Ok(Box::new(StackCell(Stack::new(spec, layers, &Params::new(&agent.store).scope("cell"))?)))
}

/// A goal for trainers that use no cell: it learns to say again what is observed, and so needs no state.
struct Echo(Tensor);

impl Echo {
    fn new(params: &Params<'_>) -> Result<Self> {
        Ok(Echo(params.normal("weight", &[OBSERVED as i64, OBSERVED as i64], 0.1)?))
    }
}

impl Goal for Echo {
    fn loss(&mut self, input: &LossInput<'_>) -> Result<Loss> {
        let seen = input.moment.observation.f_nan_to_num(0.0, None, None)?;
        let squares = seen.f_matmul(&self.0)?.f_sub(&seen)?.f_square()?;
        let mut loss = Loss::default();
        loss.term("echo", squares.f_sum(Kind::Float)?);
        Ok(loss)
    }
}

/// A trainer and its agent.
struct Trained<'a> {
    agent: &'a PlainAgent<'a>,
    trainer: &'a mut dyn Trainer,
}

impl Trained<'_> {
    fn step(&mut self, now: &Happening) -> Result<Tensor> {
        let moment = now.moment();
        let batch = Batch { moment: moment.get(), started: &now.started, ended: &now.ended };
        let states = self.trainer.step(self.agent, &batch)?;
        let expected = [now.active.len() as i64, STATE];
        ensure!(
            states.size() == expected,
            "it returned states of shape {:?} where {expected:?} was expected",
            states.size()
        );
        ensure!(
            states.kind() == Kind::Float,
            "it returned states of kind {:?} where Float was expected",
            states.kind()
        );
        ensure!(
            states.f_sum(Kind::Double)?.f_double_value(&[])?.is_finite(),
            "the new states are not finite (NaN or infinity)"
        );
        self.agent.step.set(self.agent.step.get() + 1);
        Ok(states)
    }

    fn play(&mut self, story: &[Happening]) -> Result<Vec<Tensor>> {
        let numbered = (0..).zip(story);
        numbered.map(|(number, now)| self.step(now).with_context(|| format!("in step {number}"))).collect()
    }
}

const MADE: Check<Trainers> = Check {
    name: MADE_NAME,
    help: MADE_HELP,
    run: |trainers| trainers.with(1, sgd(0.01), |_| Ok(Verdict::Holds)),
};

const STEPS: Check<Trainers> = Check {
    name: "it returns a finite state for each active stream, as streams begin, sit out, end and come back",
    help: "States are kept by stream number: those in `ended` are dropped, new ones begin at zero; missing values are NaN.",
    run: |trainers| {
        let story = story(&mut Random::new(3), 60, OBSERVED);
        trainers.with(1, sgd(0.01), |trained| trained.play(&story))?;
        Ok(Verdict::Holds)
    },
};

/// A series that a recurrent cell learns: one stream, each element of which goes round in a period of its own.
fn series(steps: usize) -> Vec<Happening> {
    let value = |step: usize, element: usize| ((step as f32) * 0.3 + element as f32).sin() * 0.8;
    (0..steps)
        .map(|step| Happening {
            active: vec![0],
            step_types: vec![StepType::MIDDLE],
            started: if step == 0 { vec![0] } else { vec![] },
            ended: vec![],
            observation: vec![(0..OBSERVED).map(|element| value(step, element)).collect()],
        })
        .collect()
}

const LEARNS: Check<Trainers> = Check {
    name: "what it trains learns: parameters change, and the loss of a small series falls",
    help: "Backpropagate the goal's loss to the transition that made the state, then `agent.update`.",
    run: |trainers| {
        let updates = Rc::new(Slot::new(0_u64));
        let counted = updates.clone();
        let descend = sgd(0.03);
        let rule: Rule = Box::new(move |name, parameter, gradient| {
            counted.set(counted.get() + u64::from(["cell.", "goal."].iter().any(|of| name.starts_with(of))));
            descend(name, parameter, gradient)
        });
        let losses = trainers.with(1, rule, |trained| {
            let mut losses = Vec::new();
            for now in series(900) {
                let _ = trained.step(&now)?;
                let loss = trained.agent.last_loss.borrow();
                losses.push(loss.total()?.map_or(Ok(f64::NAN), |total| total.f_double_value(&[]))?);
            }
            Ok(losses)
        })?;
        ensure!(updates.get() > 0, "no parameter of cell and goal was updated in {} steps", losses.len());
        let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
        let (first, last) = (mean(&losses[5..105]), mean(&losses[losses.len() - 100..]));
        ensure!(
            last < 0.9 * first,
            "the loss was {first:.4} in the first 100 steps, and is {last:.4} in the last 100 of {}",
            losses.len()
        );
        Ok(Verdict::With(format!("{first:.3} → {last:.3}")))
    },
};

const SEEDED: Check<Trainers> = Check {
    name: "done again it gives the same states, bit for bit",
    help: "Draw random numbers from `agent.seed(PURPOSE)` or `step_seed`: no generator of your own, no clock.",
    run: |trainers| {
        let story = story(&mut Random::new(3), 40, OBSERVED);
        let once = trainers.with(1, sgd(0.01), |trained| trained.play(&story))?;
        let again = trainers.with(1, sgd(0.01), |trained| trained.play(&story))?;
        same(&once, &again)?;
        Ok(Verdict::Holds)
    },
};

const RESTORED: Check<Trainers> = Check {
    name: "saved and restored between two steps it goes on bit for bit",
    help: "`save` returns all that the next step depends on: states, traces, counters. Say `saves_exactly` where that is not so yet.",
    run: |trainers| {
        let story = story(&mut Random::new(3), 80, OBSERVED);
        // From there on it is saved at the first moment at which it says that nothing is lost.
        const EARLIEST: usize = 20;
        let layers = LayersOf::<Matrix>::new("{}")?;
        let (first, mut trainer) = trainers.make(1, sgd(0.01), &layers)?;
        trainer.begin(&first)?;
        let mut at = EARLIEST;
        let mut trained = Trained { agent: &first, trainer: &mut *trainer };
        trained.play(&story[..at])?;
        while !trained.trainer.saves_exactly()? {
            ensure!(at < 50, "it never says that it could be saved exactly, in {at} steps");
            let _ = trained.step(&story[at])?;
            at += 1;
        }
        let (second, mut restored) = trainers.make(2, sgd(0.01), &layers)?;
        for (name, value) in first.store.list("")? {
            second.store.set(&name, &value)?;
        }
        second.step.set(first.step.get());
        restored.begin(&second)?;
        restored.restore(trained.trainer.save()?)?;
        let expected = trained.play(&story[at..])?;
        let found = Trained { agent: &second, trainer: &mut *restored }.play(&story[at..])?;
        same(&expected, &found)?;
        Ok(Verdict::With(format!("after {at} steps")))
    },
};

fn same(expected: &[Tensor], found: &[Tensor]) -> Result<()> {
    for (number, (a, b)) in expected.iter().zip(found).enumerate() {
        ensure!(
            a.equal(b),
            "the states differ by {:.3e} after {} steps more",
            a.f_sub(b)?.f_abs()?.f_max()?.f_double_value(&[])?,
            number + 1
        );
    }
    Ok(())
}

const MEMORY: Check<Trainers> = Check {
    name: "memory does not grow over 500 steps",
    help: "Something is kept from step to step: a state with its graph, or streams that have ended.",
    run: |trainers| {
        let story = story(&mut Random::new(3), 100, OBSERVED);
        trainers.with(1, sgd(0.001), |trained| {
            check_growth(500, |turn| trained.step(&story[turn % 100]).map(drop))
        })?;
        Ok(Verdict::Holds)
    },
};

/// What must be true of every trainer.
pub const TRAINER_CHECKS: &[Check<Trainers>] = &[MADE, STEPS, LEARNS, SEEDED, RESTORED, MEMORY];

//! What must be true of every goal.
use super::moments::{moments, spaces};
use super::process::check_growth;
use super::{Check, MADE_HELP, MADE_NAME, Verdict};
use crate::{LayersOf, Matrix, MemoryStore, OwnedMoment, PlainTransition, StackCell};
use efference_sdk::tch::{self, Kind, Tensor};
use efference_sdk::{
    ActionRequest, Goal, GoalSetup, Loss, LossInput, Nonlinearity, ParamStore, Params, Random, Result,
    ResultExt, Size, Stack, StackSpec, autograd, bail, ensure,
};

/// Makes goals.
pub type MakeGoal = Box<dyn Fn(&GoalSetup<'_>) -> Result<Box<dyn Goal>>>;

/// Goals of one plugin.
pub struct Goals(MakeGoal);

/// Elements of a state.
const STATE: i64 = 32;

impl Goals {
    /// Those that this makes.
    pub fn new(make: impl Fn(&GoalSetup<'_>) -> Result<Box<dyn Goal>> + 'static) -> Self {
        Goals(Box::new(make))
    }

    fn make(&self, seed: u64) -> Result<Played> {
        let store = MemoryStore::new(seed);
        let layers = LayersOf::<Matrix>::new("{}")?;
        let spaces = spaces();
        let params = Params::new(&store);
        let setup = GoalSetup { state_size: STATE, spaces: Some(&spaces), layers: &layers, params };
        let goal = (self.0)(&setup).context("when it was made")?;
        let (reserved, is_bonus) = (goal.reserved()?, goal.is_bonus()?);
        ensure!(
            (0..STATE).contains(&reserved),
            "it reserves {reserved} slots of a state of {STATE}, and leaves none for what is observed"
        );
        let random = Random::new(11);
        Ok(Played { goal, store, reserved: if is_bonus { 0 } else { reserved }, is_bonus, random, unroll: 0 })
    }
}

/// A goal, and where in its life it is.
struct Played {
    goal: Box<dyn Goal>,
    store: MemoryStore,
    reserved: i64,
    is_bonus: bool,
    random: Random,
    unroll: u64,
}

impl Played {
    /// Its bonus, and then its loss at this moment, with states that carry gradient.
    fn loss(&mut self, moment: &OwnedMoment) -> Result<(Loss, Tensor)> {
        if let Some(bonus) = self.goal.bonus(&moment.get())? {
            let rows = [moment.streams.len() as i64];
            ensure!(
                bonus.size() == rows,
                "it returned a bonus of shape {:?} for {} rows",
                bonus.size(),
                rows[0]
            );
            ensure!(is_finite(&bonus)?, "it returned a bonus that is not finite (NaN or infinity)");
        }
        let rows = moment.streams.len() as i64;
        let state =
            self.random.f_normal(&[rows, STATE], 0.5)?.f_clamp(-1.0, 1.0)?.f_set_requires_grad(true)?;
        let next = self.random.f_normal(&[rows, STATE], 0.5)?.f_clamp(-1.0, 1.0)?;
        let observed = moment.observation.size()[1];
        let front = state.f_detach()?.f_narrow(1, 0, observed)?;
        let seen =
            front.f_where_self(&moment.observation.f_isnan()?, &moment.observation)?.f_clamp(-1.0, 1.0)?;
        let target = Tensor::f_cat(&[seen, state.f_detach()?.f_narrow(1, observed, STATE - observed)?], 1)?;
        let moment = moment.get();
        self.unroll += 1;
        let input = LossInput {
            moment: &moment,
            state: &state,
            target: &target,
            next: Some(&next),
            unroll: self.unroll,
        };
        let loss = self.goal.loss(&input)?;
        check_terms(&loss, rows as usize)?;
        Ok((loss, state))
    }

    /// A step as the host makes it: bonus and loss, backward pass, action. Returns the loss and the actions.
    fn step(&mut self, moment: &OwnedMoment) -> Result<(f64, Option<Tensor>)> {
        let (loss, _) = self.loss(moment)?;
        let total = loss.total()?;
        if let Some(total) = total.as_ref().filter(|total| total.requires_grad()) {
            autograd::backward(&[(total, &total.f_ones_like()?)])?;
        }
        self.store.clear_gradients();
        let actions = if self.is_bonus { None } else { Some(self.act(moment, false)?) };
        Ok((total.map_or(Ok(0.0), |total| total.f_double_value(&[]))?, actions))
    }

    fn act(&mut self, moment: &OwnedMoment, greedy: bool) -> Result<Tensor> {
        let rows = moment.streams.len() as i64;
        let state = self.random.f_normal(&[rows, STATE], 0.5)?;
        let groups = spaces().actions;
        let request = ActionRequest { groups: &groups, seed: 17, greedy };
        let actions = tch::no_grad(|| self.goal.act(&moment.get(), &state, &request))?;
        let expected = [rows, request.width()];
        ensure!(
            actions.size() == expected,
            "it returned actions of shape {:?} where {expected:?} were asked for",
            actions.size()
        );
        ensure!(is_finite(&actions)?, "it chose actions that are not finite (NaN or infinity)");
        Ok(actions)
    }
}

fn is_finite(t: &Tensor) -> Result<bool> {
    Ok(t.f_sum(Kind::Double)?.f_double_value(&[])?.is_finite())
}

fn check_terms(loss: &Loss, rows: usize) -> Result<()> {
    for term in &loss.terms {
        let (name, value) = (&term.name, &term.value);
        let elements = value.numel();
        ensure!(
            elements == 1 || (elements == rows && value.dim() == 1),
            "the loss term '{name}' has {elements} elements instead of one, or one for each of {rows} rows"
        );
        ensure!(
            matches!(value.kind(), Kind::Float | Kind::Double),
            "the loss term '{name}' is of kind {:?}; it must be Float or Double",
            value.kind()
        );
        ensure!(is_finite(value)?, "the loss term '{name}' is not finite (NaN or infinity)");
        if let Some(error) = &term.error {
            ensure!(
                error.size() == value.size() && !error.requires_grad(),
                "the error of the loss term '{name}' must have the shape of its value, and no gradient"
            );
        }
    }
    Ok(())
}

const MADE: Check<Goals> =
    Check { name: MADE_NAME, help: MADE_HELP, run: |goals| goals.make(1).map(|_| Verdict::Holds) };

const LOSSES: Check<Goals> = Check {
    name: "its losses are finite, of the right shape, and actions as many as asked for, over episodes that end",
    help: "A term is one number, or one a row, in float32; missing values (NaN) are to be masked before they are summed.",
    run: |goals| {
        let mut played = goals.make(1)?;
        for (number, moment) in moments(40, played.reserved, 3)?.iter().enumerate() {
            played.step(moment).with_context(|| format!("in step {number}"))?;
        }
        Ok(Verdict::Holds)
    },
};

const TRAINS: Check<Goals> = Check {
    name: "its loss has a gradient, in the states or in its own parameters",
    help: "A term without gradient trains nothing: is there a `detach` or `no_grad` on the way from the state to it?",
    run: |goals| {
        let mut played = goals.make(1)?;
        let mut without = Vec::new();
        for moment in moments(60, played.reserved, 3)? {
            let (loss, _) = played.loss(&moment)?;
            for term in &loss.terms {
                match term.value.requires_grad() {
                    true => without.retain(|name| *name != term.name),
                    false if !without.contains(&term.name) => without.push(term.name.clone()),
                    false => {}
                }
            }
            if loss.terms.iter().any(|term| term.value.requires_grad()) && without.is_empty() {
                return Ok(Verdict::Holds);
            }
        }
        match &without[..] {
            [] => bail!("there was no term in 60 steps"),
            names => bail!("the loss term '{}' never had a gradient in 60 steps", names.join("', '")),
        }
    },
};

const GRAPHS: Check<Goals> = Check {
    name: "no graph is carried from one loss to the next",
    help: "What is kept from step to step must be detached: the graph of a loss is gone once it was backpropagated.",
    run: |goals| {
        let mut played = goals.make(1)?;
        for (number, moment) in moments(4, played.reserved, 3)?.iter().enumerate() {
            let (loss, _) = played.loss(moment)?;
            if let Some(total) = loss.total()?.filter(|total| total.requires_grad()) {
                autograd::backward(&[(&total, &total.f_ones_like()?)])
                    .with_context(|| format!("in step {number}"))?;
            }
            played.store.clear_gradients();
        }
        Ok(Verdict::Holds)
    },
};

const SEEDED: Check<Goals> = Check {
    name: "the same seed gives the same actions and losses",
    help: "Actions are drawn from `request.seed`, all else from `step_seed`: no generator of your own, no clock.",
    run: |goals| {
        let (mut first, mut second) = (goals.make(1)?, goals.make(1)?);
        for (number, moment) in moments(20, first.reserved, 3)?.iter().enumerate() {
            same(&first.step(moment)?, &second.step(moment)?).with_context(|| format!("in step {number}"))?;
        }
        if !first.is_bonus {
            for moment in moments(3, first.reserved, 5)? {
                let _ = first.act(&moment, true).context("asked for the best actions")?;
            }
        }
        Ok(Verdict::Holds)
    },
};

const RESTORED: Check<Goals> = Check {
    name: "saved and restored between two steps it goes on bit for bit",
    help: "`save` returns all that the next step depends on beyond parameters and buffers: traces, running means, the last values.",
    run: |goals| {
        let mut first = goals.make(1)?;
        let moments = moments(40, first.reserved, 3)?;
        for moment in &moments[..19] {
            first.step(moment)?;
        }
        let mut second = goals.make(2)?;
        for (name, value) in first.store.list("")? {
            second.store.set(&name, &value)?;
        }
        second.goal.restore(first.goal.save()?)?;
        first.random = Random::new(12);
        second.random = Random::new(12);
        (first.unroll, second.unroll) = (19, 19);
        for (number, moment) in (19..).zip(&moments[19..]) {
            same(&first.step(moment)?, &second.step(moment)?).with_context(|| format!("in step {number}"))?;
        }
        Ok(Verdict::Holds)
    },
};

fn same(a: &(f64, Option<Tensor>), b: &(f64, Option<Tensor>)) -> Result<()> {
    ensure!(a.0.to_bits() == b.0.to_bits(), "the loss is {} and {}", a.0, b.0);
    if let (Some(a), Some(b)) = (&a.1, &b.1) {
        ensure!(a.equal(b), "the actions differ");
    }
    Ok(())
}

const REPLAYED: Check<Goals> = Check {
    name: "a loss changes nothing of what it keeps, if it says that its loss may be asked for at remembered moments",
    help: "`replayable` is for goals whose `save` is the same before and after a loss; one that keeps traces or statistics says false.",
    run: |goals| {
        let mut played = goals.make(1)?;
        if !played.goal.replayable()? {
            return Ok(Verdict::NotAsked("it does not say so".to_owned()));
        }
        let moments = moments(30, played.reserved, 3)?;
        for moment in &moments[..20] {
            played.step(moment)?;
        }
        for (number, moment) in moments[20..].iter().enumerate() {
            let before: Vec<_> = played.goal.save()?.into_iter().map(|(name, t)| (name, t.copy())).collect();
            let _ = played.loss(&twice(moment)?).with_context(|| format!("in step {number}"))?;
            let after = played.goal.save()?;
            let same = before.len() == after.len()
                && before.iter().zip(&after).all(|(a, b)| a.0 == b.0 && a.1.equal(&b.1));
            ensure!(same, "what it saves is not the same after a loss");
        }
        Ok(Verdict::Holds)
    },
};

/// The first stream's moment in two rows.
fn twice(moment: &OwnedMoment) -> Result<OwnedMoment> {
    let one = only_first(moment)?;
    Ok(OwnedMoment {
        streams: [one.streams[0]; 2].to_vec(),
        observation: Tensor::f_cat(&[&one.observation, &one.observation], 0)?,
        reward: [one.reward[0]; 2].to_vec(),
        action: Tensor::f_cat(&[&one.action, &one.action], 0)?,
        step_types: [one.step_types[0]; 2].to_vec(),
    })
}

const ENDED: Check<Goals> = Check {
    name: "streams may end, sit out, and come back under their number",
    help: "What is kept of a stream is dropped in `ended`; a stream that was not seen before is a new one.",
    run: |goals| {
        let mut played = goals.make(1)?;
        let moments = moments(21, played.reserved, 3)?;
        for (number, moment) in moments.iter().enumerate() {
            if number % 7 == 0 && number > 0 {
                played.goal.ended(&[1, 77])?;
            }
            // In each third step one stream sits out.
            let step = if number % 3 == 2 { only_first(moment)? } else { copy(moment) };
            played.step(&step).with_context(|| format!("in step {number}"))?;
        }
        Ok(Verdict::Holds)
    },
};

fn copy(moment: &OwnedMoment) -> OwnedMoment {
    OwnedMoment {
        streams: moment.streams.clone(),
        observation: moment.observation.shallow_clone(),
        reward: moment.reward.clone(),
        action: moment.action.shallow_clone(),
        step_types: moment.step_types.clone(),
    }
}

fn only_first(moment: &OwnedMoment) -> Result<OwnedMoment> {
    Ok(OwnedMoment {
        streams: moment.streams[..1].to_vec(),
        observation: moment.observation.f_narrow(0, 0, 1)?,
        reward: moment.reward[..1].to_vec(),
        action: moment.action.f_narrow(0, 0, 1)?,
        step_types: moment.step_types[..1].to_vec(),
    })
}

const TRANSITION: Check<Goals> = Check {
    name: "the next states that it makes of a cell have the cell's shape, and its gradient reaches the input",
    help: "`transition` returns (rows, state size), put together from what `evaluate` returns for its gradient paths.",
    run: |goals| {
        let mut played = goals.make(1)?;
        if played.is_bonus {
            return Ok(Verdict::NotAsked("it is a bonus".to_owned()));
        }
        let (store, layers) = (MemoryStore::new(4), LayersOf::<Matrix>::new("{}")?);
        let size = Size { ins: 2 * STATE, outs: STATE };
        let spec = StackSpec { size, layers: 1, nonlinearity: Nonlinearity::Softsign, zero_at_start: false };
        let cell = StackCell(Stack::new(spec, &layers, &Params::new(&store))?);
        let transition = PlainTransition { cell: &cell, outs: STATE, parameters: &store };
        let x = Random::new(2).f_normal(&[3, size.ins], 0.5)?.f_set_requires_grad(true)?;
        let y = played.goal.transition(&transition, &x)?;
        ensure!(
            y.size() == [3, STATE],
            "it returned states of shape {:?} where {:?} was expected",
            y.size(),
            [3, STATE]
        );
        ensure!(y.requires_grad(), "the next states carry no gradient");
        Ok(Verdict::Holds)
    },
};

const MEMORY: Check<Goals> = Check {
    name: "memory does not grow over 500 steps",
    help: "Something is kept from step to step: a list that grows, or a tensor with its graph.",
    run: |goals| {
        let mut played = goals.make(1)?;
        let moments = moments(14, played.reserved, 3)?;
        check_growth(500, |turn| played.step(&moments[turn % 14]).map(drop))?;
        Ok(Verdict::Holds)
    },
};

/// What must be true of every goal.
pub const GOAL_CHECKS: &[Check<Goals>] =
    &[MADE, LOSSES, TRAINS, GRAPHS, SEEDED, RESTORED, REPLAYED, ENDED, TRANSITION, MEMORY];

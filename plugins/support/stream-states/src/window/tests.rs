//! The window against its formula, with each stream's transitions by themselves.
use super::*;
use crate::Merge;
use efference_sdk::tch::{Device, Kind};
use efference_sdk::{
    InputLayout, LayerFactory, Nonlinearity, ParamStore, Params, Random, Size, Stack, StackSpec, Trainer,
};
use efference_testkit::{
    Happening, LayersOf, Matrix, PlainAgent, Predicts, StackCell, play, sgd, story, with_loss_input,
};
use std::collections::BTreeMap;

const SIZE: i64 = 8;

/// The window as a trainer.
struct Windowed(Window);

impl Trainer for Windowed {
    fn input(&self) -> Result<InputLayout> {
        Ok(self.0.input().layout().clone())
    }

    fn step(&mut self, agent: &dyn Agent, batch: &Batch<'_>) -> Result<Tensor> {
        self.0.step(agent, batch, &mut |_| Ok(()))
    }

    fn save(&self) -> Result<Saved> {
        self.0.save()
    }

    fn restore(&mut self, saved: Saved) -> Result<()> {
        self.0.restore(&saved)
    }
}

fn agent<'a>(layers: &'a dyn LayerFactory, length: usize, reset: bool) -> (PlainAgent<'a>, Windowed) {
    let mut agent = PlainAgent::new(SIZE, layers, 1, sgd(0.05));
    let setup = agent.trainer_setup(4);
    let input = Input::new(Merge::Concat, false, &setup).unwrap();
    let window = Window::new(input, length, reset, &setup);
    let size = Size { ins: 2 * SIZE, outs: SIZE };
    let spec = StackSpec { size, layers: 1, nonlinearity: Nonlinearity::Softsign, zero_at_start: false };
    let cell = StackCell(Stack::new(spec, layers, &Params::new(&agent.store).scope("cell")).unwrap());
    agent.set_cell(Box::new(cell));
    agent.set_goal(Box::new(Predicts));
    (agent, Windowed(window))
}

/// State and target side by side, and the target.
fn merged(state: &Tensor, observed: &Tensor) -> (Tensor, Tensor) {
    let front = state.narrow(1, 0, 6).where_self(&observed.isnan(), observed);
    let target = Tensor::cat(&[front, state.narrow(1, 6, SIZE - 6)], 1).clamp(-1.0, 1.0);
    (Tensor::cat(&[state, &target], 1), target.detach())
}

/// What a stream has gone through: states before, and what was observed.
#[derive(Default)]
struct Lived {
    past: Vec<(Tensor, Tensor)>,
    state: Option<Tensor>,
}

fn reference(agent: &dyn Agent, length: usize, reset: bool, story: &[Happening]) -> Vec<Tensor> {
    let zeros = || Tensor::zeros([1, SIZE], (Kind::Float, Device::Cpu));
    let mut lived: BTreeMap<u64, Lived> = BTreeMap::new();
    let mut answers = Vec::new();
    for now in story {
        now.ended.iter().for_each(|stream| drop(lived.remove(stream)));
        let observation = now.observed();
        for (row, stream) in now.active.iter().enumerate() {
            let own = lived.entry(*stream).or_default();
            let state = own.state.get_or_insert_with(zeros).detach().set_requires_grad(true);
            let observed = observation.narrow(0, row as i64, 1);
            let (_, target) = merged(&state, &observed);
            let loss = with_loss_input(&state, &target, &observed, |input| agent.loss(input)).unwrap();
            loss.total().unwrap().unwrap().backward();
            let Some((first, _)) = own.past.first() else { continue };
            let again = own.past.iter().fold(first.shallow_clone(), |state, (_, observed)| {
                agent.transition(&merged(&state, observed).0).unwrap()
            });
            (again * state.grad()).sum(Kind::Float).backward();
        }
        agent.update(group::ALL).unwrap();
        let mut answer = Vec::new();
        for (row, stream) in now.active.iter().enumerate() {
            let own = lived.get_mut(stream).unwrap();
            let (state, observed) = (own.state.take().unwrap(), observation.narrow(0, row as i64, 1));
            let mut next = agent.transition(&merged(&state, &observed).0).unwrap().detach();
            own.past.push((state, observed));
            if own.past.len() > length {
                drop(own.past.remove(0));
            }
            if reset && now.step_types[row].is_last() {
                (own.past, next) = (Vec::new(), zeros());
            }
            answer.push(next.shallow_clone());
            own.state = Some(next);
        }
        answers.push(Tensor::cat(&answer, 0));
    }
    answers
}

#[test]
fn each_step_makes_one_update_through_the_last_transitions_of_each_stream() {
    let layers = LayersOf::<Matrix>::new("{}").unwrap();
    for (length, reset) in [(1, false), (1, true), (2, false), (3, true), (5, false)] {
        let story = story(&mut Random::new(length as u64), 40, 6);
        let (expected_agent, _) = agent(&layers, length, reset);
        let expected = reference(&expected_agent, length, reset, &story);
        let (agent, mut trainer) = agent(&layers, length, reset);
        let start = agent.store.get("cell.layer.0.weight").unwrap().copy();
        let answers = play(&agent, &mut trainer, &story).unwrap();
        for (step, (a, b)) in answers.iter().zip(&expected).enumerate() {
            assert!(a.allclose(b, 1e-4, 1e-5, false), "step {step}, length {length}");
        }
        for (name, a) in agent.store.list("").unwrap() {
            let b = expected_agent.store.get(&name).unwrap();
            assert!(a.allclose(&b, 1e-4, 1e-5, false), "{name}, length {length}");
        }
        assert!(!start.allclose(&agent.store.get("cell.layer.0.weight").unwrap(), 1e-3, 1e-3, false));
    }
}

#[test]
fn what_is_saved_at_any_step_goes_on_bit_for_bit() {
    let layers = LayersOf::<Matrix>::new("{}").unwrap();
    let story = story(&mut Random::new(9), 30, 6);
    for length in [1, 3] {
        for at in [0, 1, 7, 20] {
            let (first, mut trainer) = agent(&layers, length, true);
            play(&first, &mut trainer, &story[..at]).unwrap();
            let (second, mut restored) = agent(&layers, length, true);
            for (name, value) in first.store.list("").unwrap() {
                second.store.set(&name, &value).unwrap();
            }
            restored.restore(Trainer::save(&trainer).unwrap()).unwrap();
            let answers = play(&first, &mut trainer, &story[at..]).unwrap();
            for (a, b) in answers.iter().zip(play(&second, &mut restored, &story[at..]).unwrap()) {
                assert!(a.equal(&b), "length {length}, saved at {at}");
            }
            for (name, a) in first.store.list("").unwrap() {
                assert!(a.equal(&second.store.get(&name).unwrap()), "{name}");
            }
        }
    }
}

#[test]
fn what_was_saved_with_another_state_size_is_refused_and_a_shorter_window_takes_the_last_transitions() {
    let layers = LayersOf::<Matrix>::new("{}").unwrap();
    let story = story(&mut Random::new(9), 12, 6);
    let (agent, mut trainer) = agent(&layers, 4, false);
    play(&agent, &mut trainer, &story).unwrap();
    let saved = || Trainer::save(&trainer).unwrap();
    let mut shorter = Streams::new(SIZE, Device::Cpu, 2);
    shorter.restore(&saved()).unwrap();
    let streams: Vec<u64> = story[11].active.clone();
    assert!(shorter.states(&streams).unwrap().equal(&trainer.0.streams.states(&streams).unwrap()));
    assert!(streams.iter().all(|stream| shorter.count(*stream) == trainer.0.streams.count(*stream).min(2)));
    let mut other = Streams::new(SIZE + 1, Device::Cpu, 4);
    assert!(other.restore(&saved()).unwrap_err().to_string().contains("state.size"));
}

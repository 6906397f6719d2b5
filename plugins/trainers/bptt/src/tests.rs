//! The trainer against its formulas, with each stream's state a tensor of its own.
use super::*;
use efference_sdk::tch::Kind;
use efference_sdk::{Goal, LayerFactory, Loss, ParamStore, Params, Random, Size, Stack, StackSpec, StepType};
use efference_testkit::{
    Happening, LayersOf, Learner, Matrix, OwnedMoment, PlainAgent, Predicts, StackCell, sgd, story,
    with_loss_input,
};
use std::collections::BTreeMap;

const SIZE: i64 = 8;

fn layers() -> LayersOf<Matrix> {
    LayersOf::new("{}").unwrap()
}

fn agent<'a>(options: &Options, layers: &'a dyn LayerFactory) -> (PlainAgent<'a>, Bptt) {
    let mut agent = PlainAgent::new(SIZE, layers, 1, sgd(0.05));
    let trainer = Bptt::new(options.clone(), &agent.trainer_setup(4)).unwrap();
    let size = Size { ins: trainer.input().unwrap().width, outs: SIZE };
    let spec = StackSpec { size, layers: 1, nonlinearity: Nonlinearity::Softsign, zero_at_start: false };
    let cell = StackCell(Stack::new(spec, layers, &Params::new(&agent.store).scope("cell")).unwrap());
    agent.set_cell(Box::new(cell));
    agent.set_goal(Box::new(Predicts));
    (agent, trainer)
}

fn play(agent: &dyn Agent, trainer: &mut dyn Trainer, story: &[Happening]) -> Vec<Tensor> {
    efference_testkit::play(agent, trainer, story).unwrap()
}

/// The same, by a tensor a stream.
fn reference(options: &Options, agent: &dyn Agent, story: &[Happening]) -> Vec<Tensor> {
    let zeros = || Tensor::zeros([1, SIZE], (Kind::Float, Device::Cpu)).set_requires_grad(true);
    let mut states: BTreeMap<u64, Tensor> = BTreeMap::new();
    let mut leaves: Vec<Tensor> = Vec::new();
    let mut loss = Tensor::from(0.0f32);
    let mut answers = Vec::new();
    for (step, now) in story.iter().enumerate() {
        for stream in &now.ended {
            states.remove(stream);
        }
        if (step as i64) % options.unroll_length == 0 {
            for state in states.values_mut() {
                *state = state.detach().set_requires_grad(true);
                leaves.push(state.shallow_clone());
            }
        }
        for stream in &now.started {
            let leaf = zeros();
            leaves.push(leaf.shallow_clone());
            states.insert(*stream, leaf);
        }
        let observation = now.observed();
        let mut answer = Vec::new();
        for (row, stream) in now.active.iter().enumerate() {
            let state = states[stream].shallow_clone();
            let observed = observation.narrow(0, row as i64, 1);
            let front = state.narrow(1, 0, 6).where_self(&observed.isnan(), &observed);
            let target = Tensor::cat(&[front, state.narrow(1, 6, SIZE - 6)], 1).clamp(-1.0, 1.0);
            let detached = target.detach();
            let of_row = with_loss_input(&state, &detached, &observed, |input| agent.loss(input));
            loss += of_row.unwrap().total().unwrap().unwrap();
            let x = match options.merge {
                Merge::Concat => Tensor::cat(&[&state, &target], 1),
                Merge::Merge => target,
                Merge::Add => {
                    let added = observed.nan_to_num(0.0, 1.0, -1.0);
                    &state + added.constant_pad_nd([0, SIZE - 6])
                }
                Merge::Ignore => state,
            };
            let mut next = agent.transition(&x).unwrap();
            if options.reset_after_episode && now.step_types[row].is_last() {
                next = zeros();
                leaves.push(next.shallow_clone());
            }
            answer.push(next.detach());
            states.insert(*stream, next);
        }
        answers.push(Tensor::cat(&answer, 0));
        if (step as i64 + 1) % options.unroll_length != 0 {
            continue;
        }
        let enabled = options.synthetic_gradient.enabled;
        if enabled {
            for state in states.values() {
                let future = state - agent.network(NETWORK, state).unwrap();
                loss += (state * future.detach()).sum(Kind::Float);
            }
        }
        loss.backward();
        loss = Tensor::from(0.0f32);
        for leaf in leaves.drain(..).filter(|_| enabled) {
            let first = leaf.detach();
            let aim = if leaf.grad().defined() { &first - leaf.grad() } else { first.copy() };
            let miss = agent.network(NETWORK, &first).unwrap() - aim;
            (miss.square().sum(Kind::Float) * 0.5).backward();
        }
        if (step as i64 + 1) % (options.unroll_length * options.unrolls_per_update) == 0 {
            agent.update(group::ALL).unwrap();
        }
    }
    answers
}

#[test]
fn streams_that_come_sit_out_and_end_train_as_if_each_were_alone() {
    let layers = layers();
    let merges = [Merge::Concat, Merge::Merge, Merge::Add, Merge::Ignore];
    for (trial, unroll_length) in [1, 2, 3, 4, 5, 3].into_iter().enumerate() {
        let options = Options {
            action_input: false,
            unroll_length,
            unrolls_per_update: 1 + trial as i64 % 2,
            merge: merges[trial % 4],
            reset_after_episode: trial % 2 == 1,
            // The order of the calls changes nothing.
            look_ahead: trial == 2,
            synthetic_gradient: SyntheticGradient { enabled: trial != 3, ..SyntheticGradient::default() },
        };
        let story = story(&mut Random::new(trial as u64), 40, 6);
        let (expected_agent, _) = agent(&options, &layers);
        let expected = reference(&options, &expected_agent, &story);
        let (agent, mut trainer) = agent(&options, &layers);
        let start = agent.store.get("cell.layer.0.weight").unwrap().copy();
        for (step, (a, b)) in play(&agent, &mut trainer, &story).iter().zip(&expected).enumerate() {
            assert!(a.allclose(b, 1e-4, 1e-5, false), "step {step} of {options:?}");
        }
        for (name, a) in agent.store.list("").unwrap() {
            let b = expected_agent.store.get(&name).unwrap();
            assert!(a.allclose(&b, 1e-4, 1e-5, false), "{name} with {options:?}");
        }
        // Zeros are what a blind agent of matrices stays at.
        let blind = options.merge == Merge::Ignore;
        assert!(
            blind || !start.allclose(&agent.store.get("cell.layer.0.weight").unwrap(), 1e-3, 1e-3, false)
        );
    }
}

#[test]
fn what_is_saved_at_the_end_of_an_update_goes_on_bit_for_bit() {
    let layers = layers();
    let options = Options { unroll_length: 3, unrolls_per_update: 2, ..Options::default() };
    let story = story(&mut Random::new(9), 24, 6);
    let (first, mut trainer) = agent(&options, &layers);
    play(&first, &mut trainer, &story[..12]);
    let saved = Trainer::save(&trainer).unwrap();
    let (second, mut restored) = agent(&options, &layers);
    for (name, value) in first.store.list("").unwrap() {
        second.store.set(&name, &value).unwrap();
    }
    Trainer::restore(&mut restored, saved).unwrap();
    let answers = play(&first, &mut trainer, &story[12..]);
    for (a, b) in answers.iter().zip(play(&second, &mut restored, &story[12..])) {
        assert!(a.equal(&b));
    }
    for (name, a) in first.store.list("").unwrap() {
        assert!(a.equal(&second.store.get(&name).unwrap()), "{name}");
    }
}

#[test]
fn what_is_saved_within_an_unroll_keeps_states_and_rhythm() {
    let layers = layers();
    let options = Options { unroll_length: 3, ..Options::default() };
    let story = story(&mut Random::new(4), 9, 6);
    let (agent, mut trainer) = agent(&options, &layers);
    play(&agent, &mut trainer, &story[..4]);
    let fresh = PlainAgent::new(SIZE, &layers, 1, sgd(0.1));
    let mut restored = Bptt::new(options, &fresh.trainer_setup(4)).unwrap();
    Trainer::restore(&mut restored, Trainer::save(&trainer).unwrap()).unwrap();
    assert!(restored.rows.state().equal(trainer.rows.state()));
    assert_eq!((restored.steps, restored.rows.streams()), (1, trainer.rows.streams()));
    play(&agent, &mut restored, &story[4..]);

    let other = PlainAgent::new(SIZE + 1, &layers, 1, sgd(0.1));
    let mut other = Bptt::new(Options::default(), &other.trainer_setup(4)).unwrap();
    let error = Trainer::restore(&mut other, Trainer::save(&trainer).unwrap()).unwrap_err();
    assert!(error.to_string().contains("state.size"), "{error:#}");
}

#[test]
fn a_state_is_zero_after_an_episode_only_if_that_was_asked_for() {
    let layers = layers();
    for reset_after_episode in [false, true] {
        let options = Options { reset_after_episode, unroll_length: 2, ..Options::default() };
        let (agent, mut trainer) = agent(&options, &layers);
        let now = Happening {
            active: vec![3, 5],
            step_types: vec![StepType::MIDDLE, StepType::TERMINATED],
            started: vec![3, 5],
            ended: vec![],
            observation: vec![vec![0.5; 6]; 2],
        };
        let answer = play(&agent, &mut trainer, &[now]).remove(0);
        assert!(answer.get(0).abs().sum(Kind::Float).double_value(&[]) > 0.0);
        assert_eq!(answer.get(1).abs().sum(Kind::Float).double_value(&[]) == 0.0, reset_after_episode);
    }
}

#[test]
fn memory_stays_flat() {
    let layers = layers();
    let options = Options { unroll_length: 3, unrolls_per_update: 2, ..Options::default() };
    let (agent, mut trainer) = agent(&options, &layers);
    let resident = || {
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
        statm.split(' ').nth(1).unwrap().parse::<i64>().unwrap() * 4096
    };
    let mut random = Random::new(2);
    play(&agent, &mut trainer, &story(&mut random, 300, 6));
    // Other tests of this process use memory too, for a while; a graph that is kept, some 20 kB a step, grows each time.
    let grown = (0..4).map(|_| {
        let before = resident();
        play(&agent, &mut trainer, &story(&mut random, 1500, 6));
        resident() - before
    });
    let least = grown.min().unwrap();
    assert!(least < 6 << 20, "at least {least} bytes more after each 1,500 steps");
}

#[test]
fn an_observation_longer_than_the_state_is_an_error() {
    let layers = layers();
    let (agent, mut trainer) = agent(&Options::default(), &layers);
    let moment = OwnedMoment::of(&Tensor::zeros([1, SIZE + 1], (Kind::Float, Device::Cpu)));
    let batch = Batch { started: &[0], ..moment.batch() };
    let error = Trainer::step(&mut trainer, &agent, &batch).unwrap_err();
    assert!(error.to_string().contains("state.size"), "{error:#}");
}

#[test]
fn the_action_that_was_done_stands_behind_the_rest_of_the_input() {
    use efference_sdk::{ActionGroup, RewardRange, Spaces};
    let layers = layers();
    let agent = PlainAgent::new(SIZE, &layers, 1, sgd(0.1));
    let actions = vec![ActionGroup::choice(3), ActionGroup::VALUE];
    let spaces = Spaces { observation: 2, actions, reward: RewardRange::default() };
    let setup = TrainerSetup { spaces: Some(&spaces), ..agent.trainer_setup(4) };
    let options = Options { action_input: true, ..Options::default() };
    let trainer = Bptt::new(options.clone(), &setup).unwrap();
    let layout = trainer.input().unwrap();
    assert_eq!(layout, InputLayout { width: 2 * SIZE + 4, observation: SIZE + 4..SIZE + 6, action: 16..20 });

    let mut moment = OwnedMoment::of(&Tensor::zeros([2, 6], (Kind::Float, Device::Cpu)));
    moment.action =
        Tensor::from_slice(&[0.0f32, 1.0, 0.0, -0.5, f32::NAN, f32::NAN, f32::NAN, f32::NAN]).reshape([2, 4]);
    let state = Tensor::full([2, SIZE], 0.3, (Kind::Float, Device::Cpu));
    let (input, _) = trainer.input.merge(&state, &moment.observation, &moment.action, 0).unwrap();
    let action: Vec<f32> = input.narrow(1, 16, 4).flatten(0, -1).try_into().unwrap();
    assert_eq!(action, [0.0, 1.0, 0.0, -0.5, 0.0, 0.0, 0.0, 0.0]);

    let agent = PlainAgent::new(SIZE, &layers, 1, sgd(0.1));
    let unknown = Bptt::new(options, &agent.trainer_setup(4)).err().unwrap();
    assert!(unknown.to_string().contains("set it to false"), "{unknown}");
}

#[test]
fn a_cells_own_memory_is_carried_without_limit_or_gradient() {
    let layers = layers();
    let (_agent, trainer) = agent(&Options::default(), &layers);
    let state = Tensor::full([1, SIZE], 5.0, (Kind::Float, Device::Cpu)).set_requires_grad(true);
    let moment = OwnedMoment::of(&Tensor::full([1, 5], f64::NAN, (Kind::Float, Device::Cpu)));
    let (input, target) = trainer.input.merge(&state, &moment.observation, &moment.action, 3).unwrap();
    let numbers = |t: &Tensor| Vec::<f32>::try_from(t.detach().flatten(0, -1)).unwrap();
    assert_eq!(numbers(&target), [1.0, 1.0, 1.0, 1.0, 1.0, 5.0, 5.0, 5.0]);
    assert_eq!(numbers(&input)[..SIZE as usize], [5.0; 8]);
    assert_eq!(numbers(&input)[SIZE as usize..], numbers(&target));
    assert!(!target.requires_grad());
}

/// Half the squared error of a prediction: a loss whose fall is that of the error alone.
struct Squares;

impl Goal for Squares {
    fn loss(&mut self, input: &LossInput<'_>) -> Result<Loss> {
        let observed = input.moment.observation.size()[1];
        let difference = input.state.f_sub(input.target)?.f_narrow(1, 0, observed)?;
        let mut loss = Loss::default();
        loss.term("observation", difference.f_square()?.f_sum(Kind::Float)?.f_mul_scalar(0.5)?);
        Ok(loss)
    }
}

#[test]
fn an_agent_with_it_learns_what_comes_next() {
    for unroll_length in [2, 4] {
        let synthetic_gradient = SyntheticGradient { enabled: false, ..SyntheticGradient::default() };
        let options = Options { unroll_length, synthetic_gradient, ..Options::default() };
        let layers = layers();
        let learner = Learner { state_size: 32, layers: &layers, seed: 1, rule: sgd(0.01), steps: 2_000 };
        let bptt = |setup: &TrainerSetup<'_>| Ok(Box::new(Bptt::new(options, setup)?) as Box<dyn Trainer>);
        let learned = learner
            .learn(|_| Ok(Box::new(Squares)), bptt, |setup| Ok(Box::new(StackCell::new(setup)?)))
            .unwrap();
        learned.check_fell("observation", 0.7).unwrap();
    }
}

/// Without a synthetic gradient an unroll of 1 sends no gradient to the cell.
#[test]
fn without_gradient_nothing_is_learned() {
    let synthetic_gradient = SyntheticGradient { enabled: false, ..SyntheticGradient::default() };
    let options = Options { synthetic_gradient, ..Options::default() };
    let layers = layers();
    let learner = Learner { state_size: 32, layers: &layers, seed: 1, rule: sgd(0.03), steps: 1_000 };
    let bptt = |setup: &TrainerSetup<'_>| Ok(Box::new(Bptt::new(options, setup)?) as Box<dyn Trainer>);
    let learned =
        learner.learn(|_| Ok(Box::new(Squares)), bptt, |setup| Ok(Box::new(StackCell::new(setup)?))).unwrap();
    let said = learned.check_fell("observation", 0.9).unwrap_err().to_string();
    assert!(
        said.starts_with("the loss term 'observation' was ") && said.ends_with("below 0.9 of that"),
        "{said}"
    );
    let said = learned.check_fell("error", 0.9).unwrap_err().to_string();
    assert_eq!(said, "the loss has no term 'error', but observation");
}

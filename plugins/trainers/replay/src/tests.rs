//! The trainer against its formula, piece by piece.
use super::*;
use efference_sdk::tch::Kind;
use efference_sdk::{LayerFactory, Nonlinearity, Params, Size, Stack, StackSpec, StepType};
use efference_testkit::{Happening, LayersOf, Matrix, PlainAgent, Predicts, StackCell, play, sgd, story};

const SIZE: i64 = 8;
const RATE: f64 = 0.05;

fn layers() -> LayersOf<Matrix> {
    LayersOf::new("{}").unwrap()
}

fn agent<'a>(options: &Options, layers: &'a dyn LayerFactory) -> (PlainAgent<'a>, Replay) {
    let mut agent = PlainAgent::new(SIZE, layers, 1, sgd(RATE));
    let trainer = Replay::new(options.clone(), &agent.trainer_setup(4)).unwrap();
    let size = Size { ins: trainer.input().unwrap().width, outs: SIZE };
    let spec = StackSpec { size, layers: 1, nonlinearity: Nonlinearity::Softsign, zero_at_start: false };
    let cell = StackCell(Stack::new(spec, layers, &Params::new(&agent.store).scope("cell")).unwrap());
    agent.set_cell(Box::new(cell));
    agent.set_goal(Box::new(Predicts));
    (agent, trainer)
}

/// Steps of one stream without episodes.
fn alone(steps: usize) -> Vec<Happening> {
    let mut random = Random::new(7);
    let observation = |random: &mut Random| (0..6).map(|_| random.unit() as f32 * 2.0 - 1.0).collect();
    let step = |number| Happening {
        active: vec![0],
        step_types: vec![StepType::MIDDLE],
        started: if number == 0 { vec![0] } else { vec![] },
        ended: vec![],
        observation: vec![observation(&mut random)],
    };
    (0..steps).map(step).collect()
}

/// The gradient of one piece, with one row.
fn of_piece(agent: &PlainAgent<'_>, trainer: &Replay, piece: &[u64], unroll: usize) -> Tensor {
    let mut state = trainer.memory.recall(piece[..1].iter().copied()).unwrap().state;
    let mut sum = Tensor::from(0.0f32);
    for (i, number) in piece.iter().enumerate() {
        let back = piece.len() - 1 - i;
        let recalled = trainer.memory.recall(std::iter::once(*number)).unwrap();
        let moment = recalled.moment();
        let merged = trainer.window.input().merge(&state, moment.observation, moment.action, 0);
        let (input, target) = merged.unwrap();
        if back < unroll {
            let input = LossInput { moment: &moment, state: &state, target: &target, next: None, unroll: 0 };
            sum += agent.loss(&input).unwrap().total().unwrap().unwrap();
        }
        let next = agent.transition(&input).unwrap();
        state = if back > unroll { next.detach() } else { next };
    }
    sum
}

#[test]
fn a_replay_is_the_gradient_of_its_pieces_burnt_in_or_not() {
    let layers = layers();
    for (unroll_length, burn_in, pieces) in [
        (1, 0, vec![vec![1, 2], vec![4, 5], vec![1, 2]]),
        (2, 0, vec![vec![0, 1, 2], vec![3, 4, 5]]),
        // The second one had no more moments before it, and joins with its stored state.
        (1, 2, vec![vec![2, 3, 4, 5], vec![0, 1, 2], vec![0, 1]]),
        (2, 1, vec![vec![1, 2, 3, 4], vec![0, 1, 2]]),
    ] {
        let options = Options { unroll_length, burn_in, warm_up: 100, ..Options::default() };
        let (agent, mut trainer) = agent(&options, &layers);
        play(&agent, &mut trainer, &alone(6)).unwrap();
        trainer.replay(&agent, &pieces, 3).unwrap();
        let weight = agent.store.get("cell.layer.0.weight").unwrap();
        let found = weight.grad().copy();
        agent.store.clear_gradients();
        let unroll = unroll_length as usize;
        let sum = pieces
            .iter()
            .fold(Tensor::from(0.0f32), |sum, piece| sum + of_piece(&agent, &trainer, piece, unroll));
        (sum * (3.0 / (pieces.len() * unroll) as f64)).backward();
        assert!(found.allclose(&weight.grad(), 1e-4, 1e-6, false), "{unroll_length}, {burn_in}");
        assert!(found.abs().sum(Kind::Float).double_value(&[]) > 1e-3);
    }
}

#[test]
fn without_replays_it_is_the_window_alone_whatever_came() {
    let layers = layers();
    let story = story(&mut Random::new(3), 40, 6);
    for unroll_length in [1, 3] {
        let options = Options { replays: 0, unroll_length, ..Options::default() };
        let (first, mut trainer) = agent(&options, &layers);
        let found = play(&first, &mut trainer, &story).unwrap();
        let (second, other) = agent(&options, &layers);
        let input = Input::new(options.merge, false, &second.trainer_setup(4)).unwrap();
        let mut window = Window::new(input, unroll_length as usize, false, &second.trainer_setup(4));
        for (now, found) in story.iter().zip(&found) {
            let moment = now.moment();
            let batch = Batch { moment: moment.get(), started: &now.started, ended: &now.ended };
            let expected = window.step(&second, &batch, &mut |_| Ok(())).unwrap();
            assert!(found.allclose(&expected, 1e-5, 1e-6, false), "{unroll_length}");
        }
        assert_eq!((trainer.memory.len(), other.memory.len()), (0, 0));
    }
}

#[test]
fn a_replay_comes_after_the_step_leaves_its_states_and_is_not_recorded() {
    let layers = layers();
    let story = story(&mut Random::new(3), 30, 6);
    let of = |replays: u64| {
        let options = Options { replays, warm_up: 30, unroll_length: 2, batch: 5, ..Options::default() };
        let (agent, mut trainer) = agent(&options, &layers);
        let mut steps = Vec::new();
        for now in &story {
            let states = play(&agent, &mut trainer, std::slice::from_ref(now)).unwrap().remove(0);
            let recorded = agent.last_loss.borrow().total().unwrap().unwrap().double_value(&[]);
            steps.push((trainer.memory.len(), states, recorded));
        }
        steps
    };
    let (without, with) = (of(0), of(3));
    let first = with.iter().position(|(remembered, ..)| *remembered >= 30).unwrap();
    for (step, (a, b)) in without.iter().zip(&with).enumerate() {
        // In the step of the first replay states and loss are still those without one.
        let same = a.1.equal(&b.1) && a.2 == b.2;
        assert_eq!(step <= first, same, "step {step}, the first replay comes in {first}");
    }
}

#[test]
fn it_learns_more_of_each_moment_than_without() {
    let layers = layers();
    let value = |step: usize, element: usize| ((step as f32) * 0.3 + element as f32).sin() * 0.8;
    let mut story = alone(400);
    for (step, now) in story.iter_mut().enumerate() {
        now.observation = vec![(0..6).map(|element| value(step, element)).collect()];
    }
    let loss = |replays: u64| {
        let options = Options { replays, warm_up: 10, ..Options::default() };
        let (agent, mut trainer) = agent(&options, &layers);
        let mut sum = 0.0;
        for (step, now) in story.iter().enumerate() {
            play(&agent, &mut trainer, std::slice::from_ref(now)).unwrap();
            agent.step.set(agent.step.get() + 1);
            let now = agent.last_loss.borrow().total().unwrap().unwrap().double_value(&[]);
            sum += if step >= 300 { now } else { 0.0 };
        }
        sum / 100.0
    };
    let (without, with) = (loss(0), loss(4));
    assert!(with < 0.9 * without, "{without} without, {with} with 4 replays a step");
}

#[test]
fn what_does_not_fit_is_refused() {
    let layers = layers();
    let refused = |options: Options| {
        let agent = PlainAgent::new(SIZE, &layers, 1, sgd(RATE));
        Replay::new(options, &agent.trainer_setup(4)).err().unwrap().to_string()
    };
    let said = refused(Options { capacity: 4, unroll_length: 4, warm_up: 0, ..Options::default() });
    assert!(said.contains("remember more"), "{said}");
    let said = refused(Options { capacity: 50, ..Options::default() });
    assert!(said.contains("there would be no replay"), "{said}");

    struct Keeps;
    impl efference_sdk::Goal for Keeps {
        fn loss(&mut self, _: &LossInput<'_>) -> Result<efference_sdk::Loss> {
            Ok(efference_sdk::Loss::default())
        }
    }
    for (replays, fits) in [(0, true), (1, false)] {
        let (mut agent, mut trainer) = agent(&Options { replays, ..Options::default() }, &layers);
        agent.set_goal(Box::new(Keeps));
        assert_eq!(trainer.begin(&agent).is_ok(), fits);
    }
}

//! The bonus without a host.
use super::*;
use efference_sdk::tch::Kind;
use efference_sdk::{ActionGroup, ParamStore, Params, Random, RewardRange, Spaces, StepType};
use efference_testkit::{LayersOf, Matrix, MemoryStore, OwnedMoment};

const SIZE: i64 = 8;
const CHOICE: ActionGroup = ActionGroup::choice(2);

fn spaces() -> Spaces {
    Spaces { observation: SIZE as usize, actions: vec![CHOICE], reward: RewardRange::default() }
}

/// Bonuses from the first frame on.
fn plain() -> Options {
    Options { warm_up: 0, ..Options::default() }
}

fn made(store: &MemoryStore, options: Options) -> ByolExplore {
    let layers = LayersOf::<Matrix>::new(r#"{"vjp": true}"#).unwrap();
    let setup =
        GoalSetup { state_size: 32, spaces: Some(&spaces()), layers: &layers, params: Params::new(store) };
    ByolExplore::new(options, &setup).unwrap()
}

/// What these streams see, and what led there.
fn moment(streams: &[u64], random: &mut Random, step_type: StepType) -> OwnedMoment {
    let rows = streams.len() as i64;
    let mut moment = OwnedMoment::of_streams(streams, &random.normal(&[rows, SIZE], 0.5));
    let chosen: Vec<f32> =
        streams.iter().flat_map(|_| [[1.0, 0.0], [0.0, 1.0]][random.below(2) as usize]).collect();
    moment.action = Tensor::from_slice(&chosen).view([rows, 2]);
    moment.step_types = vec![step_type; streams.len()];
    moment
}

fn bonus(goal: &mut ByolExplore, moment: &OwnedMoment) -> Vec<f32> {
    let bonus = tch::no_grad(|| goal.bonus(&moment.get())).unwrap().unwrap();
    bonus.try_into().unwrap()
}

fn loss(goal: &mut ByolExplore, moment: &OwnedMoment) -> Loss {
    let state = Tensor::zeros([moment.streams.len() as i64, 32], (Kind::Float, Device::Cpu));
    let moment = moment.get();
    goal.loss(&LossInput { moment: &moment, state: &state, target: &state, next: None, unroll: 0 }).unwrap()
}

/// Plain gradient descent of all that is trained.
fn descend(store: &MemoryStore, loss: &Loss, rate: f64) {
    let Some(total) = loss.total().unwrap() else { return };
    total.backward();
    tch::no_grad(|| {
        for (_, mut p) in store.list("").unwrap().into_iter().filter(|(_, p)| p.requires_grad()) {
            let step = p.grad() * -rate;
            let _ = p.f_add_(&step).unwrap();
            p.zero_grad();
        }
    });
}

#[test]
fn its_error_is_that_of_unit_vectors_and_first_frames_have_none() {
    let store = MemoryStore::new(3);
    let options = Options { scale: 3.0, only_above_mean: false, ..plain() };
    let mut goal = made(&store, options);
    let mut random = Random::new(1);
    let first = moment(&[0, 1], &mut random, StepType::FIRST);
    assert_eq!(bonus(&mut goal, &first), [0.0, 0.0]);
    assert!(loss(&mut goal, &first).terms.is_empty(), "nothing led there");
    // A stream that was not there before has nothing to foretell from.
    let second = moment(&[0, 5], &mut random, StepType::MIDDLE);
    let found = bonus(&mut goal, &second);
    let (_, Some(transition)) = goal.seen.as_ref().unwrap() else { panic!("stream 0 moved on") };
    let latent = goal.latents.error(transition).unwrap();
    let error = loss(&mut goal, &second).metrics[0].1.double_value(&[]);
    assert_eq!((latent.size(), latent.double_value(&[0])), (vec![1], error));
    assert!(error > 0.0 && error < 4.0, "{error}");
    // The first error of all stays as it is, times the scale.
    assert_eq!(found, [(3.0 * error) as f32, 0.0]);
}

#[test]
fn what_was_done_is_part_of_what_it_foretells_from() {
    let store = MemoryStore::new(3);
    let mut goal = made(&store, Options { only_above_mean: false, ..plain() });
    let mut random = Random::new(1);
    bonus(&mut goal, &moment(&[0], &mut random, StepType::FIRST));
    let saved = goal.save().unwrap();
    let next = moment(&[0], &mut random, StepType::MIDDLE);
    let of_action = |chosen: [f32; 2]| {
        let mut again = made(&MemoryStore::new(3), Options { only_above_mean: false, ..plain() });
        let copied = saved.iter().map(|(name, t)| (name.clone(), t.copy())).collect();
        again.restore(copied).unwrap();
        let action = Tensor::from_slice(&chosen).view([1, 2]);
        bonus(&mut again, &OwnedMoment { action, ..OwnedMoment::of(&next.observation) })[0]
    };
    let (left, right, unknown) = (of_action([1.0, 0.0]), of_action([0.0, 1.0]), of_action([f32::NAN; 2]));
    assert!(left != right && left != unknown && right != unknown, "{left}, {right}, {unknown}");
    assert_eq!(unknown, of_action([0.0, 0.0]));
}

#[test]
fn the_slow_copy_begins_as_the_encoder_and_follows_it() {
    let store = MemoryStore::new(3);
    let mut goal = made(&store, Options { decay: 0.75, ..plain() });
    let (own, slow) = ("encoder.layer.0.weight", "slow.layer.0.weight");
    let names: Vec<String> = store.list("encoder").unwrap().into_iter().map(|(name, _)| name).collect();
    let own = names.iter().find(|name| name.contains("layer.0")).map_or(own, String::as_str).to_owned();
    let slow = own.replace("encoder", slow.split('.').next().unwrap());
    let of = |name: &str| store.get(name).unwrap();
    assert_eq!(of(&own), of(&slow));
    assert!(of(&own).requires_grad() && !of(&slow).requires_grad());
    let mut random = Random::new(1);
    bonus(&mut goal, &moment(&[0], &mut random, StepType::FIRST));
    let before = of(&slow).copy();
    tch::no_grad(|| of(&own).f_add_scalar_(1.0).map(drop)).unwrap();
    let next = moment(&[0], &mut random, StepType::MIDDLE);
    bonus(&mut goal, &next);
    loss(&mut goal, &next);
    // A quarter of the way.
    assert!(of(&slow).allclose(&(before + 0.25), 1e-6, 1e-6, false));
}

#[test]
fn only_what_is_above_the_mean_counts_if_that_is_asked_for() {
    let store = MemoryStore::new(3);
    let mut goal = made(&store, plain());
    let mut random = Random::new(1);
    let found: Vec<f32> =
        (0..600).map(|_| bonus(&mut goal, &moment(&[0], &mut random, StepType::MIDDLE))[0]).collect();
    let nothing = found[300..].iter().filter(|b| **b == 0.0).count();
    assert!((75..225).contains(&nothing), "about half of them are below the mean: {nothing} of 300");
    assert!(found.iter().all(|b| *b >= 0.0));
}

#[test]
fn what_can_be_foreseen_earns_less_and_less() {
    let store = MemoryStore::new(3);
    let mut goal = made(&store, Options { only_above_mean: false, ..plain() });
    // One of eight cells is lit; it moves on by one or by two, as is chosen.
    let (mut random, mut cell, mut errors) = (Random::new(5), 0, Vec::new());
    for _ in 0..6_000 {
        let chosen = random.below(2) as i64;
        cell = (cell + 1 + chosen) % SIZE;
        let picture = Tensor::full([1, SIZE], -1.0, (Kind::Float, Device::Cpu));
        let _ = picture.narrow(1, cell, 1).fill_(1.0);
        let mut moment = OwnedMoment::of(&picture);
        moment.action = Tensor::from_slice(&[[1.0f32, 0.0], [0.0, 1.0]][chosen as usize]).view([1, 2]);
        bonus(&mut goal, &moment);
        let loss = loss(&mut goal, &moment);
        errors.extend(loss.metrics.first().map(|(_, error)| error.double_value(&[])));
        descend(&store, &loss, 0.03);
    }
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    let (early, late) = (mean(&errors[..50]), mean(&errors[errors.len() - 500..]));
    assert!(late < 0.3 * early, "{early}, {late}");
}

#[test]
fn it_goes_on_exactly_and_takes_missing_values_and_streams_that_come_and_go() {
    let make = || made(&MemoryStore::new(3), Options { only_above_mean: false, ..plain() });
    let mut goal = make();
    let mut random = Random::new(9);
    for streams in [&[0, 1, 2][..], &[2], &[0, 2], &[7, 0]] {
        let moment = moment(streams, &mut random, StepType::MIDDLE);
        let _ = moment.observation.narrow(1, 0, 3).fill_(f64::NAN);
        assert!(bonus(&mut goal, &moment).iter().all(|b| b.is_finite()));
    }
    goal.ended(&[7]).unwrap();
    let mut again = make();
    again.restore(goal.save().unwrap()).unwrap();
    for streams in [&[0, 1][..], &[7], &[2]] {
        let moment = moment(streams, &mut random, StepType::MIDDLE);
        assert_eq!(bonus(&mut goal, &moment), bonus(&mut again, &moment));
    }
    assert_eq!(bonus(&mut goal, &moment(&[9], &mut random, StepType::MIDDLE)), [0.0], "a new stream");
}

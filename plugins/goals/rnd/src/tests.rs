//! The bonus without a host.
use super::*;
use efference_sdk::{ActionGroup, Params, Random, RewardRange, Spaces, StepType};
use efference_testkit::{LayersOf, Matrix, MemoryStore, OwnedMoment};

const SIZE: i64 = 16;

fn spaces(observation: usize) -> Spaces {
    Spaces { observation, actions: vec![ActionGroup::choice(2)], reward: RewardRange::default() }
}

fn made(store: &MemoryStore, options: Options, spaces: Option<&Spaces>) -> Result<Rnd> {
    let layers = LayersOf::<Matrix>::new(r#"{"vjp": true}"#)?;
    let setup = GoalSetup { state_size: 32, spaces, layers: &layers, params: Params::new(store) };
    Rnd::new(options, &setup)
}

/// Bonuses from the first frame on.
fn plain() -> Options {
    Options { warm_up: 0, ..Options::default() }
}

fn bonus(goal: &mut Rnd, moment: &OwnedMoment) -> Vec<f32> {
    let bonus = tch::no_grad(|| goal.bonus(&moment.get())).unwrap().unwrap();
    bonus.try_into().unwrap()
}

fn loss(goal: &mut Rnd, moment: &OwnedMoment) -> (Loss, f64) {
    let state = Tensor::zeros([moment.streams.len() as i64, 32], (Kind::Float, Device::Cpu));
    let moment = moment.get();
    let input = LossInput { moment: &moment, state: &state, target: &state, next: None, unroll: 0 };
    let loss = goal.loss(&input).unwrap();
    let error = loss.metrics[0].1.double_value(&[]);
    (loss, error)
}

/// Adam, for all trained tensors of a store.
struct Adam(Vec<(Tensor, Tensor, Tensor)>, i32);

impl Adam {
    fn new(store: &MemoryStore) -> Self {
        let trained = store.list("").unwrap().into_iter().filter(|(_, p)| p.requires_grad());
        Adam(trained.map(|(_, p)| (p.shallow_clone(), p.zeros_like(), p.zeros_like())).collect(), 0)
    }

    fn step(&mut self, loss: &Tensor) {
        loss.backward();
        self.1 += 1;
        let (first, second) = (1.0 - 0.9f64.powi(self.1), 1.0 - 0.999f64.powi(self.1));
        tch::no_grad(|| {
            for (p, m, v) in &mut self.0 {
                let g = p.grad();
                *m = &*m * 0.9 + &g * 0.1;
                *v = &*v * 0.999 + g.square() * 0.001;
                let step: Tensor = (&*m / first) / ((&*v / second).sqrt() + 1e-8) * -1e-3;
                let _ = p.f_add_(&step).unwrap();
                p.zero_grad();
            }
        });
    }
}

#[test]
fn a_bonus_is_the_error_over_the_deviation_of_its_discounted_sums() {
    let store = MemoryStore::new(3);
    let options = Options { scale: 2.0, gamma: 0.9, ..plain() };
    let mut goal = made(&store, options, Some(&spaces(SIZE as usize))).unwrap();
    let mut random = Random::new(1);
    let mut sums: Vec<f64> = Vec::new();
    for step in 0..20 {
        let mut moment = OwnedMoment::of(&random.normal(&[1, SIZE], 0.5));
        let first = step % 7 == 0;
        moment.step_types = vec![if first { StepType::FIRST } else { StepType::MIDDLE }];
        let found = bonus(&mut goal, &moment)[0];
        let (_, error) = loss(&mut goal, &moment);
        if first {
            assert_eq!(found, 0.0, "nothing led to a first frame");
            continue;
        }
        sums.push(0.9 * sums.last().copied().unwrap_or(0.0) + error);
        let mean = sums.iter().sum::<f64>() / sums.len() as f64;
        let squares: f64 = sums.iter().map(|sum| (sum - mean).powi(2)).sum();
        let deviation = if sums.len() < 2 { 1.0 } else { (squares / (sums.len() - 1) as f64).sqrt() };
        let expected = 2.0 * error / deviation;
        assert!(
            (f64::from(found) - expected).abs() < 1e-4 * expected.max(1.0),
            "{step}: {found}, {expected}"
        );
    }
}

#[test]
fn what_was_seen_often_earns_less_than_what_is_new() {
    let store = MemoryStore::new(3);
    let mut goal = made(&store, plain(), Some(&spaces(SIZE as usize))).unwrap();
    let mut adam = Adam::new(&store);
    // One cell of a picture is lit: the first eight come by turns, the others never.
    let lit = |cell: i64| {
        let picture = Tensor::full([1, SIZE], -1.0, (Kind::Float, Device::Cpu));
        let _ = picture.narrow(1, cell, 1).fill_(1.0);
        OwnedMoment::of(&picture)
    };
    let mut random = Random::new(5);
    for _ in 0..1_500 {
        let moment = lit(random.below(8) as i64);
        bonus(&mut goal, &moment);
        let (loss, _) = loss(&mut goal, &moment);
        adam.step(&loss.total().unwrap().unwrap());
    }
    let seen = (0..8).map(|cell| bonus(&mut goal, &lit(cell))[0]).fold(0.0, f32::max);
    let new = (8..SIZE).map(|cell| bonus(&mut goal, &lit(cell))[0]).fold(f32::INFINITY, f32::min);
    assert!(new > 10.0 * seen, "seen: at most {seen}; new: at least {new}");
}

#[test]
fn noise_bores_it_where_a_prediction_of_what_comes_next_would_stay_wrong() {
    let store = MemoryStore::new(3);
    let mut goal = made(&store, plain(), Some(&spaces(SIZE as usize))).unwrap();
    let mut adam = Adam::new(&store);
    // A network of the same kind foretells the elements themselves.
    let (pixels, layers) = (MemoryStore::new(4), LayersOf::<Matrix>::new(r#"{"vjp": true}"#).unwrap());
    let size = Size { ins: SIZE, outs: SIZE };
    let spec = FeedForwardSpec {
        size,
        width: 64,
        depth: 2,
        sparsity: 0.0,
        matrix_last: false,
        activate_last: false,
    };
    let predictor = FeedForward::new(spec, &layers, &Params::new(&pixels)).unwrap();
    let mut pixel_adam = Adam::new(&pixels);
    let mut random = Random::new(7);
    let mut draw = || random.normal(&[1, SIZE], 0.5);
    let (mut errors, mut pixel_errors, mut before) = (Vec::new(), Vec::new(), draw());
    for _ in 0..6_000 {
        let now = draw();
        let moment = OwnedMoment::of(&now);
        bonus(&mut goal, &moment);
        let (loss, error) = loss(&mut goal, &moment);
        adam.step(&loss.total().unwrap().unwrap());
        errors.push(error);
        let off = (predictor.forward(&before).unwrap() - &now).square().mean(Kind::Float);
        pixel_errors.push(off.double_value(&[]));
        pixel_adam.step(&off);
        before = now;
    }
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    let fell = mean(&errors[5_500..]) / mean(&errors[..100]);
    // Nothing foretells noise better than its mean, whose squared error is the variance.
    let variance = 0.25;
    let left = mean(&pixel_errors[5_500..]) / variance;
    assert!(fell < 0.3 && left > 0.95, "{fell}, {left}");
}

#[test]
fn it_goes_on_exactly_and_takes_missing_values_and_streams_that_come_and_go() {
    let store = MemoryStore::new(3);
    let make = || made(&MemoryStore::new(3), plain(), Some(&spaces(SIZE as usize))).unwrap();
    let mut goal = made(&store, plain(), Some(&spaces(SIZE as usize))).unwrap();
    let mut random = Random::new(9);
    let mut step = |streams: &[u64], missing: i64| {
        let observation = random.normal(&[streams.len() as i64, SIZE], 0.5);
        let _ = observation.narrow(1, 0, missing).fill_(f64::NAN);
        OwnedMoment::of_streams(streams, &observation)
    };
    for streams in [&[0, 1, 2][..], &[2], &[0, 2], &[7, 0]] {
        let bonus = bonus(&mut goal, &step(streams, 5));
        assert!(
            bonus.len() == streams.len() && bonus.iter().all(|b| b.is_finite() && *b >= 0.0),
            "{bonus:?}"
        );
    }
    let all = bonus(&mut goal, &step(&[0], SIZE));
    assert!(all[0].is_finite(), "nothing was seen at all: {all:?}");
    goal.ended(&[7]).unwrap();
    let mut again = make();
    again.restore(goal.save().unwrap()).unwrap();
    for streams in [&[0, 1][..], &[7], &[2]] {
        let moment = step(streams, 1);
        assert_eq!(bonus(&mut goal, &moment), bonus(&mut again, &moment));
    }
    // The first stream's sum is that of what was saved: without, the deviation differs.
    let moment = step(&[0], 0);
    assert_ne!(bonus(&mut make(), &moment), bonus(&mut goal, &moment));
}

#[test]
fn an_environment_that_does_not_say_what_it_observes_is_refused() {
    let store = MemoryStore::new(3);
    let refusal =
        |spaces: Option<&Spaces>| made(&store, Options::default(), spaces).err().unwrap().to_string();
    assert_eq!(
        refusal(None),
        "rnd needs an environment that says how much it observes, and this one does not"
    );
    assert!(refusal(Some(&spaces(0))).ends_with("this environment observes nothing"));
}

#[test]
fn bonuses_begin_after_the_warm_up_which_is_saved() {
    let make = || {
        let options = Options { warm_up: 3, ..Options::default() };
        made(&MemoryStore::new(3), options, Some(&spaces(SIZE as usize))).unwrap()
    };
    let (mut goal, mut random) = (make(), Random::new(1));
    let mut step = |goal: &mut Rnd| bonus(goal, &OwnedMoment::of(&random.normal(&[1, SIZE], 0.5)))[0];
    assert_eq!([step(&mut goal), step(&mut goal)], [0.0; 2]);
    let mut again = make();
    again.restore(goal.save().unwrap()).unwrap();
    assert_eq!(step(&mut again), 0.0);
    assert!(step(&mut again) > 0.0);
}

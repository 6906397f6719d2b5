//! The goal without a host.
use super::*;
use efference_sdk::tch::{self, Device};
use efference_sdk::{ParamStore, Params, Random, RewardRange, Spaces, StepType};
use efference_testkit::{LayersOf, Matrix, MemoryStore, OwnedMoment};

const STATE: i64 = 16;
const SEEN: i64 = 8;

fn made(store: &MemoryStore, options: Options) -> Result<Siamese> {
    let layers = LayersOf::<Matrix>::new(r#"{"vjp": true}"#)?;
    let spaces = Spaces { observation: SEEN as usize, actions: vec![], reward: RewardRange::default() };
    let params = Params::new(store);
    Siamese::new(options, &GoalSetup { state_size: STATE, spaces: Some(&spaces), layers: &layers, params })
}

/// Of states, and of frames without a reward.
fn loss(goal: &mut Siamese, state: &Tensor, seen: &Tensor) -> Loss {
    let rows = seen.size()[0];
    let reward = Tensor::full([rows, 1], f64::NAN, (Kind::Float, Device::Cpu));
    let observation = Tensor::cat(&[&reward, seen], 1);
    let front = state.detach().narrow(1, 0, 1 + SEEN).where_self(&observation.isnan(), &observation);
    let target =
        Tensor::cat(&[front, state.detach().narrow(1, 1 + SEEN, STATE - 1 - SEEN)], 1).clamp(-1.0, 1.0);
    let moment = OwnedMoment::of(&observation);
    let moment = moment.get();
    goal.loss(&LossInput { moment: &moment, state, target: &target, next: None, unroll: 0 }).unwrap()
}

fn term(loss: &Loss, name: &str) -> Tensor {
    loss.terms.iter().find(|term| term.name == name).unwrap().total().unwrap()
}

fn metric(loss: &Loss, name: &str) -> f64 {
    loss.metrics.iter().find(|(n, _)| n == name).unwrap().1.double_value(&[])
}

/// A network by libtorch's operations: matrix, LayerNorm, LeakyReLU, matrix; its rows over their norm.
fn unit(store: &MemoryStore, network: &str, x: &Tensor) -> Tensor {
    let tensors: Vec<Tensor> = store.list(network).unwrap().into_iter().map(|(_, t)| t).collect();
    let [first, second] = &tensors[..] else { panic!("{network} has {} tensors", tensors.len()) };
    let hidden = x.matmul(first);
    let width = hidden.size()[1];
    let hidden = hidden.layer_norm([width], None::<&Tensor>, None::<&Tensor>, 1e-5, false).leaky_relu();
    let y = hidden.matmul(second);
    &y / y.square().sum_dim_intlist([1].as_slice(), true, Kind::Float).sqrt()
}

/// Which scopes of parameters a term has a gradient in.
fn taught(store: &MemoryStore, term: &Tensor) -> Vec<String> {
    let trained: Vec<_> = store.list("").unwrap().into_iter().filter(|(_, p)| p.requires_grad()).collect();
    term.backward();
    let with = trained.iter().filter(|(_, p)| p.grad().defined() && p.grad().any().int64_value(&[]) == 1);
    let mut scopes: Vec<String> = with.map(|(name, _)| name.split('.').next().unwrap().to_owned()).collect();
    scopes.dedup();
    store.clear_gradients();
    scopes
}

#[test]
fn its_terms_are_those_of_the_formula_and_each_teaches_its_own() {
    let store = MemoryStore::new(3);
    // The slow copy stays where it was.
    let options = Options { importance: 0.5, readout_importance: 0.25, decay: 1.0, ..Options::default() };
    let mut goal = made(&store, options).unwrap();
    let mut random = Random::new(1);
    let _ = tch::no_grad(|| store.get("encoder.layer.0.weight").unwrap().f_add_scalar_(0.1)).unwrap();
    let seen = random.normal(&[3, SEEN], 0.4).clamp(-1.0, 1.0);
    let state = random.normal(&[3, STATE], 0.4).set_requires_grad(true);
    let now = state.detach().set_requires_grad(true);
    let (u, v) = (unit(&store, "predictor", &now), unit(&store, "slow", &seen).detach());
    let latent = (&u - v).square().sum(Kind::Float);
    let encoded = {
        let hidden = |network: &str, x: &Tensor| {
            let list = store.list(network).unwrap();
            let h = x.matmul(&list[0].1);
            let width = h.size()[1];
            h.layer_norm([width], None::<&Tensor>, None::<&Tensor>, 1e-5, false)
                .leaky_relu()
                .matmul(&list[1].1)
        };
        unit(&store, "head", &hidden("encoder", &seen))
    };
    let encoder = (encoded - u.detach()).square().sum(Kind::Float);
    let readout = now.matmul(&store.get("readout.weight").unwrap()) - &seen;
    let readout = readout.square().sum(Kind::Float) * 0.5;
    for (name, expected, weight, scope) in [
        ("latent", latent, 0.5, &["predictor"][..]),
        ("encoder", encoder, 0.0, &["encoder", "head"]),
        ("readout", readout, 0.25, &["readout"]),
    ] {
        // Before the first loss latents have the mean 0 and the variance 1.
        for of in ["mean", "direction", "count"] {
            let _ = store.get(&format!("spread.{of}")).unwrap().zero_();
        }
        let _ = store.get("spread.variance").unwrap().fill_(1.0);
        let found = term(&loss(&mut goal, &state, &seen), name);
        assert!(found.allclose(&expected, 1e-4, 1e-5, false), "{name}: {found:?} {expected:?}");
        assert_eq!(taught(&store, &found), scope, "{name}");
        let gradient = state.grad();
        match weight {
            0.0 => assert!(!gradient.defined(), "{name}"),
            _ => {
                let expected = Tensor::run_backward(&[expected], &[&now], true, false).remove(0) * weight;
                assert!(gradient.allclose(&expected, 1e-4, 1e-5, false), "{name}");
            }
        }
        state.shallow_clone().zero_grad();
        if weight > 0.0 {
            efference_sdk::autograd::clear_gradient(&state);
        }
    }
}

#[test]
fn the_slow_copy_begins_as_the_encoder_and_follows_it() {
    let store = MemoryStore::new(3);
    let mut goal = made(&store, Options { decay: 0.75, ..Options::default() }).unwrap();
    let of = |name: &str| store.get(&format!("{name}.layer.0.weight")).unwrap();
    assert!(of("encoder").equal(&of("slow")) && !of("slow").requires_grad());
    let before = of("slow").copy();
    let _ = tch::no_grad(|| of("encoder").f_add_scalar_(1.0)).unwrap();
    let mut random = Random::new(1);
    let state = random.normal(&[1, STATE], 0.4).set_requires_grad(true);
    loss(&mut goal, &state, &random.normal(&[1, SEEN], 0.4));
    assert!(of("slow").allclose(&(before + 0.25), 1e-6, 1e-6, false), "a quarter of the way");
}

#[test]
fn first_frames_and_missing_elements_teach_nothing() {
    let store = MemoryStore::new(3);
    let mut goal = made(&store, Options::default()).unwrap();
    let mut random = Random::new(1);
    let state = random.normal(&[1, STATE], 0.4).set_requires_grad(true);
    let target = state.detach().clamp(-1.0, 1.0);
    let first =
        OwnedMoment { step_types: vec![StepType::FIRST], ..OwnedMoment::of(&target.narrow(1, 0, 1 + SEEN)) };
    let moment = first.get();
    let of_first = goal
        .loss(&LossInput { moment: &moment, state: &state, target: &target, next: None, unroll: 0 })
        .unwrap();
    assert_eq!(of_first.terms.len(), 1, "the reward alone");

    let nothing = Tensor::full([1, SEEN], f64::NAN, (Kind::Float, Device::Cpu));
    let found = loss(&mut goal, &state, &nothing);
    assert_eq!(term(&found, "readout").double_value(&[]), 0.0);
    assert!(term(&found, "latent").double_value(&[]).is_finite());
}

/// One of four cells is lit, and moves on by one; four other elements are noise. The state is a code of the cell before.
fn trained(decay: f64) -> (Vec<f64>, f64, f64) {
    let store = MemoryStore::new(3);
    let mut goal = made(&store, Options { decay, ..Options::default() }).unwrap();
    let mut random = Random::new(5);
    let codes = random.normal(&[4, STATE], 0.5);
    let (mut errors, mut deviation, mut readout) = (Vec::new(), 0.0, 0.0);
    for step in 0..1_500 {
        let seen = Tensor::full([1, SEEN], -1.0, (Kind::Float, Device::Cpu));
        let _ = seen.narrow(1, (step + 1) % 4, 1).fill_(1.0);
        seen.narrow(1, 4, 4).copy_(&random.normal(&[1, 4], 0.5).clamp(-1.0, 1.0));
        let state = codes.narrow(0, step % 4, 1).copy().set_requires_grad(true);
        let found = loss(&mut goal, &state, &seen);
        found.total().unwrap().unwrap().backward();
        tch::no_grad(|| {
            for (_, mut p) in store.list("").unwrap().into_iter().filter(|(_, p)| p.requires_grad()) {
                let _ = p.f_sub_(&(p.grad() * 0.03)).unwrap();
                p.zero_grad();
            }
        });
        errors.push(metric(&found, "latent_error"));
        deviation = metric(&found, "latent_deviation");
        readout = metric(&found, "readout_error");
    }
    (errors, deviation, readout)
}

#[test]
fn latents_of_what_can_be_foreseen_are_learned_and_do_not_collapse() {
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    for decay in [0.99, 0.0] {
        let (errors, deviation, readout) = trained(decay);
        let (early, late) = (mean(&errors[..50]), mean(&errors[errors.len() - 300..]));
        assert!(late < 0.4 * early, "decay {decay}: {early} → {late}");
        assert!(deviation > 0.5, "decay {decay}: {deviation}");
        // Half the squares of four elements of noise are about 0.45.
        assert!(readout < 1.5, "decay {decay}: {readout}");
    }
}

#[test]
fn a_collapse_shows() {
    let store = MemoryStore::new(3);
    let mut goal = made(&store, Options::default()).unwrap();
    let mut random = Random::new(1);
    let state = random.normal(&[1, STATE], 0.4).set_requires_grad(true);
    let mut of = |frame: &dyn Fn() -> Tensor| {
        let mut found = (0.0, 0.0);
        for _ in 0..1_000 {
            let loss = loss(&mut goal, &state, &frame());
            found = (metric(&loss, "latent_deviation"), metric(&loss, "latent_dimensions"));
        }
        found
    };
    let random = std::cell::RefCell::new(random);
    let (spread, dimensions) = of(&|| random.borrow_mut().normal(&[1, SEEN], 0.4));
    assert!(spread > 0.7 && dimensions > 5.0, "{spread} {dimensions}");
    let same = random.borrow_mut().normal(&[1, SEEN], 0.4);
    let (spread, dimensions) = of(&|| same.shallow_clone());
    assert!(spread < 0.2 && dimensions < 1.1, "{spread} {dimensions}");
}

#[test]
fn what_does_not_fit_is_an_error() {
    let store = MemoryStore::new(3);
    let error = made(&store, Options { decay: 1.5, ..Options::default() }).err().unwrap().to_string();
    assert!(error.contains("0…1"), "{error}");
}

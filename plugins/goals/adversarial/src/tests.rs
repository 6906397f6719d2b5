//! The goal without a host.
use super::*;
use efference_sdk::tch::{self, Device};
use efference_sdk::{ParamStore, Params, Random, RewardRange, Spaces};
use efference_testkit::{LayersOf, Matrix, MemoryStore, with_loss_input};

const STATE: i64 = 12;
const SEEN: i64 = 6;
const OBSERVED: i64 = SEEN + Prediction::RESERVED;

fn made(store: &MemoryStore, options: Options) -> Result<Adversarial> {
    let layers = LayersOf::<Matrix>::new(r#"{"vjp": true}"#)?;
    let spaces = Spaces { observation: SEEN as usize, actions: vec![], reward: RewardRange::default() };
    let params = Params::new(store);
    Adversarial::new(
        options,
        &GoalSetup { state_size: STATE, spaces: Some(&spaces), layers: &layers, params },
    )
}

fn target_of(state: &Tensor, observation: &Tensor) -> Tensor {
    let front = state.detach().narrow(1, 0, OBSERVED);
    let front = front.where_self(&observation.isnan(), observation);
    let rest = state.detach().narrow(1, OBSERVED, STATE - OBSERVED);
    Tensor::cat(&[front, rest], 1).clamp(-1.0, 1.0)
}

fn loss(goal: &mut Adversarial, state: &Tensor, observation: &Tensor) -> Loss {
    let target = target_of(state, observation);
    with_loss_input(state, &target, observation, |input| goal.loss(input)).unwrap()
}

fn term(loss: &Loss, name: &str) -> Tensor {
    loss.terms.iter().find(|term| term.name == name).unwrap().total().unwrap()
}

fn metric(loss: &Loss, name: &str) -> f64 {
    loss.metrics.iter().find(|(n, _)| n == name).unwrap().1.double_value(&[])
}

/// Observations without a reward.
fn observed(random: &mut Random, rows: i64) -> Tensor {
    let seen = random.normal(&[rows, SEEN], 0.4).clamp(-1.0, 1.0);
    let reserved = Tensor::full([rows, Prediction::RESERVED], f64::NAN, (Kind::Float, Device::Cpu));
    Tensor::cat(&[reserved, seen], 1)
}

/// The critic by libtorch's operations: matrix, LayerNorm, LeakyReLU, matrix.
fn judged(store: &MemoryStore, frames: &Tensor) -> Tensor {
    let tensors: Vec<Tensor> = store.list("critic").unwrap().into_iter().map(|(_, t)| t).collect();
    let [first, weight, bias] = &tensors[..] else { panic!("{} tensors", tensors.len()) };
    let ones = Tensor::ones([frames.size()[0], 1], (Kind::Float, Device::Cpu));
    let hidden = Tensor::cat(&[frames, &ones], 1).matmul(first);
    let width = hidden.size()[1];
    let hidden = hidden.layer_norm([width], None::<&Tensor>, None::<&Tensor>, 1e-5, false).leaky_relu();
    let weight = if weight.size()[0] == 1 { weight.tr() } else { weight.shallow_clone() };
    (hidden.matmul(&weight) + bias).view([-1])
}

#[test]
fn its_terms_and_their_gradients_are_those_of_the_formula() {
    for critic_loss in [CriticLoss::Hinge, CriticLoss::Logistic] {
        let store = MemoryStore::new(3);
        let mut goal = made(&store, Options { weight: 0.5, critic_loss, ..Options::default() }).unwrap();
        let mut random = Random::new(1);
        let observation = observed(&mut random, 3);
        let state = random.normal(&[3, STATE], 0.5).set_requires_grad(true);
        let loss = loss(&mut goal, &state, &observation);
        let real = observation.narrow(1, 4, SEEN);
        let frames = state.detach().narrow(1, 4, SEEN).set_requires_grad(true);
        let (of_real, of_predicted) = (judged(&store, &real), judged(&store, &frames));
        let (own, against) = match critic_loss {
            CriticLoss::Hinge => ((-&of_real + 1.0).relu() + (&of_predicted + 1.0).relu(), -&of_predicted),
            CriticLoss::Logistic => {
                ((-&of_real).exp().log1p() + of_predicted.exp().log1p(), (-&of_predicted).exp().log1p())
            }
        };
        let (own, against) = (own.sum(Kind::Float), against.sum(Kind::Float) * 0.5);
        let close =
            |a: &Tensor, b: &Tensor| assert!(a.allclose(b, 1e-4, 1e-5, false), "{a:?} {b:?} {critic_loss:?}");
        close(&term(&loss, "critic"), &own);
        close(&term(&loss, "adversarial"), &against);

        let parameters: Vec<Tensor> = store.list("").unwrap().into_iter().map(|(_, t)| t).collect();
        let expected = Tensor::run_backward(&[&against], &[&frames], true, false).remove(0);
        let found = Tensor::run_backward(&[term(&loss, "adversarial")], &[&state], true, false).remove(0);
        close(&found.narrow(1, 4, SEEN), &expected);
        assert_eq!(found.narrow(1, 0, 4).abs().sum(Kind::Float).double_value(&[]), 0.0);
        // Nothing of it is left in the critic, which learns from its own term alone.
        assert!(parameters.iter().all(|p| !p.grad().defined()));
        let expected = Tensor::run_backward(&[own], &parameters, true, false);
        term(&loss, "critic").backward();
        for (p, expected) in parameters.iter().zip(&expected) {
            close(&p.grad(), expected);
        }
        assert!(!state.grad().defined(), "the critic's own term reaches no state");
        let count = |right: Tensor| right.sum(Kind::Float).double_value(&[]);
        let right = count(of_real.gt(0.0)) + count(of_predicted.lt(0.0));
        assert!((metric(&loss, "critic_accuracy") - right / 6.0).abs() < 1e-6);
    }
}

#[test]
fn missing_elements_are_no_clue_and_get_no_gradient_of_the_critic() {
    let store = MemoryStore::new(3);
    let mut goal = made(&store, Options::default()).unwrap();
    let mut random = Random::new(1);
    let observation = observed(&mut random, 2);
    let _ = observation.narrow(1, 5, 2).fill_(f64::NAN);
    let values = random.normal(&[2, STATE], 0.5);
    let of = |goal: &mut Adversarial, values: &Tensor| {
        let state = values.copy().set_requires_grad(true);
        let loss = loss(goal, &state, &observation);
        let gradient = Tensor::run_backward(&[term(&loss, "adversarial")], &[&state], true, false).remove(0);
        (term(&loss, "critic").double_value(&[]), gradient)
    };
    let (critic, gradient) = of(&mut goal, &values);
    let norm = |from, count| gradient.narrow(1, from, count).abs().sum(Kind::Float).double_value(&[]);
    assert!(norm(4, 1) > 0.0 && norm(7, 3) > 0.0 && norm(5, 2) == 0.0);
    let _ = values.narrow(1, 5, 2).fill_(0.77);
    assert_eq!(of(&mut goal, &values).0, critic, "what is predicted of missing elements does not count");
}

#[test]
fn without_weight_it_is_predict_with_a_critic_that_looks_on() {
    let store = MemoryStore::new(3);
    let mut goal = made(&store, Options { weight: 0.0, ..Options::default() }).unwrap();
    let mut random = Random::new(1);
    let (observation, state) =
        (observed(&mut random, 2), random.normal(&[2, STATE], 0.5).set_requires_grad(true));
    let found = loss(&mut goal, &state, &observation);
    let names: Vec<&str> = found.terms.iter().map(|term| term.name.as_str()).collect();
    assert_eq!(names, ["observation", "reserved", "critic"]);
    let mut plain = Loss::default();
    let target = target_of(&state, &observation);
    with_loss_input(&state, &target, &observation, |input| goal.prediction.add(input, &mut plain)).unwrap();
    assert!(term(&plain, "observation").equal(&term(&found, "observation")));
}

/// Half of the frames are all 0.8, half all −0.8, by chance: their mean is 0, which never comes.
#[test]
fn a_critic_sharpens_what_an_error_alone_blurs() {
    // What is so small is slower by several threads, which wait for each other.
    tch::set_num_threads(1);
    let found = [0.0, 0.6].map(|weight| {
        let store = MemoryStore::new(3);
        let mut goal = made(&store, Options { weight, ..Options::default() }).unwrap();
        let mut random = Random::new(5);
        let mut state = random.normal(&[1, STATE], 0.05);
        let (mut sizes, mut accuracy) = (0.0, 0.0);
        for step in 0..1_000 {
            let side = if random.below(2) == 0 { 0.8 } else { -0.8 };
            let observation = observed(&mut random, 1);
            let _ = observation.narrow(1, 4, SEEN).fill_(side);
            state = state.detach().set_requires_grad(true);
            let found = loss(&mut goal, &state, &observation);
            found.total().unwrap().unwrap().backward();
            tch::no_grad(|| {
                for (_, mut p) in store.list("").unwrap() {
                    let _ = p.f_sub_(&(p.grad() * 0.02)).unwrap();
                    p.zero_grad();
                }
            });
            if step >= 700 {
                sizes += state.narrow(1, 4, SEEN).abs().mean(Kind::Float).double_value(&[]) / 300.0;
                accuracy += metric(&found, "critic_accuracy") / 300.0;
            }
            state = state.detach() - state.grad() * 0.02;
        }
        (sizes, accuracy)
    });
    let [(blurred, told), (sharp, fooled)] = found;
    assert!(blurred < 0.25 && sharp > 1.5 * blurred, "{found:?}");
    assert!(told > 0.9 && fooled < told, "{found:?}");
}

#[test]
fn what_does_not_fit_is_an_error() {
    let store = MemoryStore::new(3);
    let error = made(&store, Options { weight: f64::NAN, ..Options::default() }).err().unwrap().to_string();
    assert!(error.contains("finite"), "{error}");
}

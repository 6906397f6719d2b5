use super::*;
use efference_sdk::tch::Kind;
use efference_sdk::{LayerFactory, Nonlinearity, ParamStore, Params, Random, Size, Stack, StackSpec};
use efference_testkit::{LayersOf, Matrix, PlainAgent, Predicts, Rule, StackCell, play, sgd, story};
use std::sync::{Arc, Mutex};

fn agent<'a>(options: Options, layers: &'a dyn LayerFactory, rule: Rule) -> (PlainAgent<'a>, Immediate) {
    let mut agent = PlainAgent::new(8, layers, 1, rule);
    let trainer = Immediate::new(options, &agent.trainer_setup(4)).unwrap();
    let size = Size { ins: trainer.input().unwrap().width, outs: 8 };
    let spec = StackSpec { size, layers: 1, nonlinearity: Nonlinearity::Softsign, zero_at_start: false };
    let stack = Stack::new(spec, layers, &Params::new(&agent.store).scope("cell")).unwrap();
    agent.set_cell(Box::new(StackCell(stack)));
    agent.set_goal(Box::new(Predicts));
    (agent, trainer)
}

#[test]
fn normalised_gradients_are_those_divided_by_the_root_of_their_mean_square() {
    let layers = LayersOf::<Matrix>::new("{}").unwrap();
    let story = story(&mut Random::new(3), 6, 6);
    // The parameters stay, so the gradients are the same ones.
    let gathered = |options: Options| {
        let gathered = Arc::new(Mutex::new(Vec::new()));
        let into = gathered.clone();
        let rule: Rule = Box::new(move |name, _, gradient| {
            if name == "cell.layer.0.weight" {
                into.lock().unwrap().push(gradient.copy());
            }
            Ok(())
        });
        let (agent, mut trainer) = agent(options, &layers, rule);
        play(&agent, &mut trainer, &story).unwrap();
        drop(agent);
        std::mem::take(&mut *gathered.lock().unwrap())
    };
    let plain = gathered(Options::default());
    let normalised = gathered(Options { normalise: true, normalise_decay: 0.5, ..Options::default() });
    assert!(plain.len() >= 3 && plain.len() == normalised.len());
    let mut mean = 0.0;
    for (n, (plain, found)) in (1..).zip(plain.iter().zip(&normalised)) {
        mean = 0.5 * mean + 0.5 * plain.square().mean(Kind::Double).double_value(&[]);
        let root = (mean / (1.0 - 0.5f64.powi(n))).sqrt();
        assert!(found.allclose(&(plain / (root + 1e-8)), 1e-5, 1e-6, false), "gradient {n}");
    }
}

#[test]
fn with_its_mean_squares_it_goes_on_bit_for_bit() {
    let layers = LayersOf::<Matrix>::new("{}").unwrap();
    let options = || Options { normalise: true, reset_after_episode: true, ..Options::default() };
    let story = story(&mut Random::new(9), 24, 6);
    let (first, mut trainer) = agent(options(), &layers, sgd(0.01));
    play(&first, &mut trainer, &story[..11]).unwrap();
    let (second, mut restored) = agent(options(), &layers, sgd(0.01));
    for (name, value) in first.store.list("").unwrap() {
        second.store.set(&name, &value).unwrap();
    }
    Trainer::restore(&mut restored, Trainer::save(&trainer).unwrap()).unwrap();
    let answers = play(&first, &mut trainer, &story[11..]).unwrap();
    for (a, b) in answers.iter().zip(play(&second, &mut restored, &story[11..]).unwrap()) {
        assert!(a.equal(&b));
    }
}

#[test]
fn a_decay_that_never_forgets_is_refused() {
    let layers = LayersOf::<Matrix>::new("{}").unwrap();
    let agent = PlainAgent::new(8, &layers, 1, sgd(0.05));
    let options = Options { normalise: true, normalise_decay: 1.0, ..Options::default() };
    let said = Immediate::new(options, &agent.trainer_setup(4)).err().unwrap().to_string();
    assert_eq!(said, "normalise_decay must be within 0…1, below 1, and is 1");
}

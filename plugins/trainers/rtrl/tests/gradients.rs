//! The gradients against full backpropagation through time, with the real cells and layers.
use efference_dense::Dense;
use efference_ldl::Ldl;
use efference_mingru::MinGru;
use efference_rtrl::{Options, Rtrl};
use efference_rtu::Rtu;
use efference_sdk::tch::{Device, Kind, Tensor};
use efference_sdk::{
    Agent, Cell, CellSetup, InputLayout, LayerFactory, Nonlinearity, ParamStore, Params, Plugin, Random,
    RewardRange, Size, Spaces, Stack, StackSpec, StepType, Trainer, TrainerSetup, options,
};
use efference_testkit::{
    Happening, LayersOf, Matrix, PlainAgent, Predicts, Rule, StackCell, play, sgd, story, with_loss_input,
};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// The goal's reserved slots, and what is observed.
const RESERVED: i64 = 4;

type Sums = Arc<Mutex<BTreeMap<String, Tensor>>>;

/// An update rule that changes nothing, and what it has seen of gradients in all.
fn adding() -> (Rule, Sums) {
    let sums = Sums::default();
    let into = sums.clone();
    let rule: Rule = Box::new(move |name, _, gradient| {
        let mut sums = into.lock().unwrap();
        let sum = sums.get(name).map_or_else(|| gradient.copy(), |sum| sum + gradient);
        sums.insert(name.to_owned(), sum);
        Ok(())
    });
    (rule, sums)
}

/// A cell as a spec has it: plugin and options.
fn cell(plugin: &str, options: &str, setup: &CellSetup<'_>) -> Box<dyn Cell> {
    match plugin {
        "mingru" => Box::new(MinGru::new(options::read(options).unwrap(), setup).unwrap()),
        _ => Box::new(Rtu::new(options::read(options).unwrap(), setup).unwrap()),
    }
}

fn agent<'a>(
    (plugin, options): (&str, &str),
    (size, observed): (i64, i64),
    layers: &'a dyn LayerFactory,
    rule: Rule,
    reset_after_episode: bool,
) -> (PlainAgent<'a>, Rtrl) {
    let mut agent = PlainAgent::new(size, layers, 1, rule);
    let spaces =
        Spaces { observation: observed as usize, actions: Vec::new(), reward: RewardRange::default() };
    let setup = TrainerSetup { spaces: Some(&spaces), ..agent.trainer_setup(RESERVED) };
    let trainer = Rtrl::new(Options { reset_after_episode, ..Options::default() }, &setup).unwrap();
    let InputLayout { width, observation, action } = trainer.input().unwrap();
    let params = Params::new(&agent.store).scope("cell");
    let setup = CellSetup { size: Size { ins: width, outs: size }, observation, action, layers, params };
    let cell = cell(plugin, options, &setup);
    agent.set_cell(cell);
    agent.set_goal(Box::new(Predicts));
    (agent, trainer)
}

/// Full backpropagation through time: the gradients of all losses of a story.
fn full(agent: &PlainAgent<'_>, size: i64, reset: bool, story: &[Happening]) -> BTreeMap<String, Tensor> {
    let zeros = || Tensor::zeros([1, size], (Kind::Float, Device::Cpu)).set_requires_grad(true);
    let mut states: BTreeMap<u64, Tensor> = BTreeMap::new();
    let mut total = Tensor::from(0.0f32);
    for now in story {
        now.ended.iter().for_each(|stream| drop(states.remove(stream)));
        let observation = now.observed();
        let length = observation.size()[1];
        for (row, stream) in now.active.iter().enumerate() {
            let state = states.remove(stream).unwrap_or_else(zeros);
            let observed = observation.narrow(0, row as i64, 1);
            let front = state.narrow(1, 0, length).where_self(&observed.isnan(), &observed);
            let target = Tensor::cat(&[front, state.narrow(1, length, size - length)], 1).clamp(-1.0, 1.0);
            let detached = target.detach();
            let loss = with_loss_input(&state, &detached, &observed, |input| agent.loss(input)).unwrap();
            total += loss.total().unwrap().unwrap();
            let next = agent.transition(&Tensor::cat(&[&state, &target], 1)).unwrap();
            let over = reset && now.step_types[row].is_last();
            states.insert(*stream, if over { zeros() } else { next });
        }
    }
    total.backward();
    let all = Agent::parameters(agent, "cell").unwrap();
    let gradients = all.into_iter().map(|(name, p)| (name, p.grad().copy())).collect();
    agent.clear_gradients("cell").unwrap();
    gradients
}

/// One stream that observes random numbers for so many steps.
fn long(random: &mut Random, steps: usize, length: usize) -> Vec<Happening> {
    let one = |_| Happening {
        active: vec![5],
        step_types: vec![StepType::MIDDLE],
        observation: vec![(0..length).map(|_| random.unit() as f32 * 2.0 - 1.0).collect()],
        ..Happening::default()
    };
    (0..steps).map(one).collect()
}

/// The parameters whose gradients are exact, by what the cell says.
fn exact_names(agent: &dyn Agent) -> Vec<String> {
    agent.recurrence().unwrap().unwrap().units.into_iter().map(|(name, _)| name).collect()
}

/// Which parameters are exact, and the difference of each gradient from full backpropagation's, as a share of its largest
/// element.
fn differences(
    cell: (&str, &str),
    (size, observed): (i64, i64),
    layers: &dyn LayerFactory,
    reset: bool,
    story: &[Happening],
) -> (Vec<String>, BTreeMap<String, f64>) {
    let (rule, sums) = adding();
    let (agent, mut trainer) = agent(cell, (size, observed), layers, rule, reset);
    trainer.begin(&agent).unwrap();
    let exact = exact_names(&agent);
    play(&agent, &mut trainer, story).unwrap();
    let expected = full(&agent, size, reset, story);
    let sums = sums.lock().unwrap();
    let difference = |(name, expected): (&String, &Tensor)| {
        let off = (&sums[name] - expected).abs().max().double_value(&[]);
        (name.clone(), off / expected.abs().max().double_value(&[]))
    };
    (exact, expected.iter().map(difference).collect())
}

const CELLS: [(&str, &str); 4] = [
    ("mingru", r#"{"longest": 50.0}"#),
    ("rtu", r#"{"r_min": 0.9}"#),
    ("rtu", r#"{"variant": "nonlinear", "unit_nonlinearity": "tanh"}"#),
    ("rtu", r#"{"unit_nonlinearity": "softsign", "layers": 2}"#),
];

#[test]
fn gradients_are_those_of_full_backpropagation_over_64_steps() {
    let dense = LayersOf::<Dense>::new("{}").unwrap();
    for cell in CELLS {
        let story = long(&mut Random::new(3), 64, 7);
        let (exact, found) = differences(cell, (16, 3), &dense, false, &story);
        assert_eq!(exact.len(), found.len(), "all parameters of {cell:?} are exact");
        for (name, difference) in found {
            assert!(difference < 1e-5, "{name} of {cell:?} is off by {difference:e}");
        }
    }
}

#[test]
fn they_are_for_streams_that_come_sit_out_end_and_begin_again() {
    let dense = LayersOf::<Dense>::new("{}").unwrap();
    for (trial, cell) in (0..).zip(CELLS) {
        let story = story(&mut Random::new(trial), 64, 7);
        for reset in [false, true] {
            let (_, found) = differences(cell, (16, 3), &dense, reset, &story);
            for (name, difference) in found {
                assert!(difference < 1e-5, "{name} of {cell:?} is off by {difference:e}, reset {reset}");
            }
        }
    }
}

#[test]
fn through_ldl_those_of_the_last_factor_the_units_and_the_read_out_are() {
    let ldl = LayersOf::<Ldl>::new(r#"{"radix": 4, "sharing": "none"}"#).unwrap();
    for cell in CELLS {
        let story = long(&mut Random::new(3), 64, 24);
        let (exact, found) = differences(cell, (60, 20), &ldl, false, &story);
        let (mut are, mut are_not) = (0, 0);
        for (name, difference) in found {
            if exact.contains(&name) {
                are += 1;
                assert!(difference < 1e-5, "{name} of {cell:?} is off by {difference:e}");
            } else {
                are_not += 1;
                assert!(difference > 1e-3, "{name} of {cell:?} gets the immediate gradient alone");
                assert!(name.contains(".layer.weight.") || name.contains(".layer.bias."), "{name}");
            }
        }
        assert!(are > 6 && are_not >= 4, "{are} {are_not}");
    }
}

#[test]
fn what_is_saved_at_any_step_goes_on_bit_for_bit() {
    let dense = LayersOf::<Dense>::new("{}").unwrap();
    let story = story(&mut Random::new(9), 30, 7);
    for cell in [CELLS[0], CELLS[1]] {
        let made = || {
            let (agent, mut trainer) = agent(cell, (16, 3), &dense, sgd(0.01), true);
            trainer.begin(&agent).unwrap();
            (agent, trainer)
        };
        for at in [0, 1, 12, 20] {
            let (first, mut trainer) = made();
            play(&first, &mut trainer, &story[..at]).unwrap();
            let (second, mut restored) = made();
            for (name, value) in first.store.list("").unwrap() {
                second.store.set(&name, &value).unwrap();
            }
            Trainer::restore(&mut restored, Trainer::save(&trainer).unwrap()).unwrap();
            let answers = play(&first, &mut trainer, &story[at..]).unwrap();
            for (a, b) in answers.iter().zip(play(&second, &mut restored, &story[at..]).unwrap()) {
                assert!(a.equal(&b), "{cell:?} saved at {at}");
            }
            for (name, a) in first.store.list("").unwrap() {
                assert!(a.equal(&second.store.get(&name).unwrap()), "{name}");
            }
        }
    }
}

#[test]
fn what_was_saved_of_other_parameters_is_refused() {
    let dense = LayersOf::<Dense>::new("{}").unwrap();
    let made = |cell| {
        let (agent, mut trainer) = agent(cell, (16, 3), &dense, sgd(0.01), false);
        trainer.begin(&agent).unwrap();
        (agent, trainer)
    };
    let (first, mut trainer) = made(CELLS[0]);
    play(&first, &mut trainer, &long(&mut Random::new(1), 3, 7)).unwrap();
    let (_, mut other) = made(CELLS[1]);
    let said = Trainer::restore(&mut other, Trainer::save(&trainer).unwrap()).unwrap_err().to_string();
    assert!(said.contains("whose gradient is not carried here"), "{said}");
    let (_, mut other) = made(("mingru", r#"{"units": 3}"#));
    let said = Trainer::restore(&mut other, Trainer::save(&trainer).unwrap()).unwrap_err().to_string();
    assert!(said.contains("should have the shape [1, 3"), "{said}");
}

#[test]
fn a_cell_whose_units_see_each_other_is_refused() {
    let layers = LayersOf::<Matrix>::new("{}").unwrap();
    let mut agent = PlainAgent::new(8, &layers, 1, sgd(0.1));
    let mut trainer = Rtrl::new(Options::default(), &agent.trainer_setup(RESERVED)).unwrap();
    let spec = StackSpec {
        size: Size { ins: 16, outs: 8 },
        layers: 1,
        nonlinearity: Nonlinearity::Softsign,
        zero_at_start: false,
    };
    agent.set_cell(Box::new(StackCell(
        Stack::new(spec, &layers, &Params::new(&agent.store).scope("cell")).unwrap(),
    )));
    agent.set_goal(Box::new(Predicts));
    let said = trainer.begin(&agent).unwrap_err().to_string();
    assert!(said.contains("set plugin = \"mingru\" or \"rtu\" under [cell]"), "{said}");
}

/// What the immediate gradients of the earlier factors cost: `cargo test … -- --ignored --nocapture angle`.
#[test]
#[ignore = "measures, and prints"]
#[allow(clippy::print_stdout)]
fn the_angle_to_the_full_gradient_through_ldl() {
    let cosine = |pairs: &[(&Tensor, &Tensor)]| {
        let sum = |f: &dyn Fn(&Tensor, &Tensor) -> Tensor| -> f64 {
            pairs.iter().map(|(a, b)| f(a, b).sum(Kind::Double).double_value(&[])).sum()
        };
        sum(&|a, b| a * b) / (sum(&|a, _| a * a) * sum(&|_, b| b * b)).sqrt()
    };
    for size in [256, 1024] {
        let ldl = LayersOf::<Ldl>::new(r#"{"radix": 16, "sharing": "none"}"#).unwrap();
        for cell in CELLS {
            let observed = size / 4;
            let story = long(&mut Random::new(3), 64, (RESERVED + observed) as usize);
            let (rule, sums) = adding();
            let (agent, mut trainer) = agent(cell, (size, observed), &ldl, rule, false);
            trainer.begin(&agent).unwrap();
            let exact = exact_names(&agent);
            play(&agent, &mut trainer, &story).unwrap();
            let expected = full(&agent, size, false, &story);
            let sums = sums.lock().unwrap();
            let pairs: Vec<_> = expected.iter().map(|(name, full)| (name, (&sums[name], full))).collect();
            let of = |keep: &dyn Fn(&str) -> bool| {
                let pairs: Vec<_> = pairs.iter().filter(|(n, _)| keep(n)).map(|(_, pair)| *pair).collect();
                cosine(&pairs).acos().to_degrees()
            };
            println!(
                "N = {size}, {cell:?}: all {:.1}°, without the read-out {:.1}°, earlier factors alone {:.1}°",
                of(&|_| true),
                of(&|name| !name.contains("read_out")),
                of(&|name| !exact.iter().any(|e| e == name)),
            );
        }
    }
}

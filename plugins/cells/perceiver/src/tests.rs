use super::*;
use efference_sdk::{Params, Random};
use efference_testkit::contract::{CELL_CHECKS, Cells, assert_all};
use efference_testkit::{LayersOf, Matrix, MemoryStore, check_gradients};

fn perceiver(
    options: Options,
    ins: i64,
    outs: i64,
    observation: Range<i64>,
) -> Result<(MemoryStore, Perceiver)> {
    let store = MemoryStore::new(4);
    let factory = LayersOf::<Matrix>::new("{}")?;
    let setup = CellSetup {
        size: Size { ins, outs },
        observation,
        action: 0..0,
        layers: &factory,
        params: Params::new(&store),
    };
    let cell = Perceiver::new(options, &setup)?;
    Ok((store, cell))
}

fn of(window: i64, width: i64, heads: i64) -> Options {
    Options { window, width, heads, ..Options::default() }
}

#[test]
fn it_keeps_the_contract() {
    let cells = Cells::new(|setup| Ok(Box::new(Perceiver::new(of(3, 1, 2), setup)?)));
    // The last two, memory and speed, take seconds; the end-to-end tests make all of them.
    assert_all(&CELL_CHECKS[..CELL_CHECKS.len() - 2], &cells);
}

#[test]
fn a_range_is_what_it_is_of_all_outputs_and_its_gradients_are_right() {
    for (ins, observation) in [(24, 13..16), (24, 0..0), (26, 0..0), (12, 0..0), (14, 0..0)] {
        let options = Options { layers: 2, gate_bias: 1.0, ..of(3, 2, 2) };
        let (store, cell) = perceiver(options, ins, 12, observation).unwrap();
        let x = Random::new(2).normal(&[3, ins], 0.5);
        let front = x.narrow(1, 0, 12).copy();
        let rest = x.narrow(1, 12, ins - 12);
        check_gradients(&front, &store, |front| cell.forward(&Tensor::cat(&[front, &rest], 1), 0..12))
            .unwrap();
        let all = cell.forward(&x, 0..12).unwrap();
        assert!(cell.forward(&x, 2..9).unwrap().allclose(&all.narrow(1, 2, 7), 1e-6, 1e-6, false));
    }
}

/// The formula of the first page, sum by sum in 64 bits; what the stacks make is taken from them.
#[test]
fn it_is_the_formula() {
    // A state of 12: a front of 6, then 3 frames of 2 elements; the reward is at 12, what is observed at 14..17.
    let options = Options { gate_bias: 0.5, ..of(3, 2, 2) };
    let (store, cell) = perceiver(options, 24, 12, 14..17).unwrap();
    let x = Random::new(2).normal(&[1, 24], 0.5);
    let numbers =
        |t: &Tensor| -> Vec<f64> { t.detach().to_kind(Kind::Double).reshape([-1]).try_into().unwrap() };
    let row = |numbers: &[f64]| {
        let numbers: Vec<f32> = numbers.iter().map(|n| *n as f32).collect();
        Tensor::from_slice(&numbers).reshape([1, -1])
    };
    let input = numbers(&x);
    let (p, memory) = (&input[..6], &input[6..12]);
    let u = [&input[12..13], &input[14..17]].concat();
    let now: Vec<f64> = numbers(&cell.compress.forward(&row(&u)).unwrap()).iter().map(|c| c.tanh()).collect();
    let frames: Vec<&[f64]> = now.chunks(2).chain(memory.chunks(2)).collect();
    let q = numbers(&cell.query.forward(&row(&[p, &u].concat())).unwrap());
    let age = numbers(&store.get("age").unwrap());
    let mut s = [p, &u].concat();
    for head in 0..2 {
        let likeness = |i: usize| -> f64 {
            (0..2).map(|n| q[2 * head + n] * (frames[i][n] + age[2 * i + n])).sum::<f64>() / 2.0f64.sqrt()
        };
        let shares: Vec<f64> = (0..4).map(|i| likeness(i).exp()).collect();
        let total: f64 = shares.iter().sum();
        s.extend((0..2).map(|n| (0..4).map(|i| shares[i] / total * frames[i][n]).sum::<f64>()));
    }
    let z = numbers(&cell.z.forward(&row(&s)).unwrap());
    let candidate = numbers(&cell.candidate.forward(&row(&s)).unwrap());
    let found = numbers(&cell.forward(&x, 0..12).unwrap());
    for n in 0..6 {
        let z = 1.0 / (1.0 + (0.5 - z[n]).exp());
        let expected = (1.0 - z) * p[n] + z * 1.2 * candidate[n].tanh();
        assert!((found[n] - expected).abs() < 1e-5, "{n}: {} {expected}", found[n]);
    }
    let expected = [&now[..], &memory[..4]].concat();
    for (found, expected) in found[6..].iter().zip(expected) {
        assert!((found - expected).abs() < 1e-6);
    }
}

#[test]
fn frames_move_on_and_are_dropped_when_they_leave_the_window() {
    let (_store, cell) = perceiver(of(3, 2, 2), 24, 12, 13..16).unwrap();
    assert_eq!(cell.memory().unwrap(), 6);
    let mut state = Tensor::zeros([2, 12], (Kind::Float, efference_sdk::tch::Device::Cpu));
    let mut compressed = Vec::new();
    for step in 0..5 {
        let observed = Random::new(step).normal(&[2, 12], 0.5);
        let x = Tensor::cat(&[&state, &observed], 1);
        let u = cell.beside.of(&x).unwrap().unwrap();
        compressed.insert(0, cell.compress.forward(&u).unwrap().tanh());
        state = cell.forward(&x, 0..12).unwrap();
        for (age, frame) in compressed.iter().take(3).enumerate() {
            assert!(state.narrow(1, 6 + 2 * age as i64, 2).allclose(frame, 1e-6, 1e-6, false));
        }
        // What was never seen is zeros.
        for age in compressed.len()..3 {
            assert_eq!(state.narrow(1, 6 + 2 * age as i64, 2).abs().max().double_value(&[]), 0.0);
        }
    }
}

#[test]
fn what_is_behind_the_state_is_looked_at_but_for_the_second_copy_of_the_memory() {
    let (_store, cell) = perceiver(of(3, 2, 2), 26, 12, 0..0).unwrap();
    assert!(matches!(&cell.beside, Beside::Rest(parts) if parts[..] == [12..18, 24..26]));
    let (_store, cell) = perceiver(of(3, 2, 2), 12, 12, 0..0).unwrap();
    assert!(matches!(&cell.beside, Beside::Nothing));
}

#[test]
fn a_width_of_0_fills_half_of_the_state() {
    let window = |window: i64, outs: i64| perceiver(of(window, 0, 2), 2 * outs, outs, 0..0).unwrap().1.window;
    assert_eq!(window(16, 100), Window { front: 52, frames: 16, width: 3 });
    assert_eq!(window(16, 8), Window { front: 4, frames: 4, width: 1 });
    assert_eq!(window(1, 8), Window { front: 4, frames: 1, width: 4 });
    assert_eq!(window(16, 1), Window { front: 1, frames: 0, width: 1 });
}

#[test]
fn what_does_not_fit_is_refused_with_the_key_to_change() {
    let said = |options, ins| perceiver(options, ins, 12, 0..0).err().unwrap().to_string();
    assert!(said(of(4, 3, 1), 24).contains("lower `window` or `width` under [cell]"));
    assert!(said(of(2, 2, 1), 11).contains("cannot be smaller"));
    let not_finite = Options { gate_bias: f64::NAN, ..of(2, 2, 1) };
    assert!(said(not_finite, 24).contains("gate_bias must be a finite number"));
}

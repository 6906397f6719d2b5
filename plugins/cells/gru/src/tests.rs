use super::*;
use efference_sdk::{Params, Random};
use efference_testkit::{LayersOf, Matrix, MemoryStore, check_gradients};

fn gru(layers: i64, ins: i64, outs: i64, observation: Range<i64>) -> Result<(MemoryStore, Gru)> {
    let store = MemoryStore::new(4);
    let factory = LayersOf::<Matrix>::new("{}")?;
    let setup = CellSetup {
        size: Size { ins, outs },
        observation,
        action: 0..0,
        layers: &factory,
        params: Params::new(&store),
    };
    let gru = Gru::new(Options { layers, ..Options::default() }, &setup)?;
    Ok((store, gru))
}

#[test]
fn a_range_is_what_it_is_of_all_outputs_and_its_gradients_are_right() {
    for (ins, outs) in [(20, 10), (10, 10), (13, 10)] {
        let (store, gru) = gru(2, ins, outs, 0..0).unwrap();
        let x = Random::new(2).normal(&[3, ins], 0.5);
        check_gradients(&x, &store, |x| gru.forward(x, 0..outs)).unwrap();
        let all = gru.forward(&x, 0..outs).unwrap();
        assert!(gru.forward(&x, 2..7).unwrap().allclose(&all.narrow(1, 2, 5), 1e-6, 1e-6, false));
    }
}

/// The formula, number by number, in 64 bits.
#[test]
fn it_is_the_formula() {
    // State 0 and 1; of what is observed, 2 is the reward and 4 the observation.
    let (store, gru) = gru(1, 6, 2, 4..5).unwrap();
    let x = [0.3f32, -0.6, 0.5, 9.0, -0.8, 9.0];
    let numbers = |name: &str| {
        let (weight, factor) = (
            store.get(&format!("{name}.layer.0.weight")).unwrap(),
            store.get(&format!("{name}.mult.0")).unwrap(),
        );
        let weight = Vec::<f32>::try_from(weight.detach().flatten(0, -1)).unwrap();
        (weight.into_iter().map(f64::from).collect::<Vec<_>>(), factor.double_value(&[]))
    };
    let map = |name: &str, input: &[f64; 4], out: usize| {
        let (weight, factor) = numbers(name);
        factor * (0..4).map(|i| input[i] * weight[i * 2 + out]).sum::<f64>()
    };
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let [h0, h1, reward, seen] = [0, 1, 2, 4].map(|i| f64::from(x[i]));
    let r = [0, 1].map(|out| sigmoid(map("r", &[h0, h1, reward, seen], out)));
    let found = gru.forward(&Tensor::from_slice(&x).reshape([1, 6]), 0..2).unwrap();
    for (out, h) in [h0, h1].into_iter().enumerate() {
        let z = sigmoid(map("z", &[h0, h1, reward, seen], out));
        let c = 1.2 * map("c", &[r[0] * h0, r[1] * h1, reward, seen], out).tanh();
        let expected = (1.0 - z) * h + z * c;
        assert!((found.double_value(&[0, out as i64]) - expected).abs() < 1e-6, "{found:?}");
    }
}

#[test]
fn a_state_larger_than_the_input_is_an_error() {
    assert!(gru(1, 4, 5, 0..0).err().unwrap().to_string().contains("cannot be smaller"));
}

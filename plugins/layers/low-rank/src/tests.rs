use super::*;
use efference_sdk::tch::Kind;
use efference_sdk::{Params, Random};
use efference_testkit as testkit;
use efference_testkit::contract::{LAYER_CHECKS, Layers, assert_all};

fn low_rank(options: Options, ins: i64, outs: i64) -> (testkit::MemoryStore, LowRank) {
    let store = testkit::MemoryStore::new(1);
    let setup = LayerSetup { size: Size { ins, outs }, params: Params::new(&store) };
    let layer = LowRank::new(options, &setup).unwrap();
    (store, layer)
}

#[test]
fn it_keeps_the_contract_with_and_without_a_bias() {
    for options in [Options::default(), Options { rank: 3, bias: false, gain: 0.5 }] {
        let layers = Layers::new(move |setup| Ok(Box::new(LowRank::new(options.clone(), setup)?)));
        // The last two, memory and speed, take seconds; the end-to-end tests make all of them.
        assert_all(&LAYER_CHECKS[..LAYER_CHECKS.len() - 2], &layers);
    }
}

/// The formula, element by element, in 64 bits.
#[test]
fn it_is_the_formula() {
    let (store, layer) = low_rank(Options { rank: 2, ..Options::default() }, 4, 3);
    store.set("up.bias", &Tensor::from_slice(&[0.1f32, -0.2, 0.3])).unwrap();
    let [v, u, b] = ["down.weight", "up.weight", "up.bias"].map(|name| store.get(name).unwrap());
    let x = [0.3f32, -0.6, 0.5, 0.9];
    let y = layer.forward(&Tensor::from_slice(&x).view([1, 4]), 0..3).unwrap();
    let z = |r: i64| (0..4).map(|i| f64::from(x[i as usize]) * v.double_value(&[r, i])).sum::<f64>();
    for out in 0..3 {
        let expected = b.double_value(&[out]) + (0..2).map(|r| u.double_value(&[out, r]) * z(r)).sum::<f64>();
        assert!((y.double_value(&[0, out]) - expected).abs() < 1e-6);
    }
}

#[test]
fn a_rank_of_0_takes_a_quarter_of_a_full_matrix_and_none_more_than_there_are_maps_for() {
    for (wanted, ins, outs, expected) in [
        (0, 64, 64, 8),
        (0, 640, 320, 53), // 640 · 320 / 3,840 = 53.3
        (0, 1, 1, 1),
        (0, 1, 500, 1),
        (5, 64, 64, 5),
        (500, 64, 24, 24),
    ] {
        let (store, layer) = low_rank(Options { rank: wanted, ..Options::default() }, ins, outs);
        assert_eq!(store.get("down.weight").unwrap().size(), [expected, ins]);
        assert_eq!(store.get("up.weight").unwrap().size(), [outs, expected]);
        let done = layer.multiply_accumulates().unwrap();
        assert_eq!(done, Some((expected * (ins + outs)) as u64));
    }
}

#[test]
fn the_outputs_deviation_is_the_gain() {
    for (rank, gain) in [(0, 1.0), (100, 0.5)] {
        let (_store, layer) = low_rank(Options { rank, gain, ..Options::default() }, 900, 900);
        let y = layer.forward(&Random::new(2).normal(&[40, 900], 1.0), 0..900).unwrap();
        let deviation = y.std(false).double_value(&[]);
        assert!((0.9 * gain..1.1 * gain).contains(&deviation), "{deviation} for a gain of {gain}");
    }
}

#[test]
fn its_matrix_has_the_rank_that_was_asked_for() {
    let (_store, layer) = low_rank(Options { rank: 3, bias: false, gain: 1.0 }, 12, 9);
    let matrix =
        layer.forward(&Tensor::eye(12, (Kind::Float, efference_sdk::tch::Device::Cpu)), 0..9).unwrap();
    let (_, singular, _) = matrix.to_kind(Kind::Double).svd(true, true);
    let above: i64 = singular.gt(1e-5).sum(Kind::Int64).int64_value(&[]);
    assert_eq!(above, 3, "{singular:?}");
}

#[test]
fn one_that_is_not_trained_computes_the_same_and_has_no_vjp() {
    let (_store, trained) = low_rank(Options::default(), 12, 9);
    let store = testkit::MemoryStore::new(1);
    let setup = LayerSetup { size: Size { ins: 12, outs: 9 }, params: Params::new(&store).frozen() };
    let frozen = LowRank::new(Options::default(), &setup).unwrap();
    let x = Random::new(2).normal(&[2, 12], 1.0);
    assert!(Layer::vjp(&frozen).is_none() && Layer::vjp(&trained).is_some());
    assert!(frozen.forward(&x, 0..9).unwrap().allclose(
        &trained.forward(&x, 0..9).unwrap(),
        1e-6,
        1e-6,
        false
    ));
}

#[test]
fn a_gain_that_is_no_number_is_refused() {
    let store = testkit::MemoryStore::new(1);
    let setup = LayerSetup { size: Size { ins: 3, outs: 2 }, params: Params::new(&store) };
    let said =
        LowRank::new(Options { gain: f64::NAN, ..Options::default() }, &setup).err().unwrap().to_string();
    assert!(said.contains("gain must be a finite number"), "{said}");
}

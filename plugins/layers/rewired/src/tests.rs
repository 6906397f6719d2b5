use super::*;
use efference_testkit as testkit;
use efference_testkit::contract::{LAYER_CHECKS, Layers, assert_all};
use std::collections::BTreeSet;

fn rewired(options: Options, ins: i64, outs: i64, seed: u64) -> (testkit::MemoryStore, Rewired) {
    let store = testkit::MemoryStore::new(seed);
    let setup = LayerSetup { size: Size { ins, outs }, params: Params::new(&store) };
    let layer = Rewired::new(options, &setup).unwrap();
    (store, layer)
}

fn few(fan_in: i64, every: u64, share: f64) -> Options {
    Options { fan_in, every, share, ..Options::default() }
}

#[test]
fn it_keeps_the_contract_with_few_inputs_and_with_all() {
    for options in [few(3, 200, 0.4), Options { bias: false, ..Options::default() }] {
        let layers = Layers::new(move |setup| Ok(Box::new(Rewired::new(options.clone(), setup)?)));
        assert_all(LAYER_CHECKS, &layers);
    }
}

fn inputs(store: &testkit::MemoryStore) -> Vec<i32> {
    store.get("inputs").unwrap().reshape([-1]).try_into().unwrap()
}

fn weights(store: &testkit::MemoryStore) -> Vec<f32> {
    store.get("weight").unwrap().detach().reshape([-1]).try_into().unwrap()
}

/// The sum, element by element, in 64 bits, and each input of an output once.
#[test]
fn it_is_the_formula() {
    let (store, layer) = rewired(few(5, 200, 0.2), 12, 9, 1);
    store.set("bias", &Random::new(3).normal(&[9], 1.0)).unwrap();
    let (inputs, weights, bias) = (inputs(&store), weights(&store), store.get("bias").unwrap());
    let x = Random::new(2).normal(&[1, 12], 1.0);
    let y = layer.forward(&x, 0..9).unwrap();
    for out in 0..9usize {
        let own = &inputs[5 * out..5 * out + 5];
        assert_eq!(own.iter().collect::<BTreeSet<_>>().len(), 5);
        let terms = own.iter().zip(&weights[5 * out..]);
        let sum: f64 = terms.map(|(i, w)| f64::from(*w) * x.double_value(&[0, i64::from(*i)])).sum();
        let found = y.double_value(&[0, out as i64]);
        assert!((found - sum - bias.double_value(&[out as i64])).abs() < 1e-5);
    }
    assert_eq!(layer.multiply_accumulates().unwrap(), Some(45));
}

#[test]
fn libtorchs_operations_compute_the_same_and_the_same_gradients() {
    let (store, layer) = rewired(few(5, 200, 0.2), 12, 9, 1);
    let x = Random::new(2).normal(&[4, 12], 1.0);
    let by_libtorch = |x: &Tensor| layer.gather.lock().by_libtorch(x, &(0..9));
    testkit::check_vjp(Layer::vjp(&layer).unwrap(), &x, &store, by_libtorch).unwrap();
    let some = layer.gather.lock().by_libtorch(&x, &(2..6)).unwrap();
    assert!(some.allclose(&layer.forward(&x, 2..6).unwrap(), 1e-5, 1e-6, false));
}

#[test]
fn the_weakest_connections_are_replaced_by_new_ones_of_weight_0_when_it_is_time() {
    let (store, layer) = rewired(few(10, 50, 0.3), 40, 6, 1);
    let (inputs_before, weights_before) = (inputs(&store), weights(&store));
    layer.updated(49).unwrap();
    assert_eq!((inputs(&store), weights(&store)), (inputs_before.clone(), weights_before.clone()));
    layer.updated(50).unwrap();
    let (new_inputs, new_weights) = (inputs(&store), weights(&store));
    for out in 0..6 {
        let range = 10 * out..10 * out + 10;
        let mut sorted: Vec<f32> = weights_before[range.clone()].iter().map(|w| w.abs()).collect();
        sorted.sort_by(f32::total_cmp);
        let had: BTreeSet<i32> = inputs_before[range.clone()].iter().copied().collect();
        let has: BTreeSet<i32> = new_inputs[range.clone()].iter().copied().collect();
        assert_eq!((has.len(), has.difference(&had).count()), (10, 3));
        for place in range {
            if weights_before[place].abs() <= sorted[2] {
                assert!(new_weights[place] == 0.0 && !had.contains(&new_inputs[place]));
            } else {
                assert_eq!(new_weights[place], weights_before[place]);
                assert_eq!(new_inputs[place], inputs_before[place]);
            }
        }
    }
    // Once in a step, whatever else is updated in it, and not before the time has come again.
    layer.updated(50).unwrap();
    layer.updated(99).unwrap();
    assert_eq!(inputs(&store), new_inputs);
    layer.updated(107).unwrap();
    layer.updated(150).unwrap();
    let third = inputs(&store);
    assert_ne!(third, new_inputs);
    layer.updated(157).unwrap();
    assert_ne!(inputs(&store), third);
}

#[test]
fn nothing_is_rewired_before_its_own_update_nor_where_there_is_nothing_to_choose() {
    let (store, layer) = rewired(few(10, 1, 0.3), 40, 6, 1);
    let before = inputs(&store);
    let x = Random::new(2).normal(&[2, 40], 1.0);
    layer.forward(&x, 0..6).unwrap().sum(Kind::Float).backward();
    layer.updated(5).unwrap();
    assert_eq!(inputs(&store), before);
    efference_sdk::autograd::clear_gradient(&store.get("weight").unwrap());
    layer.updated(5).unwrap();
    assert_ne!(inputs(&store), before);

    for (options, ins) in [(few(10, 1, 0.0), 40), (few(10, 1, 0.9), 10), (few(64, 1, 0.9), 10)] {
        let (store, layer) = rewired(options, ins, 6, 1);
        let before = (inputs(&store), weights(&store));
        layer.updated(5).unwrap();
        assert_eq!((inputs(&store), weights(&store)), before);
    }
    // Of 10 inputs, an output with 9 can only get the one that it has not.
    let (store, layer) = rewired(few(9, 1, 0.9), 10, 6, 1);
    layer.updated(5).unwrap();
    assert_eq!(weights(&store).iter().filter(|w| **w == 0.0).count(), 6);

    let store = testkit::MemoryStore::new(1);
    let setup = LayerSetup { size: Size { ins: 40, outs: 6 }, params: Params::new(&store).frozen() };
    let frozen = Rewired::new(few(10, 1, 0.3), &setup).unwrap();
    let before = inputs(&store);
    frozen.updated(5).unwrap();
    assert_eq!(inputs(&store), before);
}

#[test]
fn one_that_gets_all_that_is_saved_rewires_itself_in_the_same_way() {
    let (store, layer) = rewired(few(10, 20, 0.3), 40, 6, 1);
    (0..70).for_each(|step| layer.updated(step).unwrap());
    let (other_store, other) = rewired(few(10, 20, 0.3), 40, 6, 1);
    for (name, value) in store.list("").unwrap() {
        other_store.set(&name, &value).unwrap();
    }
    for step in 70..200 {
        layer.updated(step).unwrap();
        other.updated(step).unwrap();
        assert_eq!((inputs(&store), weights(&store)), (inputs(&other_store), weights(&other_store)));
    }
    // What is drawn depends on the experiment's seed.
    let (_, layer) = rewired(few(10, 20, 0.3), 40, 6, 2);
    layer.inputs.shallow_clone().copy_(&other.inputs);
    layer.updated(200).unwrap();
    other.updated(200).unwrap();
    assert!(!layer.inputs.equal(&other.inputs));
}

#[test]
fn it_learns_which_inputs_an_output_needs() {
    // The target is input 7 of 60; of 4 connections three are tried anew again and again.
    let (store, layer) = rewired(Options { bias: false, ..few(4, 1, 0.75) }, 60, 1, 1);
    let mut weight = store.get("weight").unwrap();
    let mut random = Random::new(9);
    for step in 1..400u64 {
        for _ in 0..4 {
            let x = random.normal(&[16, 60], 1.0);
            let miss = layer.forward(&x, 0..1).unwrap() - x.narrow(1, 7, 1);
            miss.square().mean(Kind::Float).backward();
            tch::no_grad(|| {
                let _ = weight.f_sub_(&(weight.grad() * 0.1)).unwrap();
            });
            efference_sdk::autograd::clear_gradient(&weight);
        }
        layer.updated(step).unwrap();
    }
    let place = inputs(&store).iter().position(|input| *input == 7).expect("input 7 is connected");
    assert!((weights(&store)[place] - 1.0).abs() < 0.05, "{:?} {:?}", inputs(&store), weights(&store));
}

#[test]
fn the_outputs_deviation_is_the_gain() {
    let (_store, layer) = rewired(Options { gain: 0.5, ..Options::default() }, 900, 900, 1);
    let y = layer.forward(&Random::new(2).normal(&[20, 900], 1.0), 0..900).unwrap();
    let deviation = y.std(false).double_value(&[]);
    assert!((0.47..0.53).contains(&deviation), "{deviation}");
}

#[test]
fn wrong_shapes_and_options_are_errors() {
    let (_store, layer) = rewired(Options::default(), 3, 2, 1);
    let x = Random::new(2).normal(&[1, 4], 1.0);
    assert!(layer.forward(&x, 0..2).unwrap_err().to_string().contains("(batch, 3)"));
    let store = testkit::MemoryStore::new(1);
    let setup = LayerSetup { size: Size { ins: 3, outs: 2 }, params: Params::new(&store) };
    let said = |options| Rewired::new(options, &setup).err().unwrap().to_string();
    assert!(said(Options { gain: f64::INFINITY, ..Options::default() }).contains("finite number"));
    assert!(said(few(2, 1, 1.5)).contains("share must be within 0…0.9"));
}

//! Stacks of layers, with and without custom VJPs.
use efference_sdk::{Nonlinearity, ParamStore, Params, Random, Size, Stack, StackSpec};
use efference_testkit as testkit;
use tch::{Kind, Tensor};

fn stack(size: Size, layers: i64, zero_at_start: bool) -> (testkit::MemoryStore, Stack) {
    let store = testkit::MemoryStore::new(7);
    let spec = StackSpec { size, layers, nonlinearity: Nonlinearity::Softsign, zero_at_start };
    let factory = testkit::LayersOf::<testkit::Matrix>::new("{}").unwrap();
    let stack = Stack::new(spec, &factory, &Params::new(&store)).unwrap();
    (store, stack)
}

fn normal(shape: &[i64]) -> Tensor {
    Random::new(5).normal(shape, 1.0)
}

#[test]
fn standard_normal_numbers_come_out_with_unit_deviation() {
    for outs in [1, 7, 400] {
        let (_store, stack) = stack(Size { ins: 300, outs }, 1, false);
        let deviation = stack.forward(&normal(&[500, 300])).unwrap().std(false).double_value(&[]);
        assert!((0.85..1.15).contains(&deviation), "{outs} outputs have a deviation of {deviation}");
    }
}

#[test]
fn a_range_is_what_it_is_of_all_outputs() {
    for outs in [6, 10] {
        let (_store, stack) = stack(Size { ins: 10, outs }, 3, false);
        let x = normal(&[3, 10]);
        let whole = stack.forward(&x).unwrap();
        let range = stack.forward_range(&x, 2..5).unwrap();
        assert_eq!(range.size(), [3, 3]);
        assert!(range.allclose(&whole.narrow(1, 2, 3), 1e-6, 1e-6, false));
    }
}

#[test]
fn the_vjp_is_what_autograd_makes_of_the_same_layers() {
    let nonlinearities = [Nonlinearity::None, Nonlinearity::Softsign, Nonlinearity::Relu, Nonlinearity::Tanh];
    for (trial, nonlinearity) in (0..).zip(nonlinearities.into_iter().cycle().take(12)) {
        let size = Size { ins: 10, outs: if trial % 2 == 0 { 10 } else { 7 } };
        let layers = 1 + trial % 3;
        let spec = StackSpec { size, layers, nonlinearity, zero_at_start: trial % 5 == 4 };
        let made = |vjp: bool| {
            let store = testkit::MemoryStore::new(7);
            let options = format!(r#"{{"vjp": {vjp}}}"#);
            let factory = testkit::LayersOf::<testkit::Matrix>::new(&options).unwrap();
            let stack = Stack::new(spec, &factory, &Params::new(&store)).unwrap();
            (store, stack)
        };
        let ((plain_store, plain), (store, stack)) = (made(false), made(true));
        assert!(plain.vjp().is_none());
        // Some elements are clamped.
        let x = normal(&[3, 10]) * if trial == 8 { 900.0 } else { 1.0 };
        let vjp = stack.vjp().unwrap();
        testkit::check_vjp(vjp, &x, &plain_store, |x| plain.forward(x)).unwrap();
        // As one operation of autograd.
        testkit::check_vjp(vjp, &x, &store, |x| stack.forward(x)).unwrap();
    }
}

#[test]
fn a_graph_may_outlive_its_stack() {
    let factory = testkit::LayersOf::<testkit::Matrix>::new(r#"{"vjp": true}"#).unwrap();
    let store = testkit::MemoryStore::new(7);
    let spec = StackSpec {
        size: Size { ins: 10, outs: 10 },
        layers: 2,
        nonlinearity: Nonlinearity::Softsign,
        zero_at_start: false,
    };
    let y = Stack::new(spec, &factory, &Params::new(&store)).unwrap().forward(&normal(&[3, 10])).unwrap();
    y.sum(Kind::Float).backward();
    assert!(store.get("mult.0").unwrap().grad().defined());
}

#[test]
fn zero_at_start_adds_nothing_and_still_learns() {
    let x = normal(&[3, 10]);
    for outs in [4, 10] {
        let (store, stack) = stack(Size { ins: 10, outs }, 2, true);
        let y = stack.forward(&x).unwrap();
        let expected = if outs == 10 { x.shallow_clone() } else { Tensor::zeros_like(&y) };
        assert_eq!(y, expected);
        (&y * normal(&[3, outs])).sum(Kind::Float).backward();
        let factor = &store.list("mult.1").unwrap()[0].1;
        assert!(factor.grad().abs().double_value(&[]) > 0.0);
    }
}

//! What an update leaves behind for autograd.
use super::*;
use efference_sdk::Random;

fn optimizer(kind: OptimizerKind, momentum: f64) -> Optimizer {
    Optimizer::new(OptimizerSettings { kind, momentum, learning_rate: 0.1, ..OptimizerSettings::default() })
}

/// A parameter that Adam updates through its memory as it lies, one with another order of dims in memory, which it also
/// does, and one that libtorch's operations update on every device.
fn parameters() -> [(&'static str, Tensor); 3] {
    let numbers = |shape: [i64; 2]| Random::new(1).normal(&shape, 1.0);
    [
        ("contiguous", numbers([3, 5])),
        ("transposed", numbers([5, 3]).tr()),
        ("by libtorch", numbers([3, 5]).to_kind(Kind::Double)),
    ]
    .map(|(name, t)| (name, t.set_requires_grad(true)))
}

#[test]
fn a_graph_that_saved_a_parameter_before_its_update_is_refused_after_it() {
    for (kind, momentum) in [
        (OptimizerKind::Adam, 0.0),
        (OptimizerKind::Adamw, 0.0),
        (OptimizerKind::Sgd, 0.0),
        (OptimizerKind::Sgd, 0.9),
    ] {
        for (name, p) in parameters() {
            let about = format!("{kind:?}, momentum {momentum}, {name}");
            let all = [("p".to_owned(), p.shallow_clone())];
            let mut optimizer = optimizer(kind, momentum);
            let x = p.detach().copy().set_requires_grad(true);
            let product = || (&p * &x).sum(Kind::Double);
            // The first update makes the optimizer's state, the second one finds it.
            for _ in 0..2 {
                let before = (p.detach().copy(), product(), p.detach() * &x);
                p.square().sum(Kind::Double).backward();
                assert_eq!(optimizer.update(&all).unwrap(), 15, "{about}");
                assert!(!p.equal(&before.0), "{about}");
                for graph in [before.1, before.2.sum(Kind::Double)] {
                    let said = graph.f_backward().expect_err(&about).to_string();
                    assert!(said.contains("modified by an inplace operation"), "{about}: {said}");
                }
                product().backward();
                clear_gradients(&all).unwrap();
            }
        }
    }
}

#[test]
fn a_parameter_without_a_gradient_stays_as_it_is_for_graphs_too() {
    for kind in [OptimizerKind::Adam, OptimizerKind::Adamw, OptimizerKind::Sgd] {
        let (_, p) = &parameters()[0];
        let x = p.detach().copy().set_requires_grad(true);
        let product = (p * &x).sum(Kind::Float);
        assert_eq!(optimizer(kind, 0.0).update(&[("p".to_owned(), p.shallow_clone())]).unwrap(), 0);
        product.backward();
        assert!(x.grad().equal(&p.detach()));
    }
}

#[test]
fn updates_beyond_what_32_bits_can_count_go_on_as_before() {
    for kind in [OptimizerKind::Adam, OptimizerKind::Adamw] {
        for (name, p) in parameters() {
            let all = [("p".to_owned(), p.shallow_clone())];
            let mut optimizer = optimizer(kind, 0.0);
            let [m, v] = [p.detach().zeros_like(), p.detach().ones_like()];
            optimizer.restore(("p", &p), i64::from(i32::MAX) - 2, &[&m, &v]).unwrap();
            // After so many updates the corrections of bias are 1: with v = 1 and a gradient of 1, which leave v as it is,
            // m becomes 1 − beta1^n, and each update moves a parameter by learning rate · m / (1 + epsilon).
            let defaults = OptimizerSettings::default();
            let mut expected = p.detach().to_kind(Kind::Double);
            for n in 1..=5 {
                optimizer.descend(&all, &[Some(&p.detach().ones_like())]).unwrap();
                let m = 1.0 - defaults.beta1.powi(n);
                expected -= 0.1 * m / (1.0 + defaults.epsilon);
                let miss = (&expected - p.detach().to_kind(Kind::Double)).abs().max().double_value(&[]);
                assert!(miss < 1e-6, "{kind:?}, {name}: after {n} updates it is off by {miss}");
            }
        }
    }
}

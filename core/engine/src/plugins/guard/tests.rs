//! What is counted of a layer's work.
use super::*;
use efference_sdk::testkit::{LayersOf, Matrix, MemoryStore};
use efference_sdk::{LayerFactory, Random};
use tch::Kind;

/// Multiplications of a matrix 30 → 20, which is all of its parameters too.
const PRODUCT: u64 = 30 * 20;

fn matrix(store: &MemoryStore, frozen: bool) -> (Arc<Health>, Guarded<dyn AnyLayer>) {
    let size = Size { ins: 30, outs: 20 };
    let params = Params::new(store);
    // What is there already is not the layer's.
    let _ = params.normal("other", &[7], 1.0).unwrap();
    let params = if frozen { params.frozen() } else { params };
    let layers = LayersOf::<Matrix>::new(r#"{"vjp": true}"#).unwrap();
    let health = Arc::default();
    let make = || layers.make(size, &params);
    let layer = Guarded::make_layer("layer 'matrix'".into(), &health, size, &params, make).unwrap();
    assert_eq!(health.take_work(), Work::default());
    (health, layer)
}

#[test]
fn a_custom_vjp_is_counted_with_its_gradient_paths() {
    let store = MemoryStore::new(1);
    let (health, layer) = matrix(&store, false);
    let x = Random::new(2).normal(&[4, 30], 1.0);
    let vjp = layer.vjp().unwrap();
    let (_y, saved) = tch::no_grad(|| vjp.forward(&x)).unwrap();
    let forward = Work { flop: 2 * 4 * PRODUCT, bytes: 4 * (PRODUCT + 4 * 50), ..Work::default() };
    assert_eq!(health.take_work(), forward);
    for (needs_param_grad, input_paths, products) in
        [(&[true][..], 1, 2), (&[true], 0, 1), (&[false, true, true], 2, 3), (&[false, false], 1, 1)]
    {
        let gradient = Random::new(3).normal(&[4 * needs_param_grad.len() as i64, 20], 1.0);
        let grad = GradOutput { grad: &gradient, needs_param_grad, input_paths };
        tch::no_grad(|| vjp.backward(&saved, &grad)).unwrap();
        assert_eq!(health.take_work().flop, products * forward.flop, "{grad:?}");
    }
}

#[test]
fn what_autograd_will_do_is_counted_in_advance() {
    for (frozen, to_input, gradients, products) in [
        (false, true, true, 3),
        (false, false, true, 2),
        (true, true, true, 2),
        (true, false, true, 1),
        (false, true, false, 1),
    ] {
        let store = MemoryStore::new(1);
        let (health, layer) = matrix(&store, frozen);
        let x = Random::new(2).normal(&[4, 30], 1.0).set_requires_grad(to_input);
        let forward = || AnyLayer::forward(&layer, &x, 0..20);
        let y = if gradients { forward() } else { tch::no_grad(forward) };
        let work = health.take_work();
        assert_eq!(work.flop, products * 2 * 4 * PRODUCT, "{frozen} {to_input} {gradients}");
        let y = y.unwrap();
        if y.requires_grad() {
            y.sum(Kind::Float).backward();
        }
        assert_eq!(health.take_work(), Work::default());
    }
}

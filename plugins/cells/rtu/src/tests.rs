use super::*;
use efference_sdk::Random;
use efference_sdk::tch::Kind;
use efference_testkit::{LayersOf, Matrix, MemoryStore, check_gradients};

/// A cell with a state of `outs`, beside which the same with an observation of three numbers.
fn rtu(options: Options, outs: i64) -> Result<(MemoryStore, Rtu)> {
    let store = MemoryStore::new(4);
    let factory = LayersOf::<Matrix>::new("{}")?;
    let setup = CellSetup {
        size: Size { ins: 2 * outs, outs },
        observation: outs..outs + 3,
        action: 0..0,
        layers: &factory,
        params: Params::new(&store),
    };
    let cell = Rtu::new(options, &setup)?;
    Ok((store, cell))
}

#[test]
fn a_range_is_what_it_is_of_all_outputs_and_its_gradients_are_right() {
    for (units, variant) in [(0, Variant::Linear), (3, Variant::Nonlinear), (5, Variant::Linear)] {
        let (store, cell) = rtu(Options { units, variant, ..Options::default() }, 10).unwrap();
        let x = Random::new(2).normal(&[3, 20], 0.3);
        let all = cell.forward(&x, 0..10).unwrap();
        assert!(cell.forward(&x, 2..7).unwrap().allclose(&all.narrow(1, 2, 5), 1e-6, 1e-6, false));
        let memory = if units == 0 { 4 } else { 2 * units };
        let of = |own: &Tensor| {
            let front = x.narrow(1, 0, 10 - memory);
            cell.forward(&Tensor::cat(&[&front, own, &x.narrow(1, 10, 10)], 1), 0..10)
        };
        check_gradients(&x.narrow(1, 10 - memory, memory).copy(), &store, of).unwrap();
    }
}

/// A unit left alone is a complex number times r·e^(i·angle) in each step, by f64.
#[test]
fn units_turn_and_fade() {
    let (store, cell) = rtu(Options { units: 2, ..Options::default() }, 8).unwrap();
    let number = |name: &str, unit: i64| store.get(name).unwrap().double_value(&[unit]);
    let x = Random::new(2).normal(&[1, 16], 0.3);
    let next = cell.forward(&x, 0..8).unwrap();
    let drive = x.narrow(1, 8, 3).matmul(&store.get("drive.layer.weight").unwrap())
        * store.get("drive.factor").unwrap();
    for unit in 0..2 {
        let r = (-number("nu", unit).exp()).exp();
        let angle = number("log_angle", unit).exp();
        assert!((0.0..1.0).contains(&r) && (0.0..TAU).contains(&angle));
        let (c1, c2) = (4.0 * x.double_value(&[0, 4 + unit]), 4.0 * x.double_value(&[0, 6 + unit]));
        let scale = (1.0 - r * r).sqrt();
        let expected = [
            r * (angle.cos() * c1 - angle.sin() * c2) + scale * drive.double_value(&[0, unit]),
            r * (angle.cos() * c2 + angle.sin() * c1) + scale * drive.double_value(&[0, 2 + unit]),
        ];
        for (part, expected) in (0..).zip(expected) {
            let found = 4.0 * next.double_value(&[0, 4 + 2 * part + unit]);
            assert!((found - expected).abs() < 1e-5, "unit {unit}, part {part}: {found} {expected}");
        }
    }
}

#[test]
fn factors_begin_where_they_are_asked_to() {
    let (store, _cell) =
        rtu(Options { units: 200, r_min: 0.9, r_max: 0.99, angle_max: 0.5, ..Options::default() }, 500)
            .unwrap();
    let r = store.get("nu").unwrap().exp().neg().exp();
    let (least, most) = (r.min().double_value(&[]), r.max().double_value(&[]));
    assert!((0.9 - 1e-6..0.91).contains(&least) && 0.98 < most && most <= 0.99 + 1e-6, "{least} {most}");
    assert!(store.get("log_angle").unwrap().exp().max().double_value(&[]) <= 0.5 + 1e-6);
}

#[test]
fn a_unit_that_does_not_fade_has_finite_gradients() {
    let (store, cell) = rtu(Options { units: 2, ..Options::default() }, 8).unwrap();
    store.set("nu", &Tensor::from_slice(&[-200.0f32, -20.0])).unwrap();
    let x = Random::new(2).normal(&[1, 16], 0.3);
    cell.forward(&x, 0..8).unwrap().sum(Kind::Float).backward();
    let found = store.get("nu").unwrap().grad();
    assert!(found.isfinite().all().int64_value(&[]) == 1, "{found:?}");
}

#[test]
fn each_parameter_feeds_the_unit_that_it_says() {
    let (store, cell) =
        rtu(Options { units: 3, variant: Variant::Nonlinear, ..Options::default() }, 10).unwrap();
    let recurrence = cell.recurrence().unwrap().unwrap();
    assert_eq!((recurrence.elements.clone(), recurrence.parts, recurrence.count()), (4..10, 2, 3));
    let x = Random::new(2).normal(&[2, 20], 0.5).set_requires_grad(true);
    let next = cell.forward(&x, 0..10).unwrap();
    for unit in 0..3 {
        let parts = [4 + unit, 7 + unit];
        let sum = (next.select(1, parts[0]) + next.select(1, parts[1]) * 0.7).sum(Kind::Float);
        let of_x = Tensor::run_backward(&[&sum], &[&x], true, false).remove(0);
        let reached = of_x.abs().sum_dim_intlist(&[0i64][..], false, Kind::Float).gt(0.0);
        let expected: Vec<bool> = (0..20).map(|i| parts.contains(&i)).collect();
        assert_eq!(Vec::<bool>::try_from(reached).unwrap(), expected);
        for (name, units) in &recurrence.units {
            let parameter = store.get(name).unwrap();
            let found = Tensor::f_run_backward(&[&sum], &[&parameter], true, false).unwrap().remove(0);
            let own = units.expand(parameter.size(), false).eq(unit);
            let reached = if found.defined() { found.ne(0.0) } else { own.zeros_like() };
            assert!(reached.equal(&own), "{name} and unit {unit}");
        }
    }
}

#[test]
fn what_does_not_fit_is_refused_with_the_key_to_change() {
    let said = |options| rtu(options, 10).err().unwrap().to_string();
    let many = said(Options { units: 6, ..Options::default() });
    assert!(many.contains("take 2 elements of the state each") && many.contains("to 5 or less"), "{many}");
    assert!(said(Options { r_min: 0.9, r_max: 0.5, ..Options::default() }).contains("r_min the smaller one"));
    assert!(said(Options { angle_max: 7.0, ..Options::default() }).contains("angle_max"));
}

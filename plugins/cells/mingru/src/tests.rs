use super::*;
use efference_sdk::tch::Kind;
use efference_sdk::{Params, Random};
use efference_testkit::{LayersOf, Matrix, MemoryStore, check_gradients};

/// A cell with a state of `outs`, beside which the same with an observation of three numbers behind one reserved slot.
fn mingru(options: Options, outs: i64, observation: Range<i64>) -> Result<(MemoryStore, MinGru)> {
    let store = MemoryStore::new(4);
    let factory = LayersOf::<Matrix>::new("{}")?;
    let setup = CellSetup {
        size: Size { ins: 2 * outs, outs },
        observation,
        action: 0..0,
        layers: &factory,
        params: Params::new(&store),
    };
    let cell = MinGru::new(options, &setup)?;
    Ok((store, cell))
}

#[test]
fn a_range_is_what_it_is_of_all_outputs_and_its_gradients_are_right() {
    for units in [0, 3, 10] {
        let (store, cell) = mingru(Options { units, ..Options::default() }, 10, 11..14).unwrap();
        let x = Random::new(2).normal(&[3, 20], 0.5);
        let all = cell.forward(&x, 0..10).unwrap();
        assert!(cell.forward(&x, 2..7).unwrap().allclose(&all.narrow(1, 2, 5), 1e-6, 1e-6, false));
        // What is observed counts as given: only the units' own elements of `x` carry gradient.
        let memory = if units == 0 { 5 } else { units };
        let of = |own: &Tensor| {
            let front = x.narrow(1, 0, 10 - memory);
            cell.forward(&Tensor::cat(&[&front, own, &x.narrow(1, 10, 10)], 1), 0..10)
        };
        check_gradients(&x.narrow(1, 10 - memory, memory).copy(), &store, of).unwrap();
    }
}

#[test]
fn units_are_the_formula_and_begin_by_keeping_what_they_have_for_a_while() {
    let (store, cell) =
        mingru(Options { units: 4, longest: 50.0, ..Options::default() }, 10, 11..14).unwrap();
    let x = Random::new(2).normal(&[1, 20], 0.5);
    let next = cell.forward(&x, 0..10).unwrap();
    // The reward, then the observation.
    let u = Tensor::cat(&[x.narrow(1, 10, 1), x.narrow(1, 11, 3)], 1);
    let map = |name: &str| {
        let get = |part: &str| store.get(&format!("{name}.{part}")).unwrap();
        u.matmul(&get("layer.weight")) * get("factor")
    };
    let offset = store.get("offset").unwrap();
    let z = (map("z") + &offset).sigmoid();
    let expected = (1.0 - &z) * x.narrow(1, 6, 4) + z * map("h").tanh();
    assert!(next.narrow(1, 6, 4).allclose(&expected, 1e-5, 1e-6, false));
    let times = offset.neg().exp();
    let (least, most) = (times.min().double_value(&[]), times.max().double_value(&[]));
    assert!(1.0 <= least && least < most && most <= 50.0, "{least} {most}");
    assert!(next.narrow(1, 0, 6).abs().max().double_value(&[]) < 1.2);
}

#[test]
fn each_parameter_feeds_the_unit_that_it_says() {
    let (store, cell) = mingru(Options { units: 4, ..Options::default() }, 10, 11..14).unwrap();
    let recurrence = cell.recurrence().unwrap().unwrap();
    assert_eq!((recurrence.elements.clone(), recurrence.parts, recurrence.count()), (6..10, 1, 4));
    let x = Random::new(2).normal(&[2, 20], 0.5).set_requires_grad(true);
    let next = cell.forward(&x, 0..10).unwrap();
    for unit in 0..4 {
        let sum = next.select(1, 6 + unit).sum(Kind::Float);
        // The state before reaches a unit through its own element.
        let of_x = Tensor::run_backward(&[&sum], &[&x], true, false).remove(0);
        let reached = of_x.abs().sum_dim_intlist(&[0i64][..], false, Kind::Float).gt(0.0);
        let expected: Vec<bool> = (0..20).map(|i| i == 6 + unit).collect();
        assert_eq!(Vec::<bool>::try_from(reached).unwrap(), expected);
        for (name, units) in &recurrence.units {
            let parameter = store.get(name).unwrap();
            let found = Tensor::f_run_backward(&[&sum], &[&parameter], true, false).unwrap().remove(0);
            let own = units.expand(parameter.size(), false).eq(unit);
            let reached = if found.defined() { found.ne(0.0) } else { own.zeros_like() };
            assert!(reached.equal(&own), "{name} and unit {unit}");
        }
    }
    let listed: Vec<_> = recurrence.units.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(listed, ["z.layer.weight", "h.layer.weight", "read_out.layer.0.weight", "read_out.mult.0"]);
}

#[test]
fn what_does_not_fit_is_refused_with_the_key_to_change() {
    let said = |options, observation| mingru(options, 10, observation).err().unwrap().to_string();
    assert!(said(Options::default(), 0..0).contains("set merge = \"concat\" under [trainer]"));
    let many = said(Options { units: 11, ..Options::default() }, 11..14);
    assert!(many.contains("set `units` under [cell] to 10 or less"), "{many}");
    assert!(said(Options { longest: 0.5, ..Options::default() }, 11..14).contains("longest"));
    assert!(said(Options { units: i64::MAX, ..Options::default() }, 11..14).contains("units"));
}

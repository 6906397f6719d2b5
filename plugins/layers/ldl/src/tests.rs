//! The layer against its formula, written down as plainly as it is stated in `tests/parity/README.md`.
use super::*;
use efference_sdk::tch::Kind;
use efference_sdk::{Params, Random};
use efference_testkit as testkit;

/// The formula, by transposed copies and products that broadcast.
fn reference(options: &Options, size: Size, store: &testkit::MemoryStore, x: &Tensor) -> Tensor {
    let factors =
        Factors::new(size, options.radix, options.sharing == Sharing::Axis, options.local_first).unwrap();
    let (batch, count) = (x.size()[0], factors.ins.len() as i64);
    let padding = factors.ins.iter().product::<i64>() - size.ins;
    let shape = |dims: &[i64]| [&[batch], dims].concat();
    let mut x = x.constant_pad_nd([0, padding]).reshape(shape(&factors.ins));
    let swapped = |x: Tensor| if count > 1 { x.transpose(0, -2) } else { x };
    x = swapped(x);
    for (i, sub_layer) in factors.sub_layers.iter().enumerate() {
        // Where the mixed dim stands after the swap of the batch with the last but one.
        let axis = match sub_layer.dim as i64 {
            dim if dim == count - 1 => count,
            dim if dim == count - 2 => 0,
            dim => dim + 1,
        };
        x = x.transpose(axis, -1);
        let mut y = if i == 0 { x.shallow_clone() } else { options.nonlinearity.apply(&x).unwrap() };
        y = y.matmul(&store.get(&format!("weight.{i}")).unwrap());
        if options.bias {
            y += store.get(&format!("bias.{i}")).unwrap();
        }
        x = if options.skip_connections && sub_layer.ins == sub_layer.outs { y + x } else { y };
        x = x.transpose(axis, -1);
    }
    swapped(x).reshape([batch, -1]).narrow(1, 0, size.outs)
}

fn made(options: &Options, size: Size) -> (testkit::MemoryStore, Ldl) {
    let store = testkit::MemoryStore::new(11);
    let ldl = Ldl::new(options.clone(), &LayerSetup { size, params: Params::new(&store) }).unwrap();
    (store, ldl)
}

#[test]
fn made_sparse_each_output_sees_an_input_of_each_group() {
    for kernel in [Kernel::Native, Kernel::Libtorch] {
        let options = Options {
            radix: 4,
            sharing: Sharing::None,
            skip_connections: false,
            nonlinearity: Nonlinearity::None,
            kernel,
            ..Options::default()
        };
        let (store, ldl) = made(&options, Size { ins: 16, outs: 16 });
        efference_sdk::nn::sparsify(&ldl, &Params::new(&store), 0.75, 1).unwrap();
        assert_eq!(store.get("weight.0").unwrap().ne(0.0).sum(Kind::Int64).int64_value(&[]), 16);
        // Row i: what input i does to the outputs, each of which sees one input of each group of 4.
        let seen = ldl.forward(&Tensor::eye(16, (Kind::Float, Device::Cpu)), 0..16).unwrap();
        let seen = seen - ldl.forward(&Tensor::zeros([1, 16], (Kind::Float, Device::Cpu)), 0..16).unwrap();
        let counts: Vec<i64> =
            seen.abs().gt(1e-6).sum_dim_intlist([0i64].as_slice(), false, Kind::Int64).try_into().unwrap();
        assert_eq!(counts, [4; 16]);
    }
}

#[test]
fn it_is_its_formula_for_all_sizes_and_options() {
    let mut random = Random::new(3);
    for trial in 0..120 {
        let options = Options {
            radix: [2, 3, 4, 7, 16][random.below(5) as usize],
            sharing: if random.below(2) == 0 { Sharing::Axis } else { Sharing::None },
            bias: random.below(4) > 0,
            skip_connections: random.below(4) > 0,
            local_first: random.below(2) == 0,
            nonlinearity: if random.below(3) == 0 { Nonlinearity::None } else { Nonlinearity::Softsign },
            kernel: [Kernel::Native, Kernel::Libtorch][trial % 2],
        };
        let mut size = || 1 + (random.unit().powi(3) * 300.0) as i64;
        let size = Size { ins: size(), outs: size() };
        let size = if trial % 3 == 0 { Size { outs: size.ins, ..size } } else { size };
        let (store, ldl) = made(&options, size);
        let batch = 1 + random.below(3) as i64;
        let x = random.normal(&[batch, size.ins], 1.0).set_requires_grad(true);

        let expected = reference(&options, size, &store, &x);
        let y = Layer::forward(&ldl, &x, 0..size.outs).unwrap();
        let close = |a: &Tensor, b: &Tensor| {
            let scale = b.abs().max().double_value(&[]).max(1.0);
            a.size() == b.size() && (a - b).abs().max().double_value(&[]) <= 1e-5 * scale
        };
        assert!(close(&y, &expected), "{size:?} {options:?}");
        let vjp = Layer::vjp(&ldl);
        assert_eq!(vjp.is_some(), options.kernel == Kernel::Native);
        if let Some(vjp) = vjp {
            testkit::check_vjp(vjp, &x, &store, |x| Ok(reference(&options, size, &store, x)))
                .unwrap_or_else(|e| panic!("{size:?} {options:?}: {e:#}"));
        }

        let gy = random.normal(&[batch, size.outs], 1.0);
        let parameters = ParamStore::list(&store, "").unwrap();
        let inputs: Vec<&Tensor> = parameters.iter().map(|(_, t)| t).chain([&x]).collect();
        let gradients =
            |y: &Tensor| Tensor::run_backward(&[(y * &gy).sum(Kind::Float)], &inputs, false, false);
        for (i, (a, b)) in gradients(&y).iter().zip(gradients(&expected)).enumerate() {
            assert!(close(a, &b), "gradient {i} of {size:?} {options:?}");
        }

        let start = random.below(size.outs as u64) as i64;
        let end = start + random.below((size.outs - start) as u64 + 1) as i64;
        let some = Layer::forward(&ldl, &x, start..end).unwrap();
        assert_eq!(some.size(), [batch, end - start]);
        assert!(
            start == end || close(&some, &expected.narrow(1, start, end - start)),
            "{start}..{end} of {size:?}"
        );
    }
}

/// The layer without biases, evaluated edge by edge as its connections say.
fn by_edges(options: &Options, ldl: &Ldl, store: &testkit::MemoryStore, x: &[f32]) -> Vec<f64> {
    let mut now: Vec<f64> = x.iter().map(|x| f64::from(*x)).collect();
    for (i, stage) in ldl.connections().unwrap().iter().enumerate() {
        let weights: Vec<f32> = store.get(&format!("weight.{i}")).unwrap().reshape([-1]).try_into().unwrap();
        let softsign = i > 0 && options.nonlinearity == Nonlinearity::Softsign;
        let mut next = vec![0.0; stage.nodes.outs as usize];
        for edge in &stage.edges {
            let x = now[edge.from as usize];
            next[edge.to as usize] += match edge.weight {
                Stage::NO_WEIGHT => x,
                weight if softsign => f64::from(weights[weight as usize]) * x / (1.0 + x.abs()),
                weight => f64::from(weights[weight as usize]) * x,
            };
        }
        now = next;
    }
    now
}

#[test]
fn its_connections_are_what_it_computes() {
    let mut random = Random::new(5);
    for trial in 0..60 {
        let options = Options {
            radix: [2, 3, 4, 7, 16][random.below(5) as usize],
            sharing: if random.below(2) == 0 { Sharing::Axis } else { Sharing::None },
            bias: false,
            skip_connections: random.below(2) == 0,
            local_first: random.below(2) == 0,
            nonlinearity: if random.below(2) == 0 { Nonlinearity::None } else { Nonlinearity::Softsign },
            kernel: Kernel::Libtorch,
        };
        let mut size = || 1 + (random.unit().powi(2) * 70.0) as i64;
        let size = Size { ins: size(), outs: size() };
        let size = if trial % 3 == 0 { Size { outs: size.ins, ..size } } else { size };
        let (store, ldl) = made(&options, size);
        testkit::check_connections(&ldl, size).unwrap_or_else(|e| panic!("{size:?} {options:?}: {e:#}"));
        let x = random.normal(&[1, size.ins], 1.0);
        let y: Vec<f32> = Layer::forward(&ldl, &x, 0..size.outs).unwrap().reshape([-1]).try_into().unwrap();
        let expected = by_edges(&options, &ldl, &store, &Vec::try_from(x.reshape([-1])).unwrap());
        assert_eq!(y.len(), expected.len());
        for (y, expected) in y.iter().zip(&expected) {
            let error = (f64::from(*y) - expected).abs();
            assert!(error < 1e-4 * expected.abs().max(1.0), "{y} is not {expected}: {size:?} {options:?}");
        }
    }
}

#[test]
fn each_weight_of_the_last_sub_layer_feeds_the_output_that_it_says() {
    let mut random = Random::new(6);
    let mut listed = 0;
    for trial in 0..40 {
        let options = Options {
            radix: [2, 3, 4, 7, 16][random.below(5) as usize],
            sharing: if trial % 4 == 0 { Sharing::Axis } else { Sharing::None },
            bias: random.below(2) == 0,
            skip_connections: random.below(2) == 0,
            local_first: random.below(2) == 0,
            kernel: if random.below(2) == 0 { Kernel::Native } else { Kernel::Libtorch },
            ..Options::default()
        };
        let mut size = || 1 + (random.unit().powi(2) * 40.0) as i64;
        let size = Size { ins: size(), outs: size() };
        let (store, ldl) = made(&options, size);
        testkit::check_units(&ldl, size, &store).unwrap_or_else(|e| panic!("{size:?} {options:?}: {e:#}"));
        let units = ldl.units().unwrap();
        assert!(options.sharing == Sharing::Axis || units.len() == 1 + usize::from(options.bias));
        listed += units.len();
        for (name, units) in units {
            // Every output is fed by some.
            let mut found = Vec::<i64>::try_from(units.flatten(0, -1)).unwrap();
            found.retain(|unit| *unit >= 0);
            found.sort_unstable();
            assert_eq!(found, (0..size.outs).collect::<Vec<_>>(), "{name} of {size:?} {options:?}");
        }
    }
    assert!(listed > 40);
}

#[test]
fn of_radix_2_it_is_a_butterfly() {
    let (_store, ldl) =
        made(&Options { radix: 2, skip_connections: false, ..Options::default() }, Size { ins: 8, outs: 8 });
    let stages = ldl.connections().unwrap();
    // Stage 0 connects what is 4 apart, stage 1 what is 2 apart, stage 2 neighbours.
    for (stage, apart) in stages.iter().zip([4, 2, 1]) {
        let mut edges: Vec<(i64, i64)> = stage.edges.iter().map(|edge| (edge.from, edge.to)).collect();
        edges.sort_unstable();
        let expected: Vec<(i64, i64)> =
            (0..8).flat_map(|from| [from & !apart, from | apart].map(|to| (from, to))).collect();
        assert_eq!(edges, expected);
    }
    assert_eq!(stages.len(), 3);
}

#[test]
fn its_gradients_are_those_of_finite_differences() {
    let (store, ldl) = made(&Options { radix: 4, ..Options::default() }, Size { ins: 30, outs: 64 });
    let x = Random::new(2).normal(&[2, 30], 1.0);
    testkit::check_gradients(&x, &store, |x| Layer::forward(&ldl, x, 5..60)).unwrap();
}

#[test]
fn every_output_depends_on_every_input() {
    let (_store, ldl) = made(&Options { radix: 3, ..Options::default() }, Size { ins: 40, outs: 40 });
    let x = Random::new(2).normal(&[1, 40], 1.0).set_requires_grad(true);
    let y = Layer::forward(&ldl, &x, 0..40).unwrap();
    for i in 0..40 {
        let gradient = Tensor::run_backward(&[y.select(1, i).sum(Kind::Float)], &[&x], true, false).remove(0);
        assert_eq!(gradient.count_nonzero(None).int64_value(&[]), 40);
    }
}

#[test]
fn wrong_options_shapes_and_ranges_are_errors() {
    let store = testkit::MemoryStore::new(0);
    let size = Size { ins: 5, outs: 4 };
    let make = |radix| {
        Ldl::new(Options { radix, ..Options::default() }, &LayerSetup { size, params: Params::new(&store) })
    };
    assert!(make(1).err().unwrap().to_string().contains("radix"));
    let ldl = make(4).unwrap();
    let x = |n| Random::new(2).normal(&[1, n], 1.0);
    assert!(Layer::forward(&ldl, &x(4), 0..4).unwrap_err().to_string().contains("(batch, 5)"));
    assert!(Layer::forward(&ldl, &x(5), 2..5).unwrap_err().to_string().contains("0..4"));
}

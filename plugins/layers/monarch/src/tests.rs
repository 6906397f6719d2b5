use super::*;
use efference_sdk::tch::{Device, Kind};
use efference_sdk::{Params, Random};
use efference_testkit as testkit;
use efference_testkit::contract::{LAYER_CHECKS, Layers, assert_all};

fn monarch(options: Options, ins: i64, outs: i64) -> (testkit::MemoryStore, Monarch) {
    let store = testkit::MemoryStore::new(1);
    let setup = LayerSetup { size: Size { ins, outs }, params: Params::new(&store) };
    let layer = Monarch::new(options, &setup).unwrap();
    (store, layer)
}

#[test]
fn it_keeps_the_contract_with_and_without_a_bias() {
    for options in [Options::default(), Options { blocks: 2, bias: false, gain: 0.5 }] {
        let layers = Layers::new(move |setup| Ok(Box::new(Monarch::new(options.clone(), setup)?)));
        // The last two, memory and speed, take seconds; the end-to-end tests make all of them.
        assert_all(&LAYER_CHECKS[..LAYER_CHECKS.len() - 2], &layers);
    }
}

/// The sums of the first page, in 64 bits, where nothing is padded and where both sides are.
#[test]
fn it_is_the_formula() {
    for (blocks, ins, outs) in [(0, 9, 9), (2, 10, 7), (3, 10, 25), (1, 4, 3), (0, 7, 30)] {
        let (store, layer) = monarch(Options { blocks, ..Options::default() }, ins, outs);
        store.set("bias", &Random::new(3).normal(&[outs], 1.0)).unwrap();
        let numbers = |name: &str| -> Vec<f64> {
            store.get(name).unwrap().detach().to_kind(Kind::Double).reshape([-1]).try_into().unwrap()
        };
        let (first, second, bias) = (numbers("first"), numbers("second"), numbers("bias"));
        let least = ins.min(outs);
        let k = if blocks == 0 { (least as f64).sqrt().ceil() as i64 } else { blocks };
        let c = (least + k * k - 1) / (k * k);
        let (q, s, h) = ((ins + k - 1) / k, (outs + k - 1) / k, k * c);
        assert_eq!((first.len() as i64, second.len() as i64), (k * q * h, k * h * s));
        let x = Random::new(2).normal(&[1, ins], 1.0);
        let y = layer.forward(&x, 0..outs).unwrap();
        let u = |i: i64, a: i64, j: i64| -> f64 {
            let terms = (0..q)
                .filter(|p| i * q + p < ins)
                .map(|p| first[((i * q + p) * h + a * k + j) as usize] * x.double_value(&[0, i * q + p]));
            terms.sum()
        };
        for out in 0..outs {
            let (j, t) = (out / s, out % s);
            let mut expected = bias[out as usize];
            for (i, a) in (0..k).flat_map(|i| (0..c).map(move |a| (i, a))) {
                expected += second[((j * h + i * c + a) * s + t) as usize] * u(i, a, j);
            }
            assert!(
                (y.double_value(&[0, out]) - expected).abs() < 1e-5,
                "{blocks} blocks, {ins} → {outs}, {out}"
            );
        }
    }
}

#[test]
fn the_root_takes_the_fewest_weights() {
    let weights = |blocks: i64| {
        let (store, layer) = monarch(Options { blocks, bias: false, gain: 1.0 }, 64, 64);
        let count = store.get("first").unwrap().numel() + store.get("second").unwrap().numel();
        assert_eq!(layer.multiply_accumulates().unwrap(), Some(count as u64));
        count
    };
    // 2 n² / k, and 2 n √n with the root, which is also what more than that is cut to.
    assert_eq!([1, 2, 4, 8, 0, 9, 500].map(weights), [8192, 4096, 2048, 1024, 1024, 1024, 1024]);
}

#[test]
fn one_block_can_be_any_matrix() {
    let (store, layer) = monarch(Options { blocks: 1, bias: false, gain: 1.0 }, 5, 5);
    let wanted = Random::new(4).normal(&[5, 5], 1.0);
    store.set("first", &Tensor::eye(5, (Kind::Float, Device::Cpu)).view([1, 5, 5])).unwrap();
    store.set("second", &wanted.view([1, 5, 5])).unwrap();
    let x = Random::new(2).normal(&[3, 5], 1.0);
    assert!(layer.forward(&x, 0..5).unwrap().allclose(&x.matmul(&wanted), 1e-5, 1e-5, false));
}

#[test]
fn the_outputs_deviation_is_the_gain_whatever_is_padded() {
    for (ins, outs, gain) in [(900, 900, 1.0), (901, 700, 0.5), (130, 1000, 1.0)] {
        let (_store, layer) = monarch(Options { gain, ..Options::default() }, ins, outs);
        let y = layer.forward(&Random::new(2).normal(&[60, ins], 1.0), 0..outs).unwrap();
        let deviation = y.std(false).double_value(&[]);
        assert!((0.9 * gain..1.1 * gain).contains(&deviation), "{deviation} for {ins} → {outs}");
    }
}

#[test]
fn what_it_tells_is_true_where_blocks_are_cut() {
    for (blocks, ins, outs) in [(0, 10, 7), (2, 7, 12), (3, 9, 25)] {
        let (store, layer) = monarch(Options { blocks, ..Options::default() }, ins, outs);
        testkit::check_units(&layer, Size { ins, outs }, &store).unwrap();
        testkit::check_connections(&layer, Size { ins, outs }).unwrap();
        // The weights of the edges: what the paths from an input to an output come to is what it does to the output.
        let weights: Vec<Vec<f32>> = ["first", "second"]
            .map(|name| store.get(name).unwrap().detach().reshape([-1]).try_into().unwrap())
            .to_vec();
        let stages = layer.connections().unwrap();
        for from in 0..ins {
            let mut now = vec![0.0f32; ins as usize];
            now[from as usize] = 1.0;
            let x = Tensor::from_slice(&now).view([1, ins]);
            for (stage, weights) in stages.iter().zip(&weights) {
                let mut next = vec![0.0; stage.nodes.outs as usize];
                for edge in &stage.edges {
                    next[edge.to as usize] += now[edge.from as usize] * weights[edge.weight as usize];
                }
                now = next;
            }
            let expected = Tensor::from_slice(&now).view([1, outs]);
            assert!(layer.forward(&x, 0..outs).unwrap().allclose(&expected, 1e-5, 1e-5, false));
        }
    }
}

#[test]
fn wrong_shapes_and_gains_are_errors() {
    let (_store, layer) = monarch(Options::default(), 3, 2);
    let x = Random::new(2).normal(&[1, 4], 1.0);
    assert!(layer.forward(&x, 0..2).unwrap_err().to_string().contains("(batch, 3)"));
    let store = testkit::MemoryStore::new(1);
    let setup = LayerSetup { size: Size { ins: 3, outs: 2 }, params: Params::new(&store) };
    let options = Options { gain: f64::INFINITY, ..Options::default() };
    assert!(Monarch::new(options, &setup).err().unwrap().to_string().contains("finite number"));
}

/// The formula by operations whose gradients are libtorch's own.
fn by_autograd(x: &Tensor, store: &testkit::MemoryStore, blocks: Blocks) -> Result<Tensor> {
    let Blocks { size, count, ins, between, outs, share } = blocks;
    let [first, second, bias] = ["first", "second", "bias"].map(|name| store.get(name).unwrap());
    let rows = x.size()[0];
    let padded = x.f_constant_pad_nd([0, count * ins - size.ins])?.f_view([rows, count, ins])?;
    let made = Tensor::f_einsum("rip,iph->rih", &[padded, first], None::<i64>)?;
    let dealt = made.f_view([rows, count, share, count])?.f_permute([0, 3, 1, 2])?;
    let seen = dealt.f_reshape([rows, count, between])?;
    let y =
        Tensor::f_einsum("rjf,jft->rjt", &[seen, second], None::<i64>)?.f_reshape([rows, count * outs])?;
    Ok(y.f_narrow(1, 0, size.outs)?.f_add(&bias)?)
}

/// Where four rows are for the loops, five are for libtorch: the same, row by row, and both are what autograd says.
#[test]
fn a_few_rows_and_many_are_computed_to_the_same() {
    for (blocks, ins, outs) in [(0, 10, 7), (2, 7, 30), (3, 21, 25), (0, 64, 64)] {
        let (store, layer) = monarch(Options { blocks, ..Options::default() }, ins, outs);
        store.set("bias", &Random::new(3).normal(&[outs], 1.0)).unwrap();
        let x = Random::new(2).normal(&[5, ins], 1.0);
        let many = layer.forward(&x, 0..outs).unwrap();
        let few = layer.forward(&x.narrow(0, 0, 4), 0..outs).unwrap();
        assert!(few.allclose(&many.narrow(0, 0, 4), 1e-5, 1e-5, false));
        for rows in [1, 4, 5] {
            let vjp = Layer::vjp(&layer).unwrap();
            let x = x.narrow(0, 0, rows).contiguous();
            testkit::check_vjp(vjp, &x, &store, |x| by_autograd(x, &store, layer.blocks)).unwrap();
        }
    }
}

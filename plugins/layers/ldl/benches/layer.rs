//! The layer's kernels, by themselves and against libtorch's operations, for numbers of threads that are said.
//!
//! `cargo bench -p efference-ldl [-- FILTER]`. An "item" is a floating point operation, so Gitem/s are GFLOP/s; bytes
//! are those that a pass has to read or write at least: its inputs, its outputs, what is saved, and parameters, once.
use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use efference_ldl::native::{GradientsOut, Parameters, Plan};
use efference_ldl::{Factors, Kernel, Ldl, Options};
use efference_sdk::autograd::{OutputBuffer, set_workers};
use efference_sdk::tch::{self, Kind};
use efference_sdk::{Layer, LayerSetup, Nonlinearity, Params, Plugin, Random, Size};
use efference_testkit::MemoryStore;
use std::fmt;

fn main() {
    divan::main();
}

/// A layer, a batch, and a number of threads.
#[derive(Clone, Copy)]
struct Case {
    size: Size,
    radix: i64,
    share: bool,
    samples: usize,
    paths: usize,
    threads: usize,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Size { ins, outs } = self.size;
        let sharing = if self.share { "axis" } else { "none" };
        let Case { radix, samples, paths, threads, .. } = self;
        write!(f, "{ins}→{outs} radix {radix} {sharing} batch {samples} paths {paths} threads {threads}")
    }
}

fn cases() -> Vec<Case> {
    let case = |ins, outs, radix, share, samples, paths| {
        [1, 2].map(|threads| Case { size: Size { ins, outs }, radix, share, samples, paths, threads })
    };
    [
        case(256, 256, 16, true, 1, 1),
        case(4096, 4096, 16, true, 1, 1),
        case(65_536, 65_536, 16, true, 1, 1),
        case(65_536, 65_536, 16, true, 1, 3),
        case(65_536, 65_536, 16, true, 8, 1),
        case(131_072, 65_536, 16, true, 1, 1),
        case(65_536, 65_536, 4, true, 1, 1),
        case(65_536, 65_536, 256, true, 1, 1),
        case(65_536, 65_536, 16, false, 1, 1),
        case(1 << 20, 1 << 20, 16, true, 1, 1),
    ]
    .concat()
}

/// A layer with its tensors, in memory of libtorch, which begins at a line of the cache, as it does in a run.
struct Pass {
    case: Case,
    plan: Plan,
    paths: Vec<bool>,
    x: OutputBuffer,
    y: OutputBuffer,
    saved: OutputBuffer,
    weights: Vec<OutputBuffer>,
    biases: Vec<OutputBuffer>,
    gy: OutputBuffer,
    gx: OutputBuffer,
    gw: Vec<OutputBuffer>,
    gb: Vec<OutputBuffer>,
}

fn zeros(count: usize) -> OutputBuffer {
    OutputBuffer::zeros(&[count as i64]).expect("memory")
}

fn parameters<R>(
    weights: &[OutputBuffer],
    biases: &[OutputBuffer],
    f: impl FnOnce(&Parameters<'_>) -> R,
) -> R {
    let weights: Vec<&[f32]> = weights.iter().map(|w| &**w).collect();
    let biases: Vec<&[f32]> = biases.iter().map(|b| &**b).collect();
    f(&Parameters { weights: &weights, biases: &biases })
}

impl Pass {
    fn new(case: Case) -> Self {
        // So that there are so many at all.
        set_workers(2);
        let factors = Factors::new(case.size, case.radix, case.share, false).expect("a layer");
        let mut random = Random::new(1);
        let mut numbers = |count: usize, bound: f64| {
            let mut output = zeros(count);
            output.fill_with(|| ((random.unit() * 2.0 - 1.0) * bound) as f32);
            output
        };
        let plan = Plan::new(case.size, &factors, Nonlinearity::Softsign, true);
        let count = |shape: Vec<i64>| shape.iter().product::<i64>() as usize;
        let sub_layers = &factors.sub_layers;
        let weights: Vec<_> = sub_layers.iter().map(|s| numbers(count(s.weight_shape()), 0.4)).collect();
        let biases: Vec<_> = sub_layers.iter().map(|s| numbers(count(s.bias_shape()), 0.4)).collect();
        let (ins, outs) = (case.size.ins as usize * case.samples, case.size.outs as usize * case.samples);
        let mut pass = Pass {
            case,
            paths: vec![true; case.paths],
            x: numbers(ins, 1.0),
            y: zeros(outs),
            saved: zeros(plan.saved(case.samples)),
            gy: numbers(outs * case.paths, 1.0),
            gx: zeros(ins * case.paths),
            gw: weights.iter().map(|w| zeros(w.len())).collect(),
            gb: biases.iter().map(|b| zeros(b.len())).collect(),
            weights,
            biases,
            plan,
        };
        pass.forward();
        pass
    }

    fn forward(&mut self) {
        let Pass { plan, x, y, saved, .. } = self;
        parameters(&self.weights, &self.biases, |parameters| {
            plan.forward(x, parameters, saved, y, self.case.threads).expect("a forward pass");
        });
    }

    fn backward(&mut self) {
        let Pass { plan, x, saved, paths, gy, .. } = self;
        let out = GradientsOut {
            x: &mut self.gx,
            weights: self.gw.iter_mut().map(|g| &mut **g).collect(),
            biases: self.gb.iter_mut().map(|g| &mut **g).collect(),
        };
        parameters(&self.weights, &self.biases, |parameters| {
            plan.backward(x, parameters, saved, paths, gy, out, self.case.threads).expect("a backward pass");
        });
    }

    fn parameter_count(&self) -> usize {
        self.weights.iter().chain(&self.biases).map(|p| p.len()).sum()
    }

    fn operations(&self, products: usize) -> ItemsCount {
        ItemsCount::new(2 * self.plan.multiply_accumulates() * self.case.samples * products)
    }
}

#[divan::bench(args = cases())]
fn forward(bencher: Bencher<'_, '_>, case: &Case) {
    let mut pass = Pass::new(*case);
    let numbers = pass.x.len() + pass.saved.len() + pass.y.len() + pass.parameter_count();
    bencher.counter(pass.operations(1)).counter(BytesCount::new(4 * numbers)).bench_local(|| pass.forward());
}

#[divan::bench(args = cases())]
fn backward(bencher: Bencher<'_, '_>, case: &Case) {
    let mut pass = Pass::new(*case);
    let numbers = pass.x.len() + pass.saved.len() + pass.gy.len() + pass.gx.len();
    let numbers = numbers + 2 * pass.parameter_count();
    bencher
        .counter(pass.operations(1 + case.paths))
        .counter(BytesCount::new(4 * numbers))
        .bench_local(|| pass.backward());
}

/// How many layers take turns in the benches of cold caches: each finds that others have been there since, as in a step.
const TURNS: usize = 8;

#[divan::bench(args = cases())]
fn cold_forward(bencher: Bencher<'_, '_>, case: &Case) {
    let mut layers: Vec<Pass> = (0..TURNS).map(|_| Pass::new(*case)).collect();
    let mut turns = (0..TURNS).cycle();
    bencher.counter(layers[0].operations(1)).bench_local(|| turns.next().map(|i| layers[i].forward()));
}

#[divan::bench(args = cases())]
fn cold_backward(bencher: Bencher<'_, '_>, case: &Case) {
    let mut layers: Vec<Pass> = (0..TURNS).map(|_| Pass::new(*case)).collect();
    let mut turns = (0..TURNS).cycle();
    bencher
        .counter(layers[0].operations(1 + case.paths))
        .bench_local(|| turns.next().map(|i| layers[i].backward()));
}

/// The layer as it is used, forward and backward through libtorch's autograd.
#[divan::bench(args = [256, 4096, 65_536], consts = [1, 2])]
fn native<const THREADS: i32>(bencher: Bencher<'_, '_>, size: i64) {
    layer(bencher, size, Kernel::Native, THREADS);
}

/// The same by libtorch's operations.
#[divan::bench(args = [256, 4096, 65_536], consts = [1, 2])]
fn libtorch<const THREADS: i32>(bencher: Bencher<'_, '_>, size: i64) {
    layer(bencher, size, Kernel::Libtorch, THREADS);
}

fn layer(bencher: Bencher<'_, '_>, size: i64, kernel: Kernel, threads: i32) {
    tch::set_num_threads(threads);
    set_workers(threads as usize);
    let store = MemoryStore::new(1);
    let options = Options { kernel, ..Options::default() };
    let ldl =
        Ldl::new(options, &LayerSetup { size: Size { ins: size, outs: size }, params: Params::new(&store) })
            .expect("a layer");
    let x = Random::new(2).normal(&[1, size], 1.0).set_requires_grad(true);
    bencher.bench_local(|| {
        let y = Layer::forward(&ldl, &x, 0..size).expect("a forward pass");
        y.sum(Kind::Float).backward();
    });
}

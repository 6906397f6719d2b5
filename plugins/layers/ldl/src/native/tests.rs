//! The kernels against libtorch's operations in f64, over random shapes and options.
use super::dispatch::Processor;
use super::*;
use crate::{Factors, libtorch};
use efference_sdk::autograd::{OutputBuffer, SharedVjp};
use efference_sdk::tch::{Kind, Tensor};
use efference_sdk::{Nonlinearity, Random, Size};
use std::io::{self, Write};

/// A layer with random parameters.
struct Case {
    size: Size,
    factors: Factors,
    nonlinearity: Nonlinearity,
    skip_connections: bool,
    weights: Vec<Tensor>,
    biases: Vec<Tensor>,
    about: String,
}

impl Case {
    fn new(random: &mut Random, size: Size, radix: i64) -> Self {
        let (share, local_first) = (random.below(2) == 0, random.below(3) == 0);
        let skip_connections = random.below(3) > 0;
        let nonlinearity =
            [Nonlinearity::None, Nonlinearity::Relu, Nonlinearity::Softsign, Nonlinearity::Tanh]
                [random.below(4) as usize];
        let factors = Factors::new(size, radix, share, local_first).unwrap();
        let with_bias = random.below(3) > 0;
        let mut weights = Vec::new();
        let mut biases = Vec::new();
        for s in &factors.sub_layers {
            weights.push(random.normal(&s.weight_shape(), (s.ins as f64).powf(-0.5)).set_requires_grad(true));
            if with_bias {
                biases.push(random.normal(&s.bias_shape(), 0.3).set_requires_grad(true));
            }
        }
        let about = format!(
            "{size:?} radix {radix} share {share} local_first {local_first} bias {with_bias} \
             skip {skip_connections} {nonlinearity:?}"
        );
        Case { size, factors, nonlinearity, skip_connections, weights, biases, about }
    }

    fn random(random: &mut Random) -> Self {
        let radix = [2, 3, 4, 5, 8, 8, 9, 16, 16, 16, 20][random.below(11) as usize];
        let mut size = || 1 + (random.unit().powi(2) * 1100.0) as i64;
        let (ins, outs) = (size(), size());
        let outs = if random.below(2) == 0 { ins } else { outs };
        Case::new(random, Size { ins, outs }, radix)
    }

    fn plan(&self) -> Plan {
        Plan::new(self.size, &self.factors, self.nonlinearity, self.skip_connections)
    }

    /// The gradients of x and of all parameters in f64, for these gradients of the output.
    fn reference(&self, x: &Tensor, gy: &Tensor) -> (Tensor, Vec<Tensor>) {
        let double = |t: &Tensor| t.detach().to_kind(Kind::Double).set_requires_grad(true);
        let (x, weights) = (double(x), self.weights.iter().map(double).collect::<Vec<_>>());
        let biases: Vec<Tensor> = self.biases.iter().map(double).collect();
        let network = libtorch::Network {
            factors: &self.factors,
            permutations: &libtorch::Permutations::new(&self.factors, self.size.ins),
            parameters: &as_made(&weights, &biases),
            biased: !biases.is_empty(),
            nonlinearity: self.nonlinearity,
            skip_connections: self.skip_connections,
        };
        let y = libtorch::forward(&network, &x, 0..self.size.outs).unwrap();
        let inputs: Vec<&Tensor> = [&x].into_iter().chain(&weights).chain(&biases).collect();
        let gy = gy.to_kind(Kind::Double);
        let gradients = Tensor::run_backward(&[(&y * gy).sum(Kind::Double)], &inputs, false, false);
        (y.detach(), gradients)
    }
}

/// Each sub-layer's weights, then its biases if it has such.
fn as_made(weights: &[Tensor], biases: &[Tensor]) -> Vec<Tensor> {
    let all = weights.iter().enumerate().flat_map(|(i, w)| [Some(w), biases.get(i)]);
    all.flatten().map(Tensor::shallow_clone).collect()
}

fn assert_close(is: &Tensor, must: &Tensor, what: &str) {
    assert_eq!(is.size(), must.size(), "{what}");
    let error = (is.to_kind(Kind::Double) - must).abs();
    let scale = must.square().mean(Kind::Double).sqrt().double_value(&[]).max(1e-3);
    let worst = (error / (must.abs() + scale)).max().double_value(&[]);
    assert!(worst < 3e-5, "{what}: relative error {worst:e}");
}

fn numbers(t: &Tensor) -> Vec<f32> {
    Vec::try_from(t.detach().contiguous().flatten(0, -1)).unwrap()
}

/// One forward and one backward pass along several gradient paths, by `plan`.
fn check_paths(case: &Case, plan: &Plan, random: &mut Random, threads: usize) {
    let samples = 1 + random.below(3) as i64;
    let paths: Vec<bool> = (0..1 + random.below(3)).map(|_| random.below(3) > 0).collect();
    let x = random.normal(&[samples, case.size.ins], 1.0);
    let gradients: Vec<Tensor> =
        paths.iter().map(|_| random.normal(&[samples, case.size.outs], 1.0)).collect();
    let input_paths = random.below(paths.len() as u64 + 1) as usize;
    let about =
        format!("{} samples {samples} paths {paths:?} to input {input_paths} threads {threads}", case.about);

    let ordered = |t: usize, tensor: &Tensor| {
        let order: Vec<i64> = plan.order(t).into_iter().map(|axis| axis as i64).collect();
        tensor.permute(order)
    };
    let own = |tensors: &[Tensor]| {
        tensors.iter().enumerate().map(|(t, w)| numbers(&ordered(t, w).contiguous())).collect::<Vec<_>>()
    };
    let (weights, biases) = (own(&case.weights), own(&case.biases));
    let weights: Vec<&[f32]> = weights.iter().map(|w| &w[..]).collect();
    let biases: Vec<&[f32]> = biases.iter().map(|b| &b[..]).collect();
    let parameters = Parameters { weights: &weights, biases: &biases };
    let xs = numbers(&x);
    // Nothing may be taken over from what stands in memory before.
    let mut saved = vec![f32::NAN; plan.saved(samples as usize)];
    let mut y = vec![f32::NAN; (samples * case.size.outs) as usize];
    plan.forward(&xs, &parameters, &mut saved, &mut y, threads).unwrap();

    // In memory of libtorch, which begins at a line of the cache.
    let filled = |of: &[&[f32]]| {
        let gradient = |w: &&[f32]| {
            let mut gradient = OutputBuffer::zeros(&[w.len() as i64]).unwrap();
            gradient.fill(f32::NAN);
            gradient
        };
        of.iter().map(gradient).collect::<Vec<_>>()
    };
    let mut gx = vec![f32::NAN; input_paths * xs.len()];
    let (mut gw, mut gb) = (filled(&weights), filled(&biases));
    let gy: Vec<f32> = gradients.iter().flat_map(numbers).collect();
    let out = GradientsOut {
        x: &mut gx,
        weights: gw.iter_mut().map(|g| &mut g[..]).collect(),
        biases: gb.iter_mut().map(|g| &mut g[..]).collect(),
    };
    plan.backward(&xs, &parameters, &saved, &paths, &gy, out, threads).unwrap();

    let mut sums: Vec<Tensor> = case
        .weights
        .iter()
        .chain(&case.biases)
        .map(|t| t.detach().zeros_like().to_kind(Kind::Double))
        .collect();
    for (path, reaches) in paths.iter().enumerate() {
        let (expected, gradients) = case.reference(&x, &gradients[path]);
        if path == 0 {
            assert_close(
                &Tensor::from_slice(&y).reshape(expected.size()),
                &expected,
                &format!("y of {about}"),
            );
        }
        if let Some(gx) = gx.chunks(xs.len()).nth(path) {
            let gx = Tensor::from_slice(gx).reshape(x.size());
            assert_close(&gx, &gradients[0], &format!("gx, path {path}, of {about}"));
        }
        for (sum, gradient) in sums.iter_mut().zip(&gradients[1..]).filter(|_| *reaches) {
            *sum += gradient;
        }
    }
    for (i, (is, must)) in gw.iter().chain(&gb).zip(&sums).enumerate() {
        let must = ordered(i % gw.len(), must);
        let is = Tensor::from_slice(is).reshape(must.size());
        assert_close(&is, &must, &format!("parameter {i} of {about}"));
    }
}

#[test]
fn the_vjp_is_that_of_libtorch_for_all_shapes_options_and_paths() {
    let mut random = Random::new(7);
    for trial in 0..300 {
        // A few with four dims, and so with some between the mixed one and the leaf.
        let case = match trial {
            0..6 => Case::new(&mut random, Size { ins: 5_000 + 900 * trial, outs: 4_700 }, 16),
            6..8 => Case::new(&mut random, Size { ins: 700, outs: 700 + trial }, 8),
            _ => Case::random(&mut random),
        };
        check_paths(&case, &case.plan(), &mut random, 1);
    }
}

#[test]
fn the_kernels_of_all_processors_do_the_same() {
    let mut random = Random::new(8);
    for processor in Processor::ALL {
        if !processor.is_here() {
            let _ = writeln!(
                io::stderr(),
                "SKIPPED the kernels for {processor:?}: this machine's processor has none"
            );
            continue;
        }
        for trial in 0..150 {
            let case = match trial {
                0..8 => Case::new(&mut random, Size { ins: 5_000 + 900 * (trial % 2), outs: 4_700 }, 16),
                8..16 => Case::new(&mut random, Size { ins: 4_096, outs: 4_096 }, 16),
                // Several places along `mid` share a vector.
                16..28 => {
                    Case::new(&mut random, Size { ins: 2_048, outs: 2_048 }, [2, 4, 8][trial as usize % 3])
                }
                _ => Case::random(&mut random),
            };
            let plan = case.plan().by(*processor);
            let plan = if random.below(2) == 0 { plan.beyond_caches() } else { plan };
            check_paths(&case, &plan, &mut random, 1 + trial as usize % 2);
        }
    }
}

#[test]
fn threads_do_the_same() {
    let mut random = Random::new(9);
    for (ins, outs, radix) in [
        (4096, 4096, 16),
        (8192, 4096, 16),
        (5000, 9000, 16),
        (4096, 4096, 8),
        (6000, 6000, 80),
        (65_536, 65_536, 2),
        (65_536, 60_000, 4),
    ] {
        for _ in 0..2 {
            let case = Case::new(&mut random, Size { ins, outs }, radix);
            check_paths(&case, &case.plan(), &mut random, 2);
        }
    }
}

#[test]
fn a_thread_computes_what_several_compute_to_the_bit() {
    let mut random = Random::new(10);
    let case = Case::new(&mut random, Size { ins: 4096, outs: 4096 }, 16);
    let x = numbers(&random.normal(&[2, 4096], 1.0));
    let own: Vec<Vec<f32>> = case.weights.iter().map(numbers).collect();
    let weights: Vec<&[f32]> = own.iter().map(|w| &w[..]).collect();
    let parameters = Parameters { weights: &weights, biases: &[] };
    let plan = case.plan();
    let run = |threads| {
        let (mut saved, mut y) = (vec![0.0; plan.saved(2)], vec![0.0; 8192]);
        plan.forward(&x, &parameters, &mut saved, &mut y, threads).unwrap();
        y
    };
    assert_eq!(run(1), run(2));
}

#[test]
fn the_operation_is_differentiated_by_libtorch() {
    let mut random = Random::new(11);
    for _ in 0..20 {
        let case = Case::random(&mut random);
        let plan = case.plan();
        let laid_out = |all: &[Tensor]| -> Vec<Tensor> {
            let each = all.iter().enumerate();
            each.map(|(t, p)| lay_out(&plan, t, &p.detach()).unwrap().set_requires_grad(true)).collect()
        };
        let (weights, biases) = (laid_out(&case.weights), laid_out(&case.biases));
        let parameters = as_made(&weights, &biases);
        let native = Native::new(case.plan(), &parameters, !case.biases.is_empty(), false).unwrap();
        let x = random.normal(&[2, case.size.ins], 1.0).set_requires_grad(true);
        let gy = random.normal(&[2, case.size.outs], 1.0);
        let y = SharedVjp::new(native).apply(&x, &parameters).unwrap();
        let (expected, gradients) = case.reference(&x, &gy);
        assert_close(&y.detach(), &expected, &case.about);
        let inputs: Vec<&Tensor> = [&x].into_iter().chain(&weights).chain(&biases).collect();
        let is = Tensor::run_backward(&[(&y * &gy).sum(Kind::Float)], &inputs, false, false);
        for (i, (is, must)) in is.iter().zip(&gradients).enumerate() {
            assert_close(is, must, &format!("gradient {i} of {}", case.about));
        }
    }
}

#[test]
fn wrong_lengths_are_errors() {
    let mut random = Random::new(12);
    let case = Case::new(&mut random, Size { ins: 30, outs: 40 }, 4);
    let parameters = Parameters { weights: &[], biases: &[] };
    let plan = case.plan();
    let mut saved = vec![0.0; plan.saved(1)];
    let error = plan.forward(&[0.0; 30], &parameters, &mut saved, &mut [0.0; 40], 1).unwrap_err();
    assert!(error.to_string().contains("number of weights"), "{error}");
    let error = plan.forward(&[0.0; 30], &parameters, &mut saved, &mut [0.0; 39], 1).unwrap_err();
    assert!(error.to_string().contains("output has a length of 39, and should have 40"), "{error}");
}

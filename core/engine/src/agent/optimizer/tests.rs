//! What an update does, and what it leaves behind for autograd.
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

/// Traces and gradients of two rows with these errors, of a parameter of two dims and of one that lies in memory transposed.
struct Example {
    parameters: Vec<(String, Tensor)>,
    traces: [Vec<Tensor>; 2],
    gradients: [Vec<Tensor>; 2],
}

impl Example {
    fn new() -> Self {
        let mut random = Random::new(3);
        let mut normal = |deviation| {
            let t = [random.normal(&[2, 3], deviation), random.normal(&[4, 2], deviation)];
            t.into_iter().collect::<Vec<_>>()
        };
        let [a, b] = <[Tensor; 2]>::try_from(normal(1.0)).unwrap();
        let b = b.tr().contiguous().tr();
        assert_ne!(b.stride(), [2, 1]);
        Example {
            parameters: [("a", a), ("b", b)].map(|(n, t)| (n.to_owned(), t.set_requires_grad(true))).into(),
            traces: [normal(0.3), normal(2.0)],
            gradients: [normal(0.1), normal(0.5)],
        }
    }

    /// Follows both rows with these errors.
    fn follow(&self, optimizer: &mut Optimizer, errors: [f64; 2], weighs: bool) {
        let some = |all: &[Vec<Tensor>; 2]| {
            let of_row = |row: &Vec<Tensor>| row.iter().map(Tensor::shallow_clone).collect::<Vec<_>>();
            [of_row(&all[0]), of_row(&all[1])]
        };
        let (traces, gradients) = (some(&self.traces), some(&self.gradients));
        let [t0, t1] = [0, 1].map(|r: usize| traces[r].iter().map(Some).collect::<Vec<_>>());
        let [g0, g1] = [0, 1].map(|r: usize| gradients[r].iter().map(Some).collect::<Vec<_>>());
        let rows = vec![
            Row { error: errors[0], traces: Elements::Each(&t0), gradients: Elements::Each(&g0) },
            Row { error: errors[1], traces: Elements::Each(&t1), gradients: Elements::Each(&g1) },
        ];
        optimizer.follow(&self.parameters, &Rows { rows, decay: 0.75, weighs }).unwrap();
    }

    /// Follows rows by the elements of all parameters, as they lie in memory.
    fn follow_all(&self, optimizer: &mut Optimizer, errors: &[f64]) {
        let of_all = |row: &Vec<Tensor>| -> Vec<f32> {
            let of_one = |((_, p), t): (&(String, Tensor), &Tensor)| {
                autograd::slice_in_memory_order(&laid_out_as(p, t).unwrap()).unwrap().to_vec()
            };
            self.parameters.iter().zip(row).flat_map(of_one).collect()
        };
        let [traces, gradients] = [&self.traces, &self.gradients].map(|rows| rows.each_ref().map(of_all));
        let rows = errors.iter().zip(traces.iter().zip(&gradients)).map(|(error, (traces, gradients))| Row {
            error: *error,
            traces: Elements::All(traces),
            gradients: Elements::All(gradients),
        });
        optimizer
            .follow(&self.parameters, &Rows { rows: rows.collect(), decay: 0.75, weighs: true })
            .unwrap();
    }

    /// All elements of both tensors in 64 bits, in the order of their dims.
    fn flat(tensors: &[Tensor]) -> Vec<f64> {
        tensors
            .iter()
            .flat_map(|t| Vec::<f64>::try_from(t.detach().contiguous().view([-1])).unwrap())
            .collect()
    }

    fn elements(&self) -> Vec<f64> {
        Self::flat(&self.parameters.iter().map(|(_, p)| p.shallow_clone()).collect::<Vec<_>>())
    }

    #[track_caller]
    fn expect(&self, expected: &[f64]) {
        for (found, expected) in self.elements().iter().zip(expected) {
            assert!((found - expected).abs() < 2e-6 * expected.abs().max(1.0), "{found} {expected}");
        }
    }
}

#[test]
fn the_elements_of_all_parameters_do_what_a_tensor_for_each_does() {
    for kind in [OptimizerKind::Obgd, OptimizerKind::Intentional] {
        let (each, all) = (Example::new(), Example::new());
        let [mut by_each, mut by_all] = [optimizer(kind, 0.0), optimizer(kind, 0.0)];
        for errors in [[0.5, -3.0], [1.0, 0.25]] {
            each.follow(&mut by_each, errors, true);
            all.follow_all(&mut by_all, &errors);
        }
        // Sums over a trace that lies as its parameter does run in another order.
        all.expect(&each.elements());
        assert_ne!(each.elements(), Example::new().elements(), "{kind:?}");
    }
    for kind in [OptimizerKind::Adam, OptimizerKind::Adamw] {
        let (each, all) = (Example::new(), Example::new());
        let clipped = || {
            let settings =
                OptimizerSettings { kind, weight_decay: 0.1, clip: Some(0.2), ..Default::default() };
            Optimizer::new(settings)
        };
        let [mut by_each, mut by_all] = [clipped(), clipped()];
        for error in [0.5, -2.0] {
            let traces: Vec<_> = each.traces[0].iter().map(Some).collect();
            let traces = Elements::Each(&traces);
            let rows = vec![Row { error, traces, gradients: traces }];
            by_each.follow(&each.parameters, &Rows { rows, decay: 0.75, weighs: true }).unwrap();
            all.follow_all(&mut by_all, &[error]);
        }
        assert_eq!(each.elements(), all.elements(), "{kind:?}");
        assert_ne!(each.elements(), Example::new().elements(), "{kind:?}");
    }
}

#[test]
fn bounded_steps_are_those_of_their_formula() {
    let cases: [([f64; 2], bool, f64); 3] =
        [([0.5, -3.0], false, 2.0), ([0.5, -3.0], true, 3.0), ([1e-3, 0.0], false, 2.0)];
    for (errors, weighs, kappa) in cases {
        let example = Example::new();
        let mut expected = example.elements();
        let z = [0, 1].map(|r: usize| Example::flat(&example.traces[r]));
        let norms = z.clone().map(|z| z.iter().map(|z| z.abs()).sum::<f64>());
        let bound = kappa * (errors[0].abs().max(1.0) * norms[0] + errors[1].abs().max(1.0) * norms[1]);
        for (i, p) in expected.iter_mut().enumerate() {
            *p += (errors[0] * z[0][i] + errors[1] * z[1][i]) / bound.max(1.0);
        }
        example.follow(&mut optimizer(OptimizerKind::Obgd, 0.0), errors, weighs);
        example.expect(&expected);
    }
}

#[test]
fn intentional_steps_are_those_of_their_formula_and_go_on_after_a_restore() {
    for weighs in [false, true] {
        let example = Example::new();
        let mut optimizer = optimizer(OptimizerKind::Intentional, 0.0);
        let mut expected = example.elements();
        let (z, g) = (
            [0, 1].map(|r: usize| Example::flat(&example.traces[r])),
            [0, 1].map(|r: usize| Example::flat(&example.gradients[r])),
        );
        let (mut v, mut sigma, mut square, mut size, mut count) =
            (vec![0.0; expected.len()], 0.0, 1.0, 0.0, 0);
        let intent = if weighs { 0.05 } else { 0.25 };
        for step in 1..=4 {
            // The last error is far beyond what the others would let it count for.
            let errors = if step < 4 { [0.5, -1.5] } else { [0.5, 1e6] };
            let mean = |a: f64, b: f64| 0.5 * (a + b);
            for (i, v) in v.iter_mut().enumerate() {
                *v = 0.999 * *v + 0.001 * mean(g[0][i] * g[0][i], g[1][i] * g[1][i]);
            }
            let s: Vec<f64> = v.iter().map(|v| (v / (1.0 - 0.999f64.powi(step))).sqrt() + 1e-8).collect();
            let length = |x: &[f64]| x.iter().zip(&s).map(|(x, s)| x * x / s).sum::<f64>();
            sigma += 0.25 * (mean(length(&g[0]), length(&g[1])) - sigma);
            let unbiased = sigma / (1.0 - 0.75f64.powi(step));
            for (z, error) in z.iter().zip(errors) {
                count += 1;
                let correction = 1.0 - 0.9998f64.powi(count);
                square = 0.9998 * square + 0.0002 * error * error;
                let limit = 20.0 * (square / correction).sqrt();
                let mut error = error.clamp(-limit, limit);
                size = 0.9998 * size + 0.0002 * error.abs();
                if weighs {
                    error /= size / correction;
                }
                let alpha = intent / (2.0 * (unbiased * length(z)).sqrt());
                for ((p, z), s) in expected.iter_mut().zip(z).zip(&s) {
                    *p += alpha * error * z / s;
                }
            }
            if step == 3 {
                let saved = optimizer.save("", "group");
                let find = |name: &str| saved.iter().find(|(n, _)| n == name).map(|(_, t)| t.copy()).unwrap();
                optimizer = self::optimizer(OptimizerKind::Intentional, 0.0);
                for (name, p) in &example.parameters {
                    let steps = i64::try_from(find(&format!("{name}.steps"))).unwrap();
                    optimizer.restore((name, p), steps, &[&find(&format!("{name}.moment.0"))]).unwrap();
                }
                optimizer.restore_shared(Vec::try_from(find("group.shared")).unwrap());
            }
            example.follow(&mut optimizer, errors, weighs);
            example.expect(&expected);
        }
    }
}

#[test]
fn several_rows_descend_along_their_sum_by_every_rule_of_gradients() {
    for kind in [OptimizerKind::Adam, OptimizerKind::Sgd, OptimizerKind::Rmsprop] {
        let (by_rows, by_sum) = (Example::new(), Example::new());
        by_rows.follow(&mut optimizer(kind, 0.0), [0.5, -3.0], false);
        let sums: Vec<Tensor> =
            by_sum.traces[0].iter().zip(&by_sum.traces[1]).map(|(a, b)| a * -0.5 + b * 3.0).collect();
        let sums: Vec<_> = sums.iter().map(Some).collect();
        optimizer(kind, 0.0).descend(&by_sum.parameters, &sums).unwrap();
        by_rows.expect(&by_sum.elements());
    }
}

#[test]
fn rmsprop_divides_by_the_root_of_the_mean_square_of_an_element_or_of_a_group() {
    let gradients = [Tensor::from_slice(&[3.0f32, -4.0]), Tensor::from_slice(&[0.0f32, 0.0])];
    for (normalise_by, expected) in [
        // The first update moves by the learning rate, whatever the gradient.
        (NormaliseBy::Element, [-0.1, 0.1, 0.0, 0.0]),
        // √((9 + 16) / 4) = 2.5
        (NormaliseBy::Group, [-0.12, 0.16, 0.0, 0.0]),
    ] {
        let settings =
            OptimizerSettings { normalise_by, ..optimizer(OptimizerKind::Rmsprop, 0.0).settings.clone() };
        let zero = |name: &str| (name.to_owned(), Tensor::zeros([2], (Kind::Float, tch::Device::Cpu)));
        let parameters = [zero("a"), zero("b")];
        Optimizer::new(settings).descend(&parameters, &[Some(&gradients[0]), Some(&gradients[1])]).unwrap();
        let found = Example::flat(&parameters.map(|(_, p)| p));
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{found:?}");
    }
}

fn with_moments(moments: Moments) -> Optimizer {
    let settings = OptimizerSettings { moments, learning_rate: 0.01, ..OptimizerSettings::default() };
    Optimizer::new(settings)
}

#[test]
fn moments_in_16_bits_move_parameters_nearly_as_those_in_32_do() {
    // Pieces of several threads, too.
    let large = Random::new(2).normal(&[3, 70_000], 1.0).set_requires_grad(true);
    let parameters = parameters().into_iter().chain([("large", large)]);
    for (name, p) in parameters {
        let start = p.detach().copy();
        let all = [("p".to_owned(), p.shallow_clone())];
        let mut after = Vec::new();
        for moments in [Moments::F32, Moments::Bf16] {
            tch::no_grad(|| p.shallow_clone().copy_(&start));
            let (mut optimizer, mut random) = (with_moments(moments), Random::new(3));
            for _ in 0..20 {
                let size = p.size();
                let gradient = random.normal(&size, 1.0).to_kind(p.kind());
                let gradient = if name == "transposed" { gradient.tr().contiguous().tr() } else { gradient };
                optimizer.descend(&all, &[Some(&gradient)]).unwrap();
            }
            let kinds = optimizer.states.0[0].1.tensors.iter().map(Tensor::kind);
            let expected = if moments == Moments::Bf16 { Kind::BFloat16 } else { p.kind() };
            assert!(kinds.eq([expected; 2]), "{name}");
            after.push(p.detach().copy().to_kind(Kind::Double));
        }
        let moved = (&after[0] - start.to_kind(Kind::Double)).square().mean(Kind::Double).sqrt();
        let miss = (&after[0] - &after[1]).square().mean(Kind::Double).sqrt();
        let share = (miss / moved).double_value(&[]);
        // A mean is off by up to 2^-8 of itself.
        assert!(share > 0.0 && share < 0.01, "{name}: {share}");
    }
}

#[test]
fn a_mean_in_16_bits_goes_down_by_steps_that_are_less_than_half_its_last_bit() {
    let p = Tensor::zeros([4_096], (Kind::Float, tch::Device::Cpu));
    let all = [("p".to_owned(), p.shallow_clone())];
    let mut optimizer = with_moments(Moments::Bf16);
    optimizer.descend(&all, &[Some(&p.ones_like())]).unwrap();
    for _ in 0..1_000 {
        optimizer.descend(&all, &[Some(&p.zeros_like())]).unwrap();
    }
    // v was 0.001 and keeps 0.999 of itself a step.
    let v = optimizer.states.0[0].1.tensors[1].to_kind(Kind::Double).mean(Kind::Double).double_value(&[]);
    let expected = 0.001 * 0.999f64.powi(1_000);
    assert!((v / expected - 1.0).abs() < 0.01, "{v} and {expected}");
}

#[test]
fn moments_in_16_bits_go_on_after_a_restore_and_those_of_the_other_kind_are_taken_over() {
    let p = Random::new(1).normal(&[300], 1.0).set_requires_grad(true);
    let start = p.detach().copy();
    let all = [("p".to_owned(), p.shallow_clone())];
    let gradient = Random::new(2).normal(&[300], 1.0);
    let step = |optimizer: &mut Optimizer| {
        optimizer.descend(&all, &[Some(&gradient)]).unwrap();
        p.detach().copy()
    };
    let mut optimizer = with_moments(Moments::Bf16);
    let _ = step(&mut optimizer);
    let (moments, between) = (optimizer.states.0[0].1.tensors.iter().map(Tensor::copy), p.detach().copy());
    let moments: Vec<_> = moments.collect();
    let expected = step(&mut optimizer);
    for (kept, same) in [(Moments::Bf16, true), (Moments::F32, false)] {
        tch::no_grad(|| p.shallow_clone().copy_(&between));
        let mut again = with_moments(kept);
        again.restore(("p", &p), 1, &[&moments[0], &moments[1]]).unwrap();
        let found = step(&mut again);
        assert!(!same || found.equal(&expected), "a run that is resumed rounds as it would have done");
        assert!((found - &expected).abs().max().double_value(&[]) < 1e-4);
    }
    assert!(!expected.equal(&start));
}

//! What libtorch's autograd makes of an operation written in Rust.
use efference_sdk::autograd::{
    Context, Gradients, Op, OutputBuffer, apply, backward, bump_version, gradients, slice,
};
use efference_sdk::{Error, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tch::{Device, Kind, Tensor};

/// `(x · w, x · bias)`, number by number; `bias` may be undefined.
struct Scale {
    /// How often each gradient was computed.
    computed: [Arc<AtomicUsize>; 2],
    /// Counts objects dropped.
    dropped: Option<Arc<AtomicUsize>>,
    /// Kept by forward in the object.
    count: usize,
    fail: &'static str,
}

impl Scale {
    fn new() -> Self {
        Scale { computed: Default::default(), dropped: None, count: 0, fail: "" }
    }

    fn failing(fail: &'static str) -> Self {
        let mut op = Scale::new();
        op.fail = fail;
        op
    }
}

impl Drop for Scale {
    fn drop(&mut self) {
        if let Some(dropped) = &self.dropped {
            dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn product(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let (a, b) = (a.f_contiguous()?, b.f_contiguous()?);
    let mut y = OutputBuffer::empty(&a.size())?;
    for (y, (a, b)) in y.iter_mut().zip(slice(&a)?.iter().zip(slice(&b)?)) {
        *y = a * b;
    }
    Ok(y.into_tensor())
}

impl Op for Scale {
    const NAME: &'static str = "scale";

    fn forward(&mut self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        if self.fail == "forward" {
            return Err(Error::msg("no ink").context("cannot draw"));
        }
        self.count = inputs.len();
        context.save(inputs[0].shallow_clone());
        context.save(inputs[1].shallow_clone());
        let (x, w, bias) = (inputs[0], inputs[1], inputs[2]);
        let first = product(x, w)?;
        let second = if bias.defined() { product(x, bias)? } else { x.f_zeros_like()? };
        Ok(vec![first, second])
    }

    fn backward(&self, saved: &[Tensor], gradients: &Gradients<'_>) -> Result<Vec<Option<Tensor>>> {
        match self.fail {
            "backward" => return Err(Error::msg("no ink").context("cannot draw back")),
            "panic" => panic!("the pen broke"),
            "short" => return Ok(vec![None]),
            _ => {}
        }
        assert_eq!(self.count, 3);
        assert!(gradients.of_output(1).is_none(), "nobody differentiates the second output here");
        let gy = gradients.of_output(0).ok_or_else(|| Error::msg("no gradient"))?;
        let gradient = |i: usize| -> Result<Option<Tensor>> {
            if !gradients.needs_input_grad(i) {
                return Ok(None);
            }
            self.computed[i].fetch_add(1, Ordering::Relaxed);
            Ok(Some(product(gy, &saved[1 - i])?))
        };
        Ok(vec![gradient(0)?, gradient(1)?, None])
    }
}

fn leaf(numbers: &[f32]) -> Tensor {
    Tensor::from_slice(numbers).set_requires_grad(true)
}

fn scaled(op: Scale, x: &Tensor, w: &Tensor) -> Result<Tensor> {
    Ok(apply(op, &[x, w, &Tensor::new()])?.swap_remove(0))
}

#[test]
fn gradients_arrive_through_what_stands_around_it() {
    let (x, w) = (leaf(&[1.0, 2.0, 3.0]), leaf(&[4.0, 5.0, 6.0]));
    let y = scaled(Scale::new(), &(&x * 2.0), &w).unwrap();
    assert_eq!(slice(&y.detach()).unwrap(), [8.0, 20.0, 36.0]);
    // An expanded gradient, with strides of zero, as `sum` makes it.
    y.square().sum(Kind::Float).backward();
    let (expected_x, expected_w) = ([128.0, 400.0, 864.0], [32.0, 160.0, 432.0]);
    assert_eq!(slice(&x.grad()).unwrap(), expected_x);
    assert_eq!(slice(&w.grad()).unwrap(), expected_w);
}

#[test]
fn what_arrives_at_leaves_is_gathered_as_libtorch_gathers_it() {
    let of = |by_libtorch: bool| {
        let leaves = [leaf(&[1.0, 2.0]), leaf(&[4.0, 5.0]), leaf(&[0.5, 0.25]), leaf(&[7.0, 7.0])];
        let [x, w, v, unused] = &leaves;
        for _ in 0..2 {
            // `x` is reached along two ways, `v` by an operation of libtorch's. The second pass adds to the first one's.
            let y = scaled(Scale::new(), &scaled(Scale::new(), x, w).unwrap(), x).unwrap() * v;
            let gradient = Tensor::from_slice(&[3.0f32, -2.0]);
            match by_libtorch {
                true => (&y * &gradient).sum(Kind::Float).backward(),
                false => backward(&[(&y, &gradient)]).unwrap(),
            }
        }
        assert!(!unused.grad().defined());
        [x, w, v].map(|leaf| slice(&leaf.grad()).unwrap().to_vec())
    };
    assert_eq!(of(false), of(true));

    // The graph is what it was, also after a pass that failed.
    let (a, b) = (leaf(&[1.0]), leaf(&[2.0]));
    let sum = &a + &b;
    let one = sum.ones_like();
    backward(&[(&sum, &one)]).unwrap();
    let failing = scaled(Scale::failing("backward"), &sum, &leaf(&[1.0])).unwrap();
    assert!(backward(&[(&failing, &one)]).is_err());
    let found = gradients(&[(&sum, &one)], &[&a, &b]).unwrap();
    assert!(found.iter().all(|g| slice(g.as_ref().unwrap()).unwrap() == [1.0]));
    assert_eq!(slice(&a.grad()).unwrap(), [1.0]);
}

#[test]
fn only_gradients_that_are_wanted_are_computed() {
    let (x, w) = (leaf(&[1.0]), Tensor::from_slice(&[4.0f32]));
    let op = Scale::new();
    let computed = op.computed.clone();
    scaled(op, &x, &w).unwrap().backward();
    assert_eq!(computed.each_ref().map(|c| c.load(Ordering::Relaxed)), [1, 0]);

    // Both require gradients, one is asked for.
    let (x, w) = (leaf(&[1.0]), leaf(&[4.0]));
    let op = Scale::new();
    let computed = op.computed.clone();
    let y = scaled(op, &x, &w).unwrap();
    let gradients = Tensor::run_backward(&[y], &[&w], false, false);
    assert_eq!(gradients[0].double_value(&[0]), 1.0);
    assert_eq!(computed.each_ref().map(|c| c.load(Ordering::Relaxed)), [0, 1]);
}

#[test]
fn without_grad_mode_nothing_is_recorded() {
    let (x, w) = (leaf(&[1.0]), leaf(&[4.0]));
    assert!(!tch::no_grad(|| scaled(Scale::new(), &x, &w)).unwrap().requires_grad());
    assert!(scaled(Scale::new(), &x, &w).unwrap().requires_grad());
    assert!(!scaled(Scale::new(), &x.detach(), &w.detach()).unwrap().requires_grad());
}

#[test]
fn errors_and_panics_come_back() {
    let (x, w) = (leaf(&[1.0]), leaf(&[4.0]));
    let error = scaled(Scale::failing("forward"), &x, &w).unwrap_err();
    assert_eq!(format!("{error:#}"), "operation 'scale': cannot draw: no ink");
    let backward = |fail| {
        let y = scaled(Scale::failing(fail), &x, &w).unwrap();
        Error::from(y.f_backward().unwrap_err()).to_string()
    };
    let said = |fail, text| assert!(backward(fail).ends_with(text), "{}", backward(fail));
    said("backward", "operation 'scale', backward: cannot draw back: no ink");
    said("panic", "operation 'scale', backward panicked: the pen broke");
    assert!(backward("short").contains("returned 1 gradients for 3 inputs"));
    // And the next one works.
    scaled(Scale::new(), &x, &w).unwrap().backward();
    assert_eq!(x.grad().double_value(&[0]), 4.0);
}

#[test]
fn there_is_no_second_derivative() {
    let (x, w) = (leaf(&[1.0]), leaf(&[4.0]));
    let y = scaled(Scale::new(), &x, &w).unwrap();
    let gradient = Tensor::run_backward(&[y], &[&x], true, true).swap_remove(0);
    assert_eq!(gradient.double_value(&[0]), 4.0);
    let error = Error::from(gradient.f_backward().unwrap_err()).to_string();
    assert!(error.contains("operation 'scale' is differentiable only once"), "{error}");
}

#[test]
fn libtorch_notices_saved_tensors_that_change_and_graphs_that_are_gone() {
    let (x, w) = (leaf(&[1.0]), leaf(&[4.0]));
    let mut inner = &x * 1.0;
    let y = scaled(Scale::new(), &inner, &w).unwrap();
    let _ = inner.fill_(3.0);
    assert!(y.f_backward().unwrap_err().to_string().contains("modified by an inplace operation"));

    let y = scaled(Scale::new(), &x, &w).unwrap();
    y.backward();
    assert!(y.f_backward().unwrap_err().to_string().contains("backward through the graph a second time"));
}

#[test]
fn a_change_of_memory_is_noticed_once_it_is_reported() {
    let (x, w) = (leaf(&[1.0]), leaf(&[4.0]));
    for changed in [w.shallow_clone(), w.detach(), w.view([1, 1])] {
        let graphs = [&x * &w, scaled(Scale::new(), &x, &w).unwrap()];
        bump_version(&changed);
        for y in graphs {
            assert!(y.f_backward().unwrap_err().to_string().contains("modified by an inplace operation"));
        }
    }
    (&x * &w).backward();
    bump_version(&Tensor::new());
}

#[test]
fn the_object_and_what_it_saved_go_with_the_graph() {
    let dropped = Arc::new(AtomicUsize::new(0));
    let (x, w) = (leaf(&[1.0]), leaf(&[4.0]));
    for i in 0..3 {
        let mut op = Scale::new();
        op.dropped = Some(dropped.clone());
        let y = scaled(op, &x, &w).unwrap();
        assert_eq!(dropped.load(Ordering::Relaxed), i);
        if i == 1 {
            y.backward();
        }
        drop(y);
        assert_eq!(dropped.load(Ordering::Relaxed), i + 1);
    }
}

/// Returns its input.
struct Same;

impl Op for Same {
    const NAME: &'static str = "same";

    fn forward(&mut self, inputs: &[&Tensor], _: &mut Context) -> Result<Vec<Tensor>> {
        Ok(inputs.iter().map(|t| t.shallow_clone()).collect())
    }

    fn backward(&self, _: &[Tensor], gradients: &Gradients<'_>) -> Result<Vec<Option<Tensor>>> {
        Ok((0..gradients.input_count()).map(|i| gradients.of_output(i).map(Tensor::shallow_clone)).collect())
    }
}

#[test]
fn an_input_that_is_returned_keeps_its_own_history() {
    let (x, other) = (leaf(&[1.0]), Tensor::from_slice(&[2.0f32]));
    let inner = &x * 3.0;
    let made = apply(Same, &[&inner, &other]).unwrap();
    assert!(!other.requires_grad());
    (&made[0] * 2.0 + &inner).sum(Kind::Float).backward();
    assert_eq!(x.grad().double_value(&[0]), 9.0);
}

/// Saves its own output.
struct Exp;

impl Op for Exp {
    const NAME: &'static str = "exp";

    fn forward(&mut self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        let y = inputs[0].f_exp()?;
        context.save(y.shallow_clone());
        Ok(vec![y])
    }

    fn backward(&self, saved: &[Tensor], gradients: &Gradients<'_>) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![gradients.of_output(0).map(|gy| gy.f_mul(&saved[0])).transpose()?])
    }
}

#[test]
fn an_output_can_be_saved() {
    let x = Tensor::zeros([2, 3], (Kind::Float, Device::Cpu)).set_requires_grad(true);
    let y = apply(Exp, &[&x]).unwrap().swap_remove(0);
    y.sum(Kind::Float).backward();
    assert_eq!(slice(&x.grad()).unwrap(), [1.0; 6]);
}

//! A custom VJP as one operation of autograd.
use efference_sdk::autograd::{NamedVjp, SharedVjp, bump_version};
use efference_sdk::{GradInput, GradOutput, Random, Result, Vjp, bail};
use tch::{Kind, Tensor};

/// `y = x · w`, of `x` (batch, n) and `w` (n), elementwise.
struct Scale {
    w: Tensor,
    fails: bool,
}

impl NamedVjp for Scale {
    const NAME: &'static str = "scale";
}

impl Vjp for Scale {
    fn forward(&self, x: &Tensor) -> Result<(Tensor, Vec<Tensor>)> {
        assert!(x.is_contiguous());
        Ok((x.f_mul(&self.w)?, vec![x.shallow_clone()]))
    }

    fn backward(&self, saved: &[Tensor], grad: &GradOutput<'_>) -> Result<GradInput> {
        if self.fails {
            bail!("no ink");
        }
        let [x] = saved else { bail!("{} tensors were saved", saved.len()) };
        assert!(grad.grad.is_contiguous() && grad.path_count() == 1);
        let input = (grad.input_paths == 1).then(|| grad.grad.f_mul(&self.w)).transpose()?;
        let mut params = Vec::new();
        if grad.needs_any_param_grad() {
            let rows: &[i64] = &[0];
            params.push(Some(grad.grad.f_mul(x)?.f_sum_dim_intlist(rows, false, Kind::Float)?));
        }
        Ok(GradInput { input, params })
    }
}

fn parts() -> (Tensor, Tensor, SharedVjp<Scale>) {
    let mut random = Random::new(1);
    let mut leaf = |shape: &[i64]| random.normal(shape, 1.0).set_requires_grad(true);
    let (x, w) = (leaf(&[3, 4]), leaf(&[4]));
    let vjp = SharedVjp::new(Scale { w: w.shallow_clone(), fails: false });
    (x, w, vjp)
}

#[test]
fn its_gradients_are_those_of_libtorch_and_may_come_after_the_owner_is_gone() {
    let (x, w, vjp) = parts();
    let gradients = |y: Tensor| Tensor::run_backward(&[y.square().sum(Kind::Float)], &[&x, &w], false, false);
    let (y, expected) = (vjp.apply(&x, &[w.shallow_clone()]).unwrap(), &x * &w);
    drop(vjp);
    assert!(y.equal(&expected));
    for (a, b) in gradients(y).iter().zip(gradients(expected)) {
        assert!(a.allclose(&b, 1e-6, 1e-6, false));
    }
}

#[test]
fn a_transposed_input_and_an_expanded_gradient_are_made_contiguous() {
    let (_, w, vjp) = parts();
    let x = Random::new(2).normal(&[4, 3], 1.0).set_requires_grad(true);
    // The gradient of a sum is one element, expanded.
    vjp.apply(&x.tr(), &[w.shallow_clone()]).unwrap().sum(Kind::Float).backward();
    assert!(x.grad().equal(&w.detach().unsqueeze(1).expand([4, 3], false)));
}

#[test]
fn only_gradients_that_are_needed_are_asked_for() {
    let (x, w, vjp) = parts();
    vjp.apply(&x.detach(), &[w.shallow_clone()]).unwrap().sum(Kind::Float).backward();
    assert!(w.grad().defined() && !x.grad().defined());
    let _ = w.set_requires_grad(false);
    vjp.apply(&x, &[w.shallow_clone()]).unwrap().sum(Kind::Float).backward();
    assert!(x.grad().defined());
    assert!(!vjp.apply(&x.detach(), &[w.shallow_clone()]).unwrap().requires_grad());
}

#[test]
fn errors_name_it_and_a_parameter_that_changed_is_one() {
    let (x, w, vjp) = parts();
    vjp.lock().fails = true;
    let y = vjp.apply(&x, &[w.shallow_clone()]).unwrap();
    let said = y.sum(Kind::Float).f_backward().unwrap_err().to_string();
    assert!(said.contains("operation 'scale', backward: no ink"), "{said}");
    vjp.lock().fails = false;
    let y = vjp.apply(&x, &[w.shallow_clone()]).unwrap();
    bump_version(&w);
    let said = y.sum(Kind::Float).f_backward().unwrap_err().to_string();
    assert!(said.contains("'scale' needs has been modified by an inplace operation"), "{said}");
    // The same of a parameter that is computed, and of one that is not trained.
    for other in [&w * 1.0, w.detach()] {
        let y = vjp.apply(&x, &[other.shallow_clone()]).unwrap();
        vjp.apply(&x, &[other.shallow_clone()]).unwrap().sum(Kind::Float).backward();
        bump_version(&other);
        let said = y.sum(Kind::Float).f_backward().unwrap_err().to_string();
        assert!(said.contains("modified by an inplace operation"), "{said}");
    }
}

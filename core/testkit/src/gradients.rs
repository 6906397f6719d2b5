//! Gradients against finite differences.
use crate::MemoryStore;
use efference_sdk::tch::{Kind, Tensor};
use efference_sdk::{ParamStore, Random, Result, ensure};

/// Compares the gradients of `f` at `x` and at every trained parameter of `store` with finite differences, along
/// random directions.
///
/// float32 leaves about three digits of a difference, so what this finds is a wrong formula, not a rounding.
/// Choose `x` and parameters around 1, and keep `f` smooth there (a kink within a hundredth of `x` is an error).
pub fn check_gradients(x: &Tensor, store: &MemoryStore, f: impl Fn(&Tensor) -> Result<Tensor>) -> Result<()> {
    const STEP: f64 = 1e-2;
    let x = x.f_detach()?.copy().f_set_requires_grad(true)?;
    let mut points = vec![("x".to_owned(), x.shallow_clone())];
    points.extend(store.list("")?.into_iter().filter(|(_, t)| t.requires_grad()));

    let mut random = Random::new(0);
    let weights = {
        let _no_grad = efference_sdk::tch::no_grad_guard();
        random.normal(&f(&x)?.size(), 1.0)
    };
    let value = || -> Result<Tensor> { Ok(f(&x)?.f_mul(&weights)?.f_sum(Kind::Double)?) };
    let tensors: Vec<_> = points.iter().map(|(_, t)| t).collect();
    let gradients = Tensor::f_run_backward(&[value()?], &tensors, false, false)?;

    let _no_grad = efference_sdk::tch::no_grad_guard();
    for ((name, point), gradient) in points.iter_mut().zip(&gradients) {
        for trial in 0..3 {
            let direction = random.normal(&point.size(), 1.0);
            let length = direction.f_norm()?.f_double_value(&[])?;
            let step = direction.f_mul_scalar(STEP / length)?;
            let at = point.copy();
            point.f_copy_(&at.f_add(&step)?)?;
            let above = value()?.f_double_value(&[])?;
            point.f_copy_(&at.f_sub(&step)?)?;
            let below = value()?.f_double_value(&[])?;
            point.f_copy_(&at)?;
            let measured = (above - below) / 2.0;
            let said = if gradient.defined() {
                gradient.f_mul(&step)?.f_sum(Kind::Double)?.f_double_value(&[])?
            } else {
                0.0
            };
            // The gradient's length says how large such a number is, were the direction a lucky one.
            let scale = if gradient.defined() { gradient.f_norm()?.f_double_value(&[])? * STEP } else { 0.0 };
            ensure!(
                (measured - said).abs() <= 0.02 * scale + 1e-4 * STEP + 1e-6 * above.abs(),
                "the gradient of {name} is wrong along random direction {trial}: it says that a small step \
                 changes the sum by {said:.3e}, and the sum changes by {measured:.3e}"
            );
        }
    }
    Ok(())
}

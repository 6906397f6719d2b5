//! Custom VJPs against autograd.
use crate::MemoryStore;
use efference_sdk::tch::{Kind, Tensor};
use efference_sdk::{GradOutput, ParamStore, Random, Result, Vjp, ensure};

/// Compares [`Vjp`] with what autograd makes of `forward`, which should compute the same: the outputs at `x`, and
/// the gradients of the input and of all trained parameters of `store` for several sets of gradient paths.
pub fn check_vjp(
    vjp: &dyn Vjp,
    x: &Tensor,
    store: &MemoryStore,
    forward: impl Fn(&Tensor) -> Result<Tensor>,
) -> Result<()> {
    let x = x.f_detach()?.copy().f_set_requires_grad(true)?;
    let trained: Vec<_> = store.list("")?.into_iter().filter(|(_, t)| t.requires_grad()).collect();
    let mut leaves = vec![&x];
    leaves.extend(trained.iter().map(|(_, t)| t));
    let (y, saved) = efference_sdk::tch::no_grad(|| vjp.forward(&x.f_detach()?))?;
    let expected = forward(&x)?;
    close("the output", &y, &expected.f_detach()?)?;

    let mut random = Random::new(0);
    for (needs_param_grad, input_paths) in [
        (&[true][..], 1),
        (&[true], 0),
        (&[false], 1),
        (&[true, false, true], 2),
        (&[false, true], 1),
        (&[false, false, true], 3),
    ] {
        let paths: Vec<Tensor> = needs_param_grad.iter().map(|_| random.normal(&y.size(), 1.0)).collect();
        let grad = GradOutput { grad: &Tensor::f_cat(&paths, 0)?, needs_param_grad, input_paths };
        // Twice, as for a graph that is retained.
        let found = efference_sdk::tch::no_grad(|| {
            vjp.backward(&saved, &grad)?;
            vjp.backward(&saved, &grad)
        })?;
        let gradients = |path: &Tensor| -> Result<Vec<Tensor>> {
            let sum = expected.f_mul(path)?.f_sum(Kind::Float)?;
            Ok(Tensor::f_run_backward(&[sum], &leaves, true, false)?)
        };
        let found_input = found.input.as_ref().map(|g| g.f_split(x.size()[0], 0)).transpose()?;
        let rows = found_input.unwrap_or_default();
        ensure!(
            rows.len() == input_paths,
            "{input_paths} paths reach the input, and a gradient of {} was returned",
            rows.len()
        );
        let mut sums: Vec<Option<Tensor>> = trained.iter().map(|_| None).collect();
        for (i, path) in paths.iter().enumerate() {
            let expected = gradients(path)?;
            if let Some(of_input) = rows.get(i) {
                close(
                    &format!("the gradient of the input along path {i} of {needs_param_grad:?}"),
                    of_input,
                    &expected[0],
                )?;
            }
            for (sum, g) in sums.iter_mut().zip(&expected[1..]).filter(|_| needs_param_grad[i]) {
                *sum = Some(match sum.take() {
                    Some(sum) => sum.f_add(g)?,
                    None => g.shallow_clone(),
                });
            }
        }
        let reaches = needs_param_grad.contains(&true);
        ensure!(
            found.params.len() == trained.len() || (!reaches && found.params.is_empty()),
            "there are {} trained parameters, and {} gradients were returned",
            trained.len(),
            found.params.len()
        );
        for (((name, p), expected), found) in trained.iter().zip(sums).zip(&found.params) {
            match (expected, found) {
                (Some(expected), Some(found)) => close(&format!("the gradient of {name}"), found, &expected)?,
                (Some(expected), None) => {
                    close(&format!("the gradient of {name}"), &p.f_zeros_like()?, &expected)?
                }
                (None, Some(_)) => {
                    efference_sdk::bail!("no path reaches the parameters, and {name} got a gradient")
                }
                (None, None) => {}
            }
        }
    }
    Ok(())
}

fn close(what: &str, found: &Tensor, expected: &Tensor) -> Result<()> {
    ensure!(
        found.size() == expected.size(),
        "{what} has the shape {:?} by the VJP, and {:?} by autograd",
        found.size(),
        expected.size()
    );
    let scale = expected.f_abs()?.f_max()?.f_double_value(&[])?.max(1e-3);
    let difference = found.f_sub(expected)?.f_abs()?.f_max()?.f_double_value(&[])?;
    ensure!(
        difference <= 2e-4 * scale,
        "{what} differs by {difference:.3e} between the VJP and autograd, and is {scale:.3e} at most"
    );
    Ok(())
}

//! Passes of a layer's or a cell's own against autograd.
use super::MemoryStore;
use crate::{Incoming, ParamStore, Passes, Random, Result, ensure};
use tch::{Kind, Tensor};

/// Compares [`Passes`] with what autograd makes of `forward`, which should compute the same: the outputs at `x`, and
/// the gradients of the input and of all trained parameters of `store` for several sets of lanes.
pub fn check_passes(
    passes: &dyn Passes,
    x: &Tensor,
    store: &MemoryStore,
    forward: impl Fn(&Tensor) -> Result<Tensor>,
) -> Result<()> {
    let x = x.f_detach()?.copy().f_set_requires_grad(true)?;
    let trained: Vec<_> = store.list("")?.into_iter().filter(|(_, t)| t.requires_grad()).collect();
    let mut leaves = vec![&x];
    leaves.extend(trained.iter().map(|(_, t)| t));
    let (y, kept) = tch::no_grad(|| passes.forward(&x.f_detach()?))?;
    let expected = forward(&x)?;
    close("the output", &y, &expected.f_detach()?)?;

    let mut random = Random::new(0);
    for (to_parameters, to_input) in [
        (&[true][..], 1),
        (&[true], 0),
        (&[false], 1),
        (&[true, false, true], 2),
        (&[false, true], 1),
        (&[false, false, true], 3),
    ] {
        let lanes: Vec<Tensor> = to_parameters.iter().map(|_| random.normal(&y.size(), 1.0)).collect();
        let incoming = Incoming { gradient: &Tensor::f_cat(&lanes, 0)?, to_parameters, to_input };
        // Twice, as a graph that is kept may ask.
        let found = tch::no_grad(|| {
            passes.backward(&kept, &incoming)?;
            passes.backward(&kept, &incoming)
        })?;
        let gradients = |lane: &Tensor| -> Result<Vec<Tensor>> {
            let sum = expected.f_mul(lane)?.f_sum(Kind::Float)?;
            Ok(Tensor::f_run_backward(&[sum], &leaves, true, false)?)
        };
        let found_input = found.input.as_ref().map(|g| g.f_split(x.size()[0], 0)).transpose()?;
        let rows = found_input.unwrap_or_default();
        ensure!(
            rows.len() == to_input,
            "{to_input} lanes reach the input, and a gradient of {} came",
            rows.len()
        );
        let mut sums: Vec<Option<Tensor>> = trained.iter().map(|_| None).collect();
        for (i, lane) in lanes.iter().enumerate() {
            let expected = gradients(lane)?;
            if let Some(of_input) = rows.get(i) {
                close(
                    &format!("the gradient of the input in lane {i} of {to_parameters:?}"),
                    of_input,
                    &expected[0],
                )?;
            }
            for (sum, g) in sums.iter_mut().zip(&expected[1..]).filter(|_| to_parameters[i]) {
                *sum = Some(match sum.take() {
                    Some(sum) => sum.f_add(g)?,
                    None => g.shallow_clone(),
                });
            }
        }
        let reaches = to_parameters.contains(&true);
        ensure!(
            found.parameters.len() == trained.len() || (!reaches && found.parameters.is_empty()),
            "there are {} trained parameters, and {} gradients came",
            trained.len(),
            found.parameters.len()
        );
        for (((name, p), expected), found) in trained.iter().zip(sums).zip(&found.parameters) {
            match (expected, found) {
                (Some(expected), Some(found)) => close(&format!("the gradient of {name}"), found, &expected)?,
                (Some(expected), None) => {
                    close(&format!("the gradient of {name}"), &p.f_zeros_like()?, &expected)?
                }
                (None, Some(_)) => crate::bail!("no lane reaches the parameters, and {name} got a gradient"),
                (None, None) => {}
            }
        }
    }
    Ok(())
}

fn close(what: &str, found: &Tensor, expected: &Tensor) -> Result<()> {
    ensure!(
        found.size() == expected.size(),
        "{what} has the shape {:?} by the passes, and {:?} by autograd",
        found.size(),
        expected.size()
    );
    let scale = expected.f_abs()?.f_max()?.f_double_value(&[])?.max(1e-3);
    let difference = found.f_sub(expected)?.f_abs()?.f_max()?.f_double_value(&[])?;
    ensure!(
        difference <= 2e-4 * scale,
        "{what} differs by {difference:.3e} between the passes and autograd, and is {scale:.3e} at most"
    );
    Ok(())
}

//! One stream's sensitivities, carried from step to step.
use super::exact::Exact;
use efference_sdk::tch::{self, Tensor};
use efference_sdk::{Result, ResultExt, Saved, autograd, bail, ensure};
use std::collections::BTreeMap;

/// A transition of one stream, with its graph.
pub(crate) struct Graph {
    /// (1, state size): the state before, a leaf.
    pub(crate) before: Tensor,
    /// (1, state size): the state after.
    pub(crate) next: Tensor,
}

/// How the units of a stream's last state but one depend on the parameters: (parts, the parameter's shape) each, in the order
/// of [`Exact::carried`]. `None`: not at all.
#[derive(Default)]
pub(crate) struct Sensitivities {
    names: Vec<String>,
    all: Vec<Option<Tensor>>,
}

impl Sensitivities {
    /// Adds to the gradients of the parameters what the gradient of `graph.next` makes of them, and carries the
    /// sensitivities over the transition.
    pub(crate) fn carry(&mut self, exact: &Exact, graph: &Graph, gradient: Option<&Tensor>) -> Result<()> {
        self.all.resize_with(exact.carried.len(), || None);
        if self.names.is_empty() {
            self.names = exact.carried.iter().map(|carried| carried.name.clone()).collect();
        }
        if !graph.next.requires_grad() {
            return Ok(());
        }
        let after = self.after(exact, graph)?;
        if let Some(gradient) = gradient {
            autograd::backward(&[(&graph.next, gradient)]).context("backpropagation")?;
            self.add_gradients(exact, &graph.before.f_grad()?)?;
        }
        self.all = after;
        Ok(())
    }

    /// The sensitivities after the transition.
    fn after(&self, exact: &Exact, graph: &Graph) -> Result<Vec<Option<Tensor>>> {
        let mut inputs = vec![&graph.before];
        inputs.extend(exact.carried.iter().map(|carried| &carried.parameter));
        let mut parts: Vec<Vec<Option<Tensor>>> = exact.carried.iter().map(|_| Vec::new()).collect();
        for part in 0..exact.parts {
            let sum = exact.sum_of_part(part, &graph.next)?;
            let mut found = autograd::gradients(&[(&graph.next, &sum)], &inputs)?.into_iter();
            let of_before = found.next().flatten();
            for (i, (carried, immediate)) in exact.carried.iter().zip(found).enumerate() {
                // (∂F_u / ∂s_u) · z + ∂F_u / ∂w, summed over the parts of the state before.
                let mut after = immediate;
                if let (Some(of_before), Some(z)) = (&of_before, &self.all[i]) {
                    for from in 0..exact.parts {
                        let factor = carried.of_units(&exact.part(from, of_before)?)?;
                        let z = z.f_select(0, from)?;
                        after = Some(match after {
                            None => z.f_mul(&factor)?,
                            Some(after) => after.f_addcmul(&z, &factor)?,
                        });
                    }
                }
                parts[i].push(after);
            }
        }
        let stacked = parts.into_iter().zip(&exact.carried).map(|(parts, carried)| {
            if parts.iter().all(Option::is_none) {
                return Ok(None);
            }
            let whole = |part: Option<Tensor>| {
                part.map_or_else(|| Ok(carried.parameter.f_detach()?.f_zeros_like()?), Ok)
            };
            let parts = parts.into_iter().map(whole).collect::<Result<Vec<_>>>()?;
            Ok(Some(match &parts[..] {
                [one] => one.f_unsqueeze(0)?,
                parts => Tensor::f_stack(parts, 0)?,
            }))
        });
        stacked.collect()
    }

    /// Adds what the gradient in the state before the transition makes of the parameters by way of the sensitivities.
    fn add_gradients(&self, exact: &Exact, of_before: &Tensor) -> Result<()> {
        if !of_before.defined() {
            return Ok(());
        }
        let mut gradients = Vec::with_capacity(exact.carried.len());
        tch::no_grad(|| -> Result<()> {
            for (carried, z) in exact.carried.iter().zip(&self.all) {
                let Some(z) = z else { continue };
                let mut sum: Option<Tensor> = None;
                for part in 0..exact.parts {
                    let factor = carried.of_units(&exact.part(part, of_before)?)?;
                    let z = z.f_select(0, part)?;
                    sum = Some(match sum {
                        None => z.f_mul(&factor)?,
                        Some(sum) => sum.f_addcmul(&z, &factor)?,
                    });
                }
                gradients.extend(sum.map(|sum| (&carried.parameter, sum)));
            }
            Ok(())
        })?;
        let roots: Vec<_> = gradients.iter().map(|(parameter, gradient)| (*parameter, gradient)).collect();
        if roots.is_empty() { Ok(()) } else { autograd::backward(&roots) }
    }

    /// What [`restore`] needs.
    pub(crate) fn save(&self, stream: u64) -> Saved {
        let named = self.names.iter().zip(&self.all);
        let one = |(name, z): (&String, &Option<Tensor>)| {
            Some((format!("{PREFIX}{stream}.{name}"), z.as_ref()?.shallow_clone()))
        };
        named.filter_map(one).collect()
    }
}

const PREFIX: &str = "sensitivity.";

/// Takes up what was saved of all streams.
///
/// # Errors
/// What was saved is of other parameters.
pub(crate) fn restore(saved: &Saved, exact: Option<&Exact>) -> Result<BTreeMap<u64, Sensitivities>> {
    let mut all: BTreeMap<u64, Sensitivities> = BTreeMap::new();
    let named = saved.iter().filter_map(|(name, tensor)| Some((name.strip_prefix(PREFIX)?, tensor)));
    for (name, tensor) in named {
        let Some(exact) = exact else { bail!("sensitivities can be taken up once the agent is complete") };
        let parsed = name.split_once('.').and_then(|(stream, name)| Some((stream.parse().ok()?, name)));
        let Some((stream, name)) = parsed else {
            bail!("what was saved of rtrl has a tensor '{PREFIX}{name}'")
        };
        let Some(place) = exact.carried.iter().position(|carried| carried.name == name) else {
            bail!("what was saved of rtrl is of a parameter '{name}', whose gradient is not carried here")
        };
        let carried = &exact.carried[place];
        let shape = carried.sensitivity_shape(exact.parts);
        ensure!(
            tensor.size() == shape,
            "the sensitivity to '{name}' should have the shape {shape:?}, and what was saved has {:?}",
            tensor.size()
        );
        let own: &mut Sensitivities = all.entry(stream).or_default();
        own.names = exact.carried.iter().map(|carried| carried.name.clone()).collect();
        own.all.resize_with(exact.carried.len(), || None);
        own.all[place] = Some(tensor.f_detach()?.f_to_device(carried.parameter.device())?.copy());
    }
    Ok(all)
}

//! A transition by autograd: the gradient paths share one forward pass, and each one's gradient goes through the same
//! graph by itself.
use super::grad_paths::{add_grad, distinct_masks, sum_masked};
use efference_sdk::autograd::{self, Context, Gradients, Op};
use efference_sdk::{GradMask, GradPath, Result, bail};
use std::sync::{Mutex, PoisonError};
use tch::Tensor;

/// The operation that stands for a graph built before. Inputs: `x`, then the cell's parameters. Outputs: one a path.
/// Saved: the leaf that stood for `x`, the cell's outputs with their graph, the parameters.
pub(super) struct TransitionByAutograd {
    paths: Vec<GradPath>,
    graph: Mutex<Option<(Tensor, Tensor)>>,
}

impl TransitionByAutograd {
    /// `graph` is the leaf that stood for `x`, and the cell's outputs of it.
    pub(super) fn new(paths: Vec<GradPath>, graph: (Tensor, Tensor)) -> Self {
        TransitionByAutograd { paths, graph: Mutex::new(Some(graph)) }
    }

    /// The gradient of the cell's outputs that comes along some paths; `None` if there is none.
    fn grad_of_outputs(
        &self,
        y: &Tensor,
        gradients: &Gradients<'_>,
        along: &dyn Fn(&GradPath) -> bool,
    ) -> Result<Option<Tensor>> {
        let mut sum: Option<Tensor> = None;
        for (i, path) in self.paths.iter().enumerate().filter(|(_, path)| along(path)) {
            let Some(g) = gradients.of_output(i) else { continue };
            let into = sum.map_or_else(|| y.f_zeros_like(), Ok)?;
            add_grad(&into, path, Some(g))?;
            sum = Some(into);
        }
        Ok(sum)
    }

    /// Whether all paths of a mask are frozen, or none is.
    fn all_or_none_frozen(&self, mask: &GradMask) -> bool {
        let mut frozen = self.paths.iter().filter(|path| path.mask == *mask).map(|path| path.frozen);
        let first = frozen.next();
        frozen.all(|f| Some(f) == first)
    }
}

impl Op for TransitionByAutograd {
    const NAME: &'static str = "transition";

    fn forward(&mut self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        let graph = self.graph.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        let Some((leaf, y)) = graph else { bail!("was evaluated twice") };
        let value = y.f_detach()?;
        let outputs = self.paths.iter().map(|path| {
            let length = path.outs.end - path.outs.start;
            Ok(value.f_narrow(1, path.outs.start, length)?.copy())
        });
        let outputs = outputs.collect::<Result<_>>()?;
        if context.differentiable() {
            context.save(leaf);
            context.save(y);
            inputs[1..].iter().for_each(|p| context.save(p.shallow_clone()));
        }
        Ok(outputs)
    }

    /// One pass for each distinct mask. The gradient of the parameters is linear in that of the outputs: it comes along
    /// with a pass whose paths are just those that it is of, and takes a pass of its own otherwise.
    fn backward(&self, saved: &[Tensor], gradients: &Gradients<'_>) -> Result<Vec<Option<Tensor>>> {
        let [leaf, y, params @ ..] = saved else { bail!("lost what it saved") };
        let needed: Vec<usize> = (0..params.len()).filter(|i| gradients.needs_input_grad(i + 1)).collect();
        let needs_x = gradients.needs_input_grad(0);
        let masks = distinct_masks(&self.paths);
        let params_along = needs_x && masks.iter().all(|mask| self.all_or_none_frozen(mask));

        let pass = |along: &dyn Fn(&GradPath) -> bool, x: bool, with_params: bool| -> Result<Vec<_>> {
            let Some(grad) = self.grad_of_outputs(y, gradients, along)? else { return Ok(Vec::new()) };
            let mut inputs: Vec<&Tensor> = Vec::new();
            inputs.extend(x.then_some(leaf));
            inputs.extend(needed.iter().filter(|_| with_params).map(|i| &params[*i]));
            if inputs.is_empty() {
                return Ok(Vec::new());
            }
            autograd::gradients(&[(y, &grad)], &inputs)
        };
        let mut input_grads = gradients.none();
        let mut add_params = |found: &[Option<Tensor>]| -> Result<()> {
            for (i, g) in needed.iter().zip(found).filter_map(|(i, g)| Some((i, g.as_ref()?))) {
                input_grads[i + 1] = Some(match input_grads[i + 1].take() {
                    Some(sum) => sum.f_add(g)?,
                    None => g.shallow_clone(),
                });
            }
            Ok(())
        };
        let mut grads_of_x: Vec<(GradMask, Tensor)> = Vec::new();
        if needs_x {
            for mask in &masks {
                let frozen = self.paths.iter().any(|path| path.mask == *mask && path.frozen);
                let found = pass(&|path| path.mask == *mask, true, params_along && !frozen)?;
                if let Some((x, found)) = found.split_first() {
                    grads_of_x.extend(x.as_ref().map(|x| (*mask, x.shallow_clone())));
                    add_params(found)?;
                }
            }
        }
        if !params_along {
            add_params(&pass(&|path| !path.frozen, false, true)?)?;
        }
        input_grads[0] = sum_masked(grads_of_x)?;
        Ok(input_grads)
    }
}

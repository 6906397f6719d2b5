//! Lanes that share one forward pass by autograd: each one's gradient goes through the same graph by itself.
use super::lanes::{add_arrived, merge, ways};
use efference_sdk::autograd::{self, Context, Gradients, Op};
use efference_sdk::{GradMask, GradPath, Result, bail};
use std::sync::{Mutex, PoisonError};
use tch::Tensor;

/// The operation that stands for a graph evaluated before. Inputs: `x`, then the cell's parameters. Outputs: one a
/// lane. Saved: the leaf that stood for `x`, the cell's outputs with their graph, the parameters.
pub(super) struct SharedGraph {
    pub(super) lanes: Vec<GradPath>,
    pub(super) within: Mutex<Option<(Tensor, Tensor)>>,
}

impl Op for SharedGraph {
    const NAME: &'static str = "transition";

    fn forward(&mut self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        let within = self.within.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        let Some((leaf, y)) = within else { bail!("was evaluated twice") };
        let plain = y.f_detach()?;
        let outputs = self.lanes.iter().map(|lane| {
            let length = lane.outs.end - lane.outs.start;
            Ok(plain.f_narrow(1, lane.outs.start, length)?.copy())
        });
        let outputs = outputs.collect::<Result<_>>()?;
        if context.differentiable() {
            context.save(leaf);
            context.save(y);
            inputs[1..].iter().for_each(|p| context.save(p.shallow_clone()));
        }
        Ok(outputs)
    }

    fn backward(&self, saved: &[Tensor], gradients: &Gradients<'_>) -> Result<Vec<Option<Tensor>>> {
        let [leaf, y, parameters @ ..] = saved else { bail!("lost what it saved") };
        let mut answer: Vec<Option<Tensor>> = (0..=parameters.len()).map(|_| None).collect();
        let wanted: Vec<usize> =
            (0..parameters.len()).filter(|i| gradients.needs_input_grad(i + 1)).collect();

        // One pass for each set of inputs that gradient is let through to. The gradient of the parameters is
        // linear in that of the outputs: it comes along where a pass has just the lanes that it is of, and is
        // one pass of its own otherwise.
        let carries = ways(&self.lanes);
        let whole = |c: &GradMask| {
            let mut frozen = self.lanes.iter().filter(|l| l.mask == *c).map(|l| l.frozen);
            let first = frozen.next();
            frozen.all(|f| Some(f) == first)
        };
        let along = carries.iter().all(whole) && gradients.needs_input_grad(0);
        let pass = |lanes: &dyn Fn(&GradPath) -> bool,
                    x: bool,
                    parameters_too: bool|
         -> Result<Vec<Option<Tensor>>> {
            let Some(arrived) = self.arrived(y, gradients, lanes)? else { return Ok(Vec::new()) };
            let mut inputs: Vec<&Tensor> = Vec::new();
            inputs.extend(x.then_some(leaf));
            inputs.extend(wanted.iter().filter(|_| parameters_too).map(|i| &parameters[*i]));
            if inputs.is_empty() {
                return Ok(Vec::new());
            }
            autograd::gradients(&[(y, &arrived)], &inputs)
        };
        let mut add_parameters = |found: &[Option<Tensor>]| -> Result<()> {
            for (i, g) in wanted.iter().zip(found).filter_map(|(i, g)| Some((i, g.as_ref()?))) {
                answer[i + 1] = Some(match answer[i + 1].take() {
                    Some(sum) => sum.f_add(g)?,
                    None => g.shallow_clone(),
                });
            }
            Ok(())
        };
        let mut into_x: Vec<(GradMask, Tensor)> = Vec::new();
        if gradients.needs_input_grad(0) {
            for c in &carries {
                let frozen = self.lanes.iter().any(|l| l.mask == *c && l.frozen);
                let found = pass(&|l| l.mask == *c, true, along && !frozen)?;
                if let Some((x, found)) = found.split_first() {
                    into_x.extend(x.as_ref().map(|x| (*c, x.shallow_clone())));
                    add_parameters(found)?;
                }
            }
        }
        if !along {
            add_parameters(&pass(&|l| !l.frozen, false, true)?)?;
        }
        answer[0] = merge(into_x)?;
        Ok(answer)
    }
}

impl SharedGraph {
    /// What has arrived at the cell's outputs by way of some lanes; `None` if nothing has.
    fn arrived(
        &self,
        y: &Tensor,
        gradients: &Gradients<'_>,
        lanes: &dyn Fn(&GradPath) -> bool,
    ) -> Result<Option<Tensor>> {
        let mut arrived: Option<Tensor> = None;
        for (i, lane) in self.lanes.iter().enumerate().filter(|(_, l)| lanes(l)) {
            let Some(g) = gradients.of_output(i) else { continue };
            let sum = arrived.map_or_else(|| y.f_zeros_like(), Ok)?;
            add_arrived(&sum, lane, Some(g))?;
            arrived = Some(sum);
        }
        Ok(arrived)
    }
}

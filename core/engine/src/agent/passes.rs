//! Lanes that share both passes, by those that the cell brings itself.
use super::lanes::{SharedCell, add_arrived, merge, ways};
use efference_sdk::autograd::{Context, Gradients, Op, required};
use efference_sdk::{GradMask, GradOutput, GradPath, Result};
use tch::{Device, Kind, Tensor};

/// Inputs: `x`, then the cell's parameters. Outputs: one a lane. Saved: what the cell's pass keeps, then the parameters.
pub(super) struct SharedPasses {
    pub(super) cell: SharedCell,
    /// How many numbers the cell answers with.
    pub(super) state_size: i64,
    pub(super) lanes: Vec<GradPath>,
}

/// A lane of the backward pass: what goes into it together.
struct Joined {
    /// Which chunks of the input it reaches; `None`: the parameters alone.
    carries: Option<GradMask>,
    to_parameters: bool,
    /// Of which of the goal's lanes it is the sum.
    of: Vec<usize>,
}

impl SharedPasses {
    /// As few lanes as keep apart what has to be: those that reach the input come first.
    ///
    /// Gradients that reach the same chunks of the input are summed. So are their ways into the parameters, unless
    /// some of them are frozen: then the others go there in a lane of their own.
    fn join(&self, gradients: &Gradients<'_>) -> Vec<Joined> {
        let arrived: Vec<usize> =
            (0..self.lanes.len()).filter(|i| gradients.of_output(*i).is_some()).collect();
        let parameters = (1..gradients.input_count()).any(|i| gradients.needs_input_grad(i));
        let trains = |i: &usize| parameters && !self.lanes[*i].frozen;
        let (mut joined, mut apart) = (Vec::new(), Vec::new());
        if gradients.needs_input_grad(0) {
            for carries in ways(&self.lanes) {
                let of: Vec<usize> =
                    arrived.iter().copied().filter(|i| self.lanes[*i].mask == carries).collect();
                if of.is_empty() {
                    continue;
                }
                let to_parameters = of.iter().all(trains);
                if !to_parameters {
                    apart.extend(of.iter().copied().filter(|i| trains(i)));
                }
                joined.push(Joined { carries: Some(carries), to_parameters, of });
            }
        } else {
            apart.extend(arrived.iter().copied().filter(|i| trains(i)));
        }
        if !apart.is_empty() {
            joined.push(Joined { carries: None, to_parameters: true, of: apart });
        }
        joined
    }

    /// The gradient of all outputs, (lanes · batch, outs), in these lanes.
    fn arrived(&self, joined: &[Joined], gradients: &Gradients<'_>, batch: i64) -> Result<Tensor> {
        if let ([Joined { of, .. }], [GradPath { outs, .. }]) = (joined, &self.lanes[..])
            && *outs == (0..self.state_size)
            && let Some(g) = of.first().and_then(|i| gradients.of_output(*i))
        {
            return Ok(g.f_contiguous()?);
        }
        let shape = [joined.len() as i64 * batch, self.state_size];
        let all = Tensor::f_zeros(shape, (Kind::Float, Device::Cpu))?;
        for (lane, rows) in joined.iter().zip(all.f_split(batch, 0)?) {
            for i in &lane.of {
                add_arrived(&rows, &self.lanes[*i], gradients.of_output(*i))?;
            }
        }
        Ok(all)
    }
}

impl Op for SharedPasses {
    const NAME: &'static str = "transition";

    fn forward(&mut self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        let cell = self.cell.lock();
        let (y, saved) = required(cell.vjp())?.forward(&inputs[0].f_contiguous()?)?;
        if context.differentiable() {
            saved.into_iter().for_each(|t| context.save(t));
            // Not needed, but libtorch refuses the backward pass if they were changed meanwhile.
            inputs[1..].iter().for_each(|p| context.save(p.shallow_clone()));
        }
        let whole = 0..y.size()[1];
        let mut outputs = Vec::with_capacity(self.lanes.len());
        for lane in &self.lanes {
            outputs.push(if self.lanes.len() == 1 && lane.outs == whole {
                y.shallow_clone()
            } else {
                y.f_narrow(1, lane.outs.start, lane.outs.end - lane.outs.start)?.copy()
            });
        }
        Ok(outputs)
    }

    fn backward(&self, saved: &[Tensor], gradients: &Gradients<'_>) -> Result<Vec<Option<Tensor>>> {
        let count = gradients.input_count();
        let joined = self.join(gradients);
        if joined.is_empty() {
            return Ok((0..count).map(|_| None).collect());
        }
        let saved = &saved[..saved.len() - (count - 1)];
        let cell = self.cell.lock();
        let batch = joined[0].of.first().and_then(|i| gradients.of_output(*i)).map_or(0, |g| g.size()[0]);
        let to_parameters: Vec<bool> = joined.iter().map(|l| l.to_parameters).collect();
        let ways: Vec<GradMask> = joined.iter().filter_map(|l| l.carries).collect();
        let grad = GradOutput {
            grad: &self.arrived(&joined, gradients, batch)?,
            needs_param_grad: &to_parameters,
            input_paths: ways.len(),
        };
        let mut found = required(cell.vjp())?.backward(saved, &grad)?;
        if let Some(rows) = found.input.take() {
            let each = rows.f_split(batch, 0)?;
            found.input = merge(ways.into_iter().zip(each).collect())?;
        }
        found.into_input_grads(gradients)
    }
}

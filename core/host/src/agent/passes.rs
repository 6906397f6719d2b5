//! Lanes that share both passes, by those that the cell brings itself.
use super::lanes::{SharedCell, ways};
use efference_sdk::op::{Context, Gradients, Op, Output, slice};
use efference_sdk::{Carries, Incoming, Lane, Outgoing, Result, bail, ensure};
use tch::Tensor;

/// Inputs: `x`, then the cell's parameters. Outputs: one a lane. Saved: what the cell's pass keeps, then the parameters.
pub(super) struct SharedPasses {
    pub(super) cell: SharedCell,
    /// How many numbers the cell answers with.
    pub(super) state_size: i64,
    pub(super) lanes: Vec<Lane>,
}

/// A lane of the backward pass: what goes into it together.
struct Joined {
    /// Which chunks of the input it reaches; `None`: the parameters alone.
    carries: Option<Carries>,
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
        let parameters = (1..gradients.inputs()).any(|i| gradients.wanted(i));
        let trains = |i: &usize| parameters && !self.lanes[*i].frozen;
        let (mut joined, mut apart) = (Vec::new(), Vec::new());
        if gradients.wanted(0) {
            for carries in ways(&self.lanes) {
                let of: Vec<usize> =
                    arrived.iter().copied().filter(|i| self.lanes[*i].carries == carries).collect();
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
    fn arrived(
        &self,
        joined: &[Joined],
        gradients: &Gradients<'_>,
        [batch, outs]: [i64; 2],
    ) -> Result<Tensor> {
        let mut all = Output::empty(&[joined.len() as i64 * batch, outs])?;
        let (batch, outs) = (batch as usize, outs as usize);
        for (lane, rows) in joined.iter().zip(all.chunks_exact_mut((batch * outs).max(1))) {
            let mut first = true;
            for (i, g) in lane.of.iter().filter_map(|i| Some((*i, gradients.of_output(*i)?))) {
                let range = self.lanes[i].outs.start as usize..self.lanes[i].outs.end as usize;
                let g = g.f_contiguous()?;
                let g = slice(&g)?.chunks_exact(range.len().max(1));
                for (row, g) in rows.chunks_exact_mut(outs).zip(g) {
                    if first {
                        row[..range.start].fill(0.0);
                        row[range.clone()].copy_from_slice(g);
                        row[range.end..].fill(0.0);
                    } else {
                        row[range.clone()].iter_mut().zip(g).for_each(|(sum, g)| *sum += g);
                    }
                }
                first = false;
            }
        }
        Ok(all.into_tensor())
    }
}

impl Op for SharedPasses {
    const NAME: &'static str = "transition";

    fn forward(&mut self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        let cell = self.cell.lock();
        let Some(passes) = cell.passes() else { bail!("the cell has no passes of its own any more") };
        let (y, kept) = passes.forward(&inputs[0].f_contiguous()?)?;
        if context.differentiable() {
            kept.into_iter().for_each(|t| context.save(t));
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
        let count = gradients.inputs();
        let joined = self.join(gradients);
        if joined.is_empty() {
            return Ok((0..count).map(|_| None).collect());
        }
        let kept = &saved[..saved.len() - (count - 1)];
        let cell = self.cell.lock();
        let Some(passes) = cell.passes() else { bail!("the cell has no passes of its own any more") };
        let batch = joined[0].of.first().and_then(|i| gradients.of_output(*i)).map_or(0, |g| g.size()[0]);
        let to_parameters: Vec<bool> = joined.iter().map(|l| l.to_parameters).collect();
        let ways: Vec<Carries> = joined.iter().filter_map(|l| l.carries).collect();
        let incoming = Incoming {
            gradient: &self.arrived(&joined, gradients, [batch, self.state_size])?,
            to_parameters: &to_parameters,
            to_input: ways.len(),
        };
        let Outgoing { input, mut parameters } = passes.backward(kept, &incoming)?;
        if parameters.is_empty() {
            parameters.resize_with(count - 1, || None);
        }
        ensure!(
            parameters.len() == count - 1,
            "the cell answered with the gradients of {} parameters, and has {}",
            parameters.len(),
            count - 1
        );
        let input = input.filter(|_| !ways.is_empty()).map(|gx| merge(gx, &ways)).transpose()?;
        let all = std::iter::once(input).chain(parameters);
        Ok(all.enumerate().map(|(i, g)| g.filter(|_| gradients.wanted(i))).collect())
    }
}

/// The gradient of the input, each lane's through the chunks that it reaches.
///
/// `gradient` is (lanes · batch, ins); what comes back is its first `batch` rows.
fn merge(gradient: Tensor, lanes: &[Carries]) -> Result<Tensor> {
    let [rows, width] = gradient.size()[..] else { bail!("the gradient of the input is no matrix") };
    let batch = rows / lanes.len().max(1) as i64;
    if lanes == [Carries::All] {
        return Ok(gradient);
    }
    let mut gradient = Output::over(gradient)?;
    let (first, others) = gradient.split_at_mut((batch * width) as usize);
    let width = width as usize;
    let closed = match lanes[0] {
        Carries::All => None,
        Carries::EvenChunks { size } => Some((size as usize, 1)),
        Carries::OddChunks { size } => Some((size as usize, 0)),
    };
    if let Some((size, skip)) = closed {
        for row in first.chunks_exact_mut(width) {
            row.chunks_exact_mut(size).skip(skip).step_by(2).for_each(|chunk| chunk.fill(0.0));
        }
    }
    for (carries, other) in lanes[1..].iter().zip(others.chunks_exact((batch as usize * width).max(1))) {
        let (size, skip, step) = match carries {
            Carries::All => (width, 0, 1),
            Carries::EvenChunks { size } => (*size as usize, 0, 2),
            Carries::OddChunks { size } => (*size as usize, 1, 2),
        };
        for (row, other) in first.chunks_exact_mut(width).zip(other.chunks_exact(width)) {
            let chunks = row.chunks_exact_mut(size).zip(other.chunks_exact(size));
            for (sum, g) in chunks.skip(skip).step_by(step) {
                sum.iter_mut().zip(g).for_each(|(sum, g)| *sum += g);
            }
        }
    }
    Ok(gradient.into_tensor().f_narrow(0, 0, batch)?)
}

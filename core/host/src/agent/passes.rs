//! Lanes that share both passes, by those that the cell brings itself.
use super::lanes::{SharedCell, ways};
use efference_sdk::op::{Context, Gradients, Op, Output, slice};
use efference_sdk::{Carries, Incoming, Lane, Outgoing, Result, bail, elementwise, ensure, in_lanes};
use std::ops::Range;
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
        // Of each lane: the gradients that are summed in it, with the outputs that they belong to.
        let mut parts = Vec::with_capacity(joined.len());
        for lane in joined {
            let of = lane.of.iter().filter_map(|i| Some((&self.lanes[*i].outs, gradients.of_output(*i)?)));
            let of = of.map(|(outs, g)| Ok((outs.start as usize..outs.end as usize, g.f_contiguous()?)));
            parts.push(of.collect::<Result<Vec<_>>>()?);
        }
        let mut slices = Vec::with_capacity(parts.len());
        for of in &parts {
            let of = of.iter().map(|(outs, g)| Ok((outs.clone(), slice(g)?)));
            slices.push(of.collect::<Result<Vec<_>>>()?);
        }
        in_lanes!(joined.len(), batch * outs, [&mut all], |lane, range, [sums]| {
            sums.fill(0.0);
            for piece in pieces(range.clone(), outs) {
                let (row, from) = (piece.start / outs, piece.start % outs);
                let sums = &mut sums[piece.start - range.start..piece.end - range.start];
                for (outs, g) in &slices[lane] {
                    let both = from.max(outs.start)..(from + piece.len()).min(outs.end);
                    if !both.is_empty() {
                        let g = &g[row * outs.len()..][both.start - outs.start..both.end - outs.start];
                        let sums = &mut sums[both.start - from..both.end - from];
                        sums.iter_mut().zip(g).for_each(|(sum, g)| *sum += g);
                    }
                }
            }
            0.0
        });
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
    let (rows, width) = ((batch * width) as usize, width as usize);
    let (first, others) = gradient.split_at_mut(rows);
    // Of each lane: the size of its chunks, and which of them it reaches.
    let ways: Vec<(usize, Option<usize>)> = lanes
        .iter()
        .map(|carries| match carries {
            Carries::All => (width, None),
            Carries::EvenChunks { size } => (*size as usize, Some(0)),
            Carries::OddChunks { size } => (*size as usize, Some(1)),
        })
        .collect();
    elementwise!(rows, [first], |range, [sums]| {
        for (lane, (size, parity)) in ways.iter().enumerate() {
            for piece in pieces(range.clone(), *size) {
                let reached = parity.is_none_or(|parity| piece.start % width / size % 2 == parity);
                let sums = &mut sums[piece.start - range.start..piece.end - range.start];
                match lane {
                    0 if reached => {}
                    0 => sums.fill(0.0),
                    _ if reached => {
                        let g = &others[(lane - 1) * rows..][piece];
                        sums.iter_mut().zip(g).for_each(|(sum, g)| *sum += g);
                    }
                    _ => {}
                }
            }
        }
        0.0
    });
    Ok(gradient.into_tensor().f_narrow(0, 0, batch)?)
}

/// Cuts a range at the multiples of `size`.
fn pieces(range: Range<usize>, size: usize) -> impl Iterator<Item = Range<usize>> {
    let mut start = range.start;
    std::iter::from_fn(move || {
        let piece = start..((start / size + 1) * size).min(range.end);
        start = piece.end;
        (!piece.is_empty()).then_some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use efference_sdk::Random;
    use tch::Kind;

    #[test]
    fn pieces_make_up_the_range() {
        assert_eq!(pieces(3..11, 4).collect::<Vec<_>>(), [3..4, 4..8, 8..11]);
        assert_eq!(pieces(4..8, 4).last(), Some(4..8));
        assert_eq!(pieces(5..5, 4).count(), 0);
    }

    #[test]
    fn each_lane_gives_the_chunks_that_it_reaches() {
        let (even, odd) = (Carries::EvenChunks { size: 2 }, Carries::OddChunks { size: 2 });
        for ways in
            [vec![even, odd], vec![odd, even], vec![odd], vec![Carries::All, even], vec![even, Carries::All]]
        {
            let all = Random::new(3).normal(&[ways.len() as i64 * 2, 8], 1.0);
            let expected = Tensor::zeros([2, 8], (Kind::Float, tch::Device::Cpu));
            for (lane, carries) in ways.iter().enumerate() {
                for chunk in 0..4 {
                    let reached = match carries {
                        Carries::All => true,
                        Carries::EvenChunks { .. } => chunk % 2 == 0,
                        Carries::OddChunks { .. } => chunk % 2 == 1,
                    };
                    if reached {
                        let g = all.narrow(0, 2 * lane as i64, 2).narrow(1, 2 * chunk, 2);
                        let _ = expected.narrow(1, 2 * chunk, 2).f_add_(&g).unwrap();
                    }
                }
            }
            assert!(merge(all.copy(), &ways).unwrap().equal(&expected), "{ways:?}");
        }
        let all = Random::new(3).normal(&[2, 8], 1.0);
        assert!(merge(all.copy(), &[Carries::All]).unwrap().equal(&all));
    }
}

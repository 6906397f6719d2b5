//! The cell as a goal sees it: one evaluation, several ways for the gradient.
use super::graph::SharedGraph;
use super::passes::SharedPasses;
use super::store::Store;
use efference_sdk::autograd::apply;
use efference_sdk::{AnyCell, GradMask, GradPath, Result, Transition, ensure};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tch::{Device, Kind, Tensor};

/// The experiment's cell, which a graph of autograd's may outlive the agent with.
#[derive(Clone)]
pub struct SharedCell(Arc<Mutex<Box<dyn AnyCell>>>);

impl SharedCell {
    /// Takes the cell.
    pub fn new(cell: Box<dyn AnyCell>) -> Self {
        SharedCell(Arc::new(Mutex::new(cell)))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Box<dyn AnyCell>> {
        // What a panicking plugin leaves behind is its own.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Evaluates the cell once, however many lanes there are: their values are equal. Their gradients then go one way
/// together where the cell has passes of its own, and else each by itself through the same graph.
pub struct Lanes<'a> {
    /// The cell.
    pub cell: &'a SharedCell,
    /// Where its parameters are, under `cell.`.
    pub store: &'a Store,
    /// How many numbers it answers with.
    pub state_size: i64,
    /// How the lanes are evaluated.
    pub sharing: Sharing,
}

/// How much of an evaluation the lanes of a goal share. Results are the same but for rounding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// All they can: one forward pass, and one backward pass where the cell has passes of its own.
    All,
    /// One forward pass by autograd, whose graph each lane's gradient goes through by itself.
    Forward,
    /// Nothing: one forward and one backward pass a lane, as a yardstick.
    Nothing,
}

impl Transition for Lanes<'_> {
    fn evaluate(&self, x: &Tensor, lanes: &[GradPath]) -> Result<Vec<Tensor>> {
        let (all, width) = (0..self.state_size, x.size()[1]);
        for lane in lanes {
            let within =
                all.start <= lane.outs.start && lane.outs.start <= lane.outs.end && lane.outs.end <= all.end;
            ensure!(within, "the cell has the outputs {all:?}, and {:?} were asked for", lane.outs);
            if let GradMask::EvenChunks { size } | GradMask::OddChunks { size } = lane.mask {
                let fits = size >= 1 && width % size == 0;
                ensure!(fits, "an input of {width} numbers cannot be cut into chunks of {size}");
            }
        }
        if self.sharing == Sharing::Nothing {
            return lanes.iter().map(|lane| self.separately(x, lane)).collect();
        }
        let parameters = self.store.trained("cell.");
        let mut inputs = vec![x];
        inputs.extend(parameters.iter().map(|(_, p)| p));
        let cell = self.cell.lock();
        let plain = x.device() == Device::Cpu && x.kind() == Kind::Float;
        if self.sharing == Sharing::All && plain && cell.vjp().is_some() {
            drop(cell);
            return apply(
                SharedPasses { cell: self.cell.clone(), state_size: self.state_size, lanes: lanes.to_vec() },
                &inputs,
            );
        }
        if let [GradPath { outs, mask: GradMask::All, frozen: false }] = lanes {
            return Ok(vec![cell.forward(x, outs.clone())?]);
        }
        // This graph is built here, where cell and parameters are at hand. For what is outside, one operation
        // stands for it.
        let within = tch::with_grad(|| -> Result<_> {
            let leaf = x.f_detach()?.f_set_requires_grad(true)?;
            let y = cell.forward(&leaf, all)?;
            Ok((leaf, y))
        })?;
        apply(SharedGraph { lanes: lanes.to_vec(), within: Mutex::new(Some(within)) }, &inputs)
    }

    fn outs(&self) -> i64 {
        self.state_size
    }
}

impl Lanes<'_> {
    /// One lane by a forward pass of its own.
    fn separately(&self, x: &Tensor, lane: &GradPath) -> Result<Tensor> {
        let x = carrying(x, lane.mask)?;
        if !lane.frozen {
            return self.cell.lock().forward(&x, lane.outs.clone());
        }
        let parameters = self.store.trained("cell.");
        let ask = |on: bool| -> Result<()> {
            parameters.iter().try_for_each(|(_, p)| Ok(p.f_set_requires_grad(on).map(drop)?))
        };
        ask(false)?;
        let result = self.cell.lock().forward(&x, lane.outs.clone());
        ask(true)?;
        result
    }
}

/// `x` with gradient through some of its chunks alone.
fn carrying(x: &Tensor, carries: GradMask) -> Result<Tensor> {
    let (size, odd) = match carries {
        GradMask::All => return Ok(x.shallow_clone()),
        GradMask::EvenChunks { size } => (size, 0),
        GradMask::OddChunks { size } => (size, 1),
    };
    let detached = x.f_detach()?;
    let chunks = (0..x.size()[1] / size).map(|i| {
        let from = if i % 2 == odd { x } else { &detached };
        Ok(from.f_narrow(1, i * size, size)?)
    });
    Ok(Tensor::f_cat(&chunks.collect::<Result<Vec<_>>>()?, 1)?)
}

/// The different ways in which lanes carry gradient.
pub(super) fn ways(lanes: &[GradPath]) -> Vec<GradMask> {
    let mut ways = Vec::new();
    for lane in lanes {
        if !ways.contains(&lane.mask) {
            ways.push(lane.mask);
        }
    }
    ways
}

/// Adds the gradient of a lane, if one has arrived, to that of all outputs, (batch, outs).
pub(super) fn add_arrived(to: &Tensor, lane: &GradPath, gradient: Option<&Tensor>) -> Result<()> {
    if let Some(g) = gradient {
        let _ = to.f_narrow(1, lane.outs.start, lane.outs.end - lane.outs.start)?.f_add_(g)?;
    }
    Ok(())
}

/// Each gradient through the chunks that it is let through, in one tensor.
pub(super) fn merge(gradients: Vec<(GradMask, Tensor)>) -> Result<Option<Tensor>> {
    if let [(GradMask::All, g)] = &gradients[..] {
        return Ok(Some(g.shallow_clone()));
    }
    let mut merged: Option<Tensor> = None;
    for (carries, g) in gradients {
        let (size, width) = match carries {
            GradMask::All => (g.size()[1], g.size()[1]),
            GradMask::EvenChunks { size } | GradMask::OddChunks { size } => (size, g.size()[1]),
        };
        let odd = matches!(carries, GradMask::OddChunks { .. });
        let into = match &merged {
            Some(into) => into.shallow_clone(),
            None => g.f_zeros_like()?,
        };
        for chunk in (0..width / size).filter(|i| (i % 2 == 1) == odd) {
            let place = into.f_narrow(1, chunk * size, size)?;
            let _ = place.shallow_clone().f_add_(&g.f_narrow(1, chunk * size, size)?)?;
        }
        merged = Some(into);
    }
    Ok(merged)
}

#[cfg(test)]
mod tests {
    use super::*;
    use efference_sdk::Random;

    #[test]
    fn each_lane_gives_the_chunks_that_it_reaches() {
        let (even, odd) = (GradMask::EvenChunks { size: 2 }, GradMask::OddChunks { size: 2 });
        for ways in [
            vec![even, odd],
            vec![odd, even],
            vec![odd],
            vec![GradMask::All, even],
            vec![even, GradMask::All],
        ] {
            let all = Random::new(3).normal(&[ways.len() as i64 * 2, 8], 1.0);
            let expected = Tensor::zeros([2, 8], (Kind::Float, Device::Cpu));
            for (lane, carries) in ways.iter().enumerate() {
                for chunk in 0..4 {
                    let reached = match carries {
                        GradMask::All => true,
                        GradMask::EvenChunks { .. } => chunk % 2 == 0,
                        GradMask::OddChunks { .. } => chunk % 2 == 1,
                    };
                    if reached {
                        let g = all.narrow(0, 2 * lane as i64, 2).narrow(1, 2 * chunk, 2);
                        let _ = expected.narrow(1, 2 * chunk, 2).f_add_(&g).unwrap();
                    }
                }
            }
            let each = ways.iter().copied().zip(all.split(2, 0)).collect();
            assert!(merge(each).unwrap().unwrap().equal(&expected), "{ways:?}");
        }
        let all = Random::new(3).normal(&[2, 8], 1.0);
        assert!(merge(vec![(GradMask::All, all.copy())]).unwrap().unwrap().equal(&all));
    }
}

//! States that are what was observed.
use efference_sdk::autograd::{OutputBuffer, is_contiguous_cpu_f32, shape2, slice};
use efference_sdk::tch::Tensor;
use efference_sdk::{
    Agent, Batch, Loss, LossInput, Result, ResultExt, Saved, autograd, bail, ensure, group, nn, saved,
};
use std::collections::BTreeMap;

/// Steps without a cell.
pub(crate) struct Observed {
    /// Elements of a state.
    pub(crate) size: i64,
    pub(crate) traces: nn::Traces,
    /// Of each stream, (1, size).
    pub(crate) states: BTreeMap<u64, Tensor>,
    pub(crate) steps: u64,
}

impl Observed {
    pub(crate) fn step(&mut self, agent: &dyn Agent, batch: &Batch<'_>) -> Result<Tensor> {
        self.traces.end(batch.ended);
        batch.ended.iter().for_each(|stream| drop(self.states.remove(stream)));
        let moment = &batch.moment;
        let next = self.observed(moment.observation)?;
        let state = self.states_of(moment.streams)?;
        let (target, unroll) = (&next, self.steps);
        let input = LossInput { moment, state: &state, target, next: Some(&next), unroll };
        let rest = self.traces.loss(agent, &input)?;
        descend(agent, &rest)?;
        for (row, stream) in moment.streams.iter().enumerate() {
            let state = match moment.streams.len() {
                1 => next.shallow_clone(),
                _ => next.f_narrow(0, row as i64, 1)?,
            };
            self.states.insert(*stream, state);
        }
        self.steps += 1;
        Ok(next)
    }

    pub(crate) fn save(&self) -> Result<Saved> {
        let mut saved = Saved::new();
        saved::put_numbers(&mut saved, "steps", &[self.steps as f64])?;
        saved::put_streams(&mut saved, "streams", self.states.keys())?;
        saved.push(("state".to_owned(), self.states_of(&self.states.keys().copied().collect::<Vec<_>>())?));
        self.traces.save(&mut saved)?;
        Ok(saved)
    }

    pub(crate) fn restore(&mut self, saved: &Saved) -> Result<()> {
        let streams = saved::streams(saved, "streams")?;
        let states = saved::rows(saved, "state", streams.len(), self.size)?;
        self.steps = saved::numbers(saved, "steps", 1)?[0] as u64;
        self.traces.restore(saved)?;
        let states = states.chunks_exact(self.size as usize);
        let states = states.map(|state| Ok(Tensor::f_from_slice(state)?.f_view([1, self.size])?));
        self.states = streams.into_iter().zip(states.collect::<Result<Vec<_>>>()?).collect();
        Ok(())
    }

    /// States of what was observed, (rows, size).
    fn observed(&self, observation: &Tensor) -> Result<Tensor> {
        let Some([rows, length]) = shape2(observation) else {
            bail!("an observation of shape {:?} has no rows", observation.size())
        };
        ensure!(
            length <= self.size,
            "an observation has {length} elements, and a state {}: set state.size to at least {length}",
            self.size
        );
        let contiguous;
        let observation = if is_contiguous_cpu_f32(observation) {
            observation
        } else {
            contiguous = observation.f_contiguous()?;
            &contiguous
        };
        let mut states = OutputBuffer::zeros(&[rows, self.size])?;
        let observed = slice(observation)?.chunks_exact(length.max(1) as usize);
        for (state, observed) in states.chunks_exact_mut(self.size as usize).zip(observed) {
            state.iter_mut().zip(observed).for_each(|(s, o)| *s = if o.is_nan() { 0.0 } else { *o });
        }
        Ok(states.into_tensor())
    }

    /// The last states of these streams, (rows, size); 0 of one that begins.
    fn states_of(&self, streams: &[u64]) -> Result<Tensor> {
        if let [only] = streams
            && let Some(state) = self.states.get(only)
        {
            return Ok(state.shallow_clone());
        }
        let mut states = OutputBuffer::zeros(&[streams.len() as i64, self.size])?;
        for (row, stream) in states.chunks_exact_mut(self.size as usize).zip(streams) {
            if let Some(state) = self.states.get(stream) {
                row.copy_from_slice(slice(state)?);
            }
        }
        Ok(states.into_tensor())
    }
}

/// Updates by terms that no traces follow.
fn descend(agent: &dyn Agent, loss: &Loss) -> Result<()> {
    let plain = loss.terms.iter().filter(|term| term.value.requires_grad());
    let plain = plain.map(|term| term.total()).collect::<Result<Vec<_>>>()?;
    if plain.is_empty() {
        return Ok(());
    }
    let ones = plain.iter().map(|total| Ok(total.f_ones_like()?)).collect::<Result<Vec<_>>>()?;
    let roots: Vec<_> = plain.iter().zip(&ones).collect();
    autograd::backward(&roots).context("backpropagation")?;
    agent.update(group::ALL)
}

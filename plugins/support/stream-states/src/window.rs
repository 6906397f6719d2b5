//! One update a step, by the gradient of that step's loss through the last transitions.
use super::input::Input;
use super::streams::{Streams, Went};
use efference_sdk::autograd::detach;
use efference_sdk::nn::Traces;
use efference_sdk::tch::{self, Tensor};
use efference_sdk::{
    Agent, Batch, Loss, LossInput, Result, ResultExt, Saved, Term, TrainerSetup, autograd, bail, ensure,
    group,
};

/// The gradient of a step's loss through the last `length` transitions of each stream.
///
/// With `s(t)` the state after step `t`, `o(t)` what was observed in it, `F` the transition, and `L` the length, step `t` is
///
/// ```text
/// g      = gradient of loss(s(t − 1), o(t)) in s(t − 1)
/// update by the loss's own gradient in the goal's parameters, and by that of ⟨g, ŝ(t − 1)⟩ in the cell's, where
///          ŝ(t − L − 1) = s(t − L − 1), ŝ(i) = F(ŝ(i − 1), o(i)) with the parameters of now
/// s(t)   = F(s(t − 1), o(t)) with the updated parameters
/// ```
///
/// The states themselves stay as they came: what was predicted is what the loss is of. The transitions of the window are made
/// again because libtorch refuses to go back through parameters that were changed meanwhile; a cell or goal that draws random
/// numbers draws others then. For `L = 1` nothing has changed, unless a stream sat out a step: then the graph of the
/// transition itself is used, and none is made again.
///
/// A stream that has gone through fewer than `L` transitions since it began, or its state was reset, has as many as it has.
/// All that the next step depends on is saved.
pub struct Window {
    input: Input,
    reset_after_episode: bool,
    streams: Streams,
    look_ahead: bool,
    /// Whether the graph of the last transition is kept for the next step: of a window of one.
    keeps_graph: bool,
    traces: Option<Traces>,
    /// The states after the last step, with their graph: of a window of one transition.
    graph: Option<Tensor>,
    steps: u64,
}

impl Window {
    /// Of so many transitions.
    pub fn new(input: Input, length: usize, reset_after_episode: bool, setup: &TrainerSetup<'_>) -> Self {
        let streams = Streams::new(setup.state_size, setup.device, length);
        let (look_ahead, keeps_graph, traces) = (false, length == 1, None);
        let graph = None;
        Window { input, reset_after_episode, streams, look_ahead, keeps_graph, traces, graph, steps: 0 }
    }

    /// The same where the goal is passed the states after what came, F(s(t − 1), o(t)) by the parameters before the update:
    /// one more transition a step.
    pub fn looking_ahead(self, look_ahead: bool) -> Self {
        Window { look_ahead, ..self }
    }

    /// The same for a trainer that makes further updates between steps: no graph is kept from one to the next, and a window of one
    /// transition makes it again, as a longer one does.
    pub fn keeping_no_graph(self) -> Self {
        Window { keeps_graph: false, ..self }
    }

    /// The states that these streams have before the step of a batch, (rows, state size).
    pub fn states_before(&mut self, batch: &Batch<'_>) -> Result<Tensor> {
        self.begin(batch);
        self.streams.states(batch.moment.streams)
    }

    /// The same where terms with an error are followed by traces, which no gradient of the states comes of.
    pub fn with_traces(self, traces: Traces) -> Self {
        Window { traces: Some(traces), ..self }
    }

    /// How the cell's input is made.
    pub fn input(&self) -> &Input {
        &self.input
    }

    /// One step; returns the new states of the active streams. `before_update` sees the gradients that were gathered.
    pub fn step(
        &mut self,
        agent: &dyn Agent,
        batch: &Batch<'_>,
        before_update: &mut dyn FnMut(&dyn Agent) -> Result<()>,
    ) -> Result<Tensor> {
        let moment = &batch.moment;
        self.begin(batch);
        let memory = agent.memory()?;
        let state = self.streams.states(moment.streams)?;
        let (input, target) = self.input.merge(&state, moment.observation, moment.action, memory)?;

        let ahead = self.look_ahead.then(|| tch::no_grad(|| agent.transition(&input))).transpose()?;
        let leaf = detach(&state)?.f_set_requires_grad(true)?;
        let input_of_loss =
            LossInput { moment, state: &leaf, target: &target, next: ahead.as_ref(), unroll: self.steps };
        let loss = match &mut self.traces {
            Some(traces) => traces.loss(agent, &input_of_loss)?,
            None => agent.loss(&input_of_loss)?,
        };
        let gradient = loss_gradient(&loss, &leaf)?;
        if let Some(gradient) = gradient {
            self.through_window(agent, moment.streams, &gradient, memory)?;
        }
        self.graph = None;
        before_update(agent)?;
        agent.update(group::ALL)?;

        let next = if self.keeps_graph {
            agent.transition(&input)?
        } else {
            tch::no_grad(|| agent.transition(&input))?
        };
        ensure!(
            next.size() == state.size(),
            "the next states should have the shape {:?}, and have {:?}",
            state.size(),
            next.size()
        );
        let detached = detach(&next)?;
        let (observation, action) = (moment.observation.shallow_clone(), moment.action.shallow_clone());
        self.streams
            .push(moment.streams, &Went { state, observation, action, next: detached.shallow_clone() });
        self.graph = self.keeps_graph.then_some(next);
        self.steps += 1;
        let over = moment.streams.iter().zip(moment.step_types).filter(|(_, t)| t.is_last());
        let over: Vec<u64> = over.map(|(stream, _)| *stream).filter(|_| self.reset_after_episode).collect();
        if over.is_empty() {
            return Ok(detached);
        }
        self.streams.reset(&over);
        self.streams.states(moment.streams)
    }

    /// Drops streams that have ended, and gives new ones a state; done twice it changes nothing more.
    fn begin(&mut self, batch: &Batch<'_>) {
        self.streams.end(batch.ended);
        if let Some(traces) = &mut self.traces {
            traces.end(batch.ended);
        }
        self.streams.begin(batch.started);
        self.streams.begin(batch.moment.streams);
    }

    /// Gathers the gradient in the parameters of the window's transitions: `gradient` is that of the states after them.
    fn through_window(
        &self,
        agent: &dyn Agent,
        streams: &[u64],
        gradient: &Tensor,
        memory: i64,
    ) -> Result<()> {
        let back = |states: &Tensor, gradient: &Tensor| -> Result<()> {
            if states.requires_grad() {
                autograd::backward(&[(states, gradient)]).context("backpropagation")?;
            }
            Ok(())
        };
        if let Some(graph) = self.graph.as_ref().filter(|_| self.streams.went_together(streams)) {
            return back(graph, gradient);
        }
        // Those that went through the most first: others join them on the way.
        let mut order: Vec<usize> =
            (0..streams.len()).filter(|i| self.streams.count(streams[*i]) > 0).collect();
        order.sort_by_key(|i| std::cmp::Reverse(self.streams.count(streams[*i])));
        let ordered: Vec<u64> = order.iter().map(|i| streams[*i]).collect();
        let Some(longest) = ordered.first().map(|stream| self.streams.count(*stream)) else { return Ok(()) };
        let mut states: Option<Tensor> = None;
        let mut there = 0;
        for back in (1..=longest).rev() {
            let count = ordered.iter().filter(|stream| self.streams.count(**stream) >= back).count();
            let went = self.streams.went(&ordered[..count], back)?;
            let before = match states.take() {
                None => went.state,
                Some(states) if there == count => states,
                Some(states) => {
                    let joining = went.state.f_narrow(0, there as i64, (count - there) as i64)?;
                    Tensor::f_cat(&[states, joining], 0)?
                }
            };
            let (input, _) = self.input.merge(&before, &went.observation, &went.action, memory)?;
            states = Some(agent.transition(&input)?);
            there = count;
        }
        let Some(states) = states else { return Ok(()) };
        let gradient = if order.iter().copied().eq(0..streams.len()) {
            gradient.shallow_clone()
        } else {
            let order: Vec<i64> = order.iter().map(|i| *i as i64).collect();
            gradient.f_index_select(0, &Tensor::f_from_slice(&order)?.f_to_device(gradient.device())?)?
        };
        back(&states, &gradient)
    }

    /// What [`restore`](Self::restore) needs.
    pub fn save(&self) -> Result<Saved> {
        let mut saved = self.streams.save()?;
        saved.push(("counters".to_owned(), Tensor::f_from_slice(&[self.steps as i64])?));
        if let Some(traces) = &self.traces {
            traces.save(&mut saved)?;
        }
        Ok(saved)
    }

    /// Takes up what [`save`](Self::save) returned.
    pub fn restore(&mut self, saved: &Saved) -> Result<()> {
        self.streams.restore(saved)?;
        if let Some(traces) = &mut self.traces {
            traces.restore(saved)?;
        }
        let counters = saved.iter().find(|(name, _)| name == "counters");
        let counters = counters.map(|(_, t)| Vec::<i64>::try_from(t)).transpose()?.unwrap_or_default();
        let [steps] = counters[..] else {
            bail!("what was saved of the trainer should have one counter, and has {}", counters.len())
        };
        self.steps = steps as u64;
        self.graph = None;
        Ok(())
    }
}

/// Gathers the gradient of a loss in the parameters that it depends on, and returns that in the states `leaf`.
pub fn loss_gradient(loss: &Loss, leaf: &Tensor) -> Result<Option<Tensor>> {
    let totals = loss.terms.iter().map(Term::total).collect::<Result<Vec<_>>>()?;
    let totals: Vec<_> = totals.into_iter().filter(Tensor::requires_grad).collect();
    let ones = totals.iter().map(|total| Ok(total.f_ones_like()?)).collect::<Result<Vec<_>>>()?;
    let roots: Vec<_> = totals.iter().zip(&ones).collect();
    if !roots.is_empty() {
        autograd::backward(&roots).context("backpropagation of the loss")?;
    }
    let gradient = leaf.f_grad()?;
    if !gradient.defined() {
        return Ok(None);
    }
    autograd::clear_gradient(leaf);
    Ok(Some(gradient))
}

#[cfg(test)]
mod tests;

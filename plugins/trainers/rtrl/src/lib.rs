//! Trainer plugin: exact gradients carried forward, for cells whose units do not see each other.
mod exact;
mod row;

use efference_sdk::tch::{self, Tensor};
use efference_sdk::{
    Agent, Batch, InputLayout, LossInput, Plugin, Result, Saved, Trainer, TrainerSetup, bail, ensure, group,
};
use efference_stream_states::{Input, Merge, Streams, Went, loss_gradient};
use exact::Exact;
use row::{Graph, Sensitivities};
use std::collections::BTreeMap;

efference_sdk::options! {
    /// Options of `rtrl`.
    pub struct Options {
        /// What the cell receives: state and observation side by side, one over the other, their sum, or the
        /// state alone. Cells whose units do not see each other need the first.
        pub merge: Merge = Merge::Concat,
        /// Whether the cell's input also holds the action that was done before, behind the rest: its efference copy.
        pub action_input: bool = false,
        /// Whether a stream's state is zero again after the end of an episode, so that nothing is carried over.
        pub reset_after_episode: bool = false,
        /// Whether the goal is passed the states after what came as well, which goals that learn values of states need. It takes
        /// one more transition a step.
        pub look_ahead: bool = false,
    }
}

/// Real-time recurrent learning (Williams and Zipser, "A learning algorithm for continually running fully recurrent neural
/// networks", 1989) of cells whose units do not see each other ([`Recurrence`](efference_sdk::Recurrence)), for which it
/// costs little more than a step (Zucchet et al., arXiv 2305.15947).
///
/// With `s(t)` the state after step `t`, of whose elements a unit `u` has the parts `s_u`, `F` the transition, and `w` a
/// parameter that feeds one unit, each stream carries the sensitivity `z_w = ds_u / dw`, one number a part. Step `t` is
///
/// ```text
/// g      = gradient of loss(s(t − 1), o(t)) in s(t − 1)
/// (q, i) = gradients of ⟨g, F(s(t − 2), o(t − 1))⟩ in s(t − 2) and in all parameters
/// update by i_w + ⟨q_u, z_w(t − 2)⟩ where w feeds one unit, by i_w for all others
/// z_w(t − 1) = (∂F_u / ∂s_u) · z_w(t − 2) + ∂F_u / ∂w
/// s(t)   = F(s(t − 1), o(t)) with the updated parameters
/// ```
///
/// That is the gradient of full backpropagation through time (of parameters that stay; as in all online learning, what they
/// were when they made an earlier state is not what they are) for each `w` that feeds one unit and for what feeds none, such
/// as a read-out. Where a parameter feeds several units, as the earlier factors of `ldl` do, exactness would take a number for
/// each unit, N² of them: it gets the immediate gradient `i` alone. Which is which is said in the log at the start.
///
/// All gradients of a unit's parameters are found by as many backward passes as a unit has parts: of the sum of that part of
/// all units, of which each parameter reaches one. A step costs a transition forward and 1 + parts back. Each stream's
/// transition is made by itself, for its own sensitivities: with many streams that takes longer than together.
///
/// Gradient paths of a goal's transition (`maximize`) count as they do in a backward pass. If a stream sat out a step, its
/// last transition is made again with the parameters of now. All that the next step depends on is saved, sensitivities too.
pub struct Rtrl {
    input: Input,
    reset_after_episode: bool,
    look_ahead: bool,
    streams: Streams,
    exact: Option<Exact>,
    sensitivities: BTreeMap<u64, Sensitivities>,
    /// Of the streams' transitions in the last step.
    graphs: BTreeMap<u64, Graph>,
    steps: u64,
}

impl Plugin for Rtrl {
    const NAME: &'static str = "rtrl";
    const DESCRIPTION: &'static str =
        "Exact gradients carried forward in time, for cells whose units do not see each other.";
    type Options = Options;
    type Kind = dyn Trainer;

    fn new(options: Options, setup: &TrainerSetup<'_>) -> Result<Self> {
        let Options { merge, action_input, reset_after_episode, look_ahead } = options;
        Ok(Rtrl {
            input: Input::new(merge, action_input, setup)?,
            reset_after_episode,
            look_ahead,
            streams: Streams::new(setup.state_size, setup.device, 1),
            exact: None,
            sensitivities: BTreeMap::new(),
            graphs: BTreeMap::new(),
            steps: 0,
        })
    }
}

impl Trainer for Rtrl {
    fn input(&self) -> Result<InputLayout> {
        Ok(self.input.layout().clone())
    }

    fn begin(&mut self, agent: &dyn Agent) -> Result<()> {
        let Some(recurrence) = agent.recurrence()? else {
            bail!(
                "rtrl trains cells whose units do not see each other, and those of this cell do: set plugin = \"mingru\" or \
                 \"rtu\" under [cell], or another trainer, such as plugin = \"sliding\" under [trainer]"
            )
        };
        let exact = Exact::new(recurrence, &agent.parameters("cell")?)?;
        exact.log();
        self.exact = Some(exact);
        Ok(())
    }

    fn step(&mut self, agent: &dyn Agent, batch: &Batch<'_>) -> Result<Tensor> {
        if self.exact.is_none() {
            self.begin(agent)?;
        }
        let moment = &batch.moment;
        self.forget(batch.ended);
        self.streams.end(batch.ended);
        self.streams.begin(batch.started);
        self.streams.begin(moment.streams);
        let memory = agent.memory()?;

        // Each stream's state is a leaf of its own, for its own transition.
        let states = self.streams.states(moment.streams)?;
        let (mut leaves, mut inputs, mut targets) = (Vec::new(), Vec::new(), Vec::new());
        for row in 0..moment.streams.len() as i64 {
            let of = |tensor: &Tensor| -> Result<Tensor> { Ok(tensor.f_narrow(0, row, 1)?) };
            let leaf = of(&states)?.f_detach()?.f_set_requires_grad(true)?;
            let (observation, action) = (of(moment.observation)?, of(moment.action)?);
            let (input, target) = self.input.merge(&leaf, &observation, &action, memory)?;
            leaves.push(leaf);
            inputs.push(input);
            targets.push(target);
        }
        let (state, target) = (joined(&leaves)?.f_detach()?.f_set_requires_grad(true)?, joined(&targets)?);
        let ahead =
            self.look_ahead.then(|| tch::no_grad(|| agent.transition(&joined(&inputs)?))).transpose()?;
        let (next, unroll) = (ahead.as_ref(), self.steps);
        let loss = agent.loss(&LossInput { moment, state: &state, target: &target, next, unroll })?;
        let gradient = loss_gradient(&loss, &state)?;
        self.through_last_transitions(agent, moment.streams, gradient.as_ref(), memory)?;
        agent.update(group::ALL)?;

        let mut nexts = Vec::with_capacity(inputs.len());
        for ((stream, leaf), input) in moment.streams.iter().zip(leaves).zip(&inputs) {
            let next = agent.transition(input)?;
            ensure!(
                next.size() == leaf.size(),
                "the next states should have the shape {:?}, and have {:?}",
                leaf.size(),
                next.size()
            );
            nexts.push(next.f_detach()?);
            self.graphs.insert(*stream, Graph { before: leaf, next });
        }
        let next = joined(&nexts)?;
        let (observation, action) = (moment.observation.shallow_clone(), moment.action.shallow_clone());
        let went = Went { state: state.f_detach()?, observation, action, next: next.shallow_clone() };
        self.streams.push(moment.streams, &went);
        self.steps += 1;
        let over = moment.streams.iter().zip(moment.step_types).filter(|(_, t)| t.is_last());
        let over: Vec<u64> = over.map(|(stream, _)| *stream).filter(|_| self.reset_after_episode).collect();
        if over.is_empty() {
            return Ok(next);
        }
        self.forget(&over);
        self.streams.reset(&over);
        self.streams.states(moment.streams)
    }

    fn save(&self) -> Result<Saved> {
        let mut saved = self.streams.save()?;
        saved.push(("counters".to_owned(), Tensor::f_from_slice(&[self.steps as i64])?));
        for (stream, sensitivities) in &self.sensitivities {
            saved.extend(sensitivities.save(*stream));
        }
        Ok(saved)
    }

    fn restore(&mut self, saved: Saved) -> Result<()> {
        self.streams.restore(&saved)?;
        let counters = saved.iter().find(|(name, _)| name == "counters");
        let counters = counters.map(|(_, t)| Vec::<i64>::try_from(t)).transpose()?.unwrap_or_default();
        let [steps] = counters[..] else {
            bail!("what was saved of rtrl should have one counter, and has {}", counters.len())
        };
        self.steps = steps as u64;
        self.graphs.clear();
        self.sensitivities = row::restore(&saved, self.exact.as_ref())?;
        Ok(())
    }

    fn unroll_length(&self) -> Result<u64> {
        Ok(1)
    }
}

impl Rtrl {
    fn forget(&mut self, streams: &[u64]) {
        for stream in streams {
            self.sensitivities.remove(stream);
            self.graphs.remove(stream);
        }
    }

    /// Goes back through the last transition of each of these streams, whose states have this gradient, and carries their
    /// sensitivities over it.
    fn through_last_transitions(
        &mut self,
        agent: &dyn Agent,
        streams: &[u64],
        gradient: Option<&Tensor>,
        memory: i64,
    ) -> Result<()> {
        let Some(exact) = &self.exact else { return Ok(()) };
        // The parameters will have changed before the next step: then these graphs are of no use.
        let mut graphs = std::mem::take(&mut self.graphs);
        for (row, stream) in (0..).zip(streams) {
            if self.streams.count(*stream) == 0 {
                continue;
            }
            let graph = match graphs.remove(stream) {
                Some(graph) => graph,
                None => {
                    let went = self.streams.went(&[*stream], 1)?;
                    let before = went.state.f_detach()?.f_set_requires_grad(true)?;
                    let (input, _) = self.input.merge(&before, &went.observation, &went.action, memory)?;
                    Graph { next: agent.transition(&input)?, before }
                }
            };
            let gradient = gradient.map(|g| g.f_narrow(0, row, 1)).transpose()?;
            let sensitivities = self.sensitivities.entry(*stream).or_default();
            sensitivities.carry(exact, &graph, gradient.as_ref())?;
        }
        Ok(())
    }
}

/// Rows as one tensor.
fn joined(rows: &[Tensor]) -> Result<Tensor> {
    match rows {
        [row] => Ok(row.shallow_clone()),
        rows => Ok(Tensor::f_cat(rows, 0)?),
    }
}

efference_sdk::export! { trainer: Rtrl }

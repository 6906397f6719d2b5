//! Trainer plugin: truncated backpropagation through time, with a synthetic gradient where it is cut off.

mod merge;
mod rows;
mod side_by_side;
#[cfg(test)]
mod tests;

use efference_sdk::{
    Agent, Batch, Error, LossInput, NetworkSpec, Nonlinearity, Part, Result, ResultExt, Saved, Trainer,
    TrainerSetup, autograd, bail, elementwise, ensure, tch,
    tch::{Device, Tensor},
    tracing,
};
pub use merge::Merge;
use rows::Rows;

efference_sdk::options! {
    /// Options of `bptt`.
    pub struct Options {
        /// How many steps gradient travels back before it is cut off.
        #[schemars(range(min = 1))]
        pub unroll_length: i64 = 1,
        /// How many unrolls gather gradients for one update of the parameters.
        #[schemars(range(min = 1))]
        pub unrolls_per_update: i64 = 1,
        /// What the cell is handed: state and observation side by side, one over the other, their sum, or the
        /// state alone.
        pub merge: Merge = Merge::Concat,
        /// Whether a stream's state is zero again after the end of an episode, so that nothing is carried over.
        pub reset_at_episode_end: bool = false,
        /// What stands for the gradient from beyond the end of an unroll.
        pub synthetic_gradient: SyntheticGradient = SyntheticGradient::default(),
    }
}

efference_sdk::options! {
    /// A network that learns which gradient the future would send back to a state.
    pub struct SyntheticGradient {
        /// Whether there is one; else the future's gradient is taken as zero.
        pub enabled: bool = true,
        /// How many layers it has.
        #[schemars(range(min = 1))]
        pub layers: i64 = 2,
        /// What stands between its layers.
        pub nonlinearity: Nonlinearity = Nonlinearity::Softsign,
        /// Its learning rate.
        #[schemars(range(min = 0.0))]
        pub learning_rate: f64 = 0.03,
    }
}

/// The name of the synthetic gradient's network, and of its part of the parameters.
const NETWORK: &str = "synthetic_gradient";

/// Truncated backpropagation through time.
///
/// Each stream has a state, zero at its start. A step compares the live streams' states with what they observed
/// (the goal's loss), and has the cell make their next states of both; the other streams' states stay. After
/// `unroll_length` steps the gradient of all losses of the unroll is taken, as far back as its start.
///
/// With a synthetic gradient (Jaderberg et al., "Decoupled neural interfaces using synthetic gradients", arXiv
/// 1608.05343) a network `G` stands for what lies beyond: `state − G(state)` is taken for the gradient of the
/// future losses in the last states, and `G` learns from the gradient that arrived at the first states:
///
/// ```text
/// losses of the unroll + sum(state · stop(state − G(state)))      backpropagated
/// ½ · sum((G(s0) − (s0 − grad s0))²)                              then this, with s0 the first states
/// ```
///
/// `G` begins as the identity, so that training begins as if there were none. After `unrolls_per_update` such
/// unrolls the optimizer updates all parameters.
///
/// A stream that begins within an unroll, or whose state is reset, begins with zeros of its own, which count as
/// first states too. The state of a stream that ends is dropped at once; its losses still count.
///
/// What is saved is the states and the place within the rhythm of unrolls and updates. That is everything at
/// the end of an update, so every `unroll_length · unrolls_per_update` steps; in between, the gradients of the
/// steps since then are lost, and the first update after a restore rests on fewer steps.
pub struct Bptt {
    options: Options,
    size: i64,
    device: Device,
    rows: Rows,
    /// The terms of the loss in this unroll so far.
    terms: Vec<Tensor>,
    /// Steps taken of this unroll.
    steps: i64,
    /// Unrolls since the last update.
    unrolls: i64,
}

impl Trainer for Bptt {
    const NAME: &'static str = "bptt";
    const DESCRIPTION: &'static str =
        "Truncated backpropagation through time, with a synthetic gradient at the cut.";
    type Options = Options;

    fn new(options: Options, setup: &dyn TrainerSetup) -> Result<Self> {
        ensure!(
            options.unroll_length >= 1,
            "unroll_length must be at least 1, and is {}",
            options.unroll_length
        );
        ensure!(
            options.unrolls_per_update >= 1,
            "unrolls_per_update must be at least 1, and is {}",
            options.unrolls_per_update
        );
        let size = setup.state_size();
        let synthetic = &options.synthetic_gradient;
        if synthetic.enabled {
            setup.network(&NetworkSpec {
                name: NETWORK,
                ins: size,
                outs: size,
                layers: synthetic.layers,
                nonlinearity: synthetic.nonlinearity,
                zero_at_start: true,
                learning_rate: Some(synthetic.learning_rate),
            })?;
        } else if options.unroll_length == 1 {
            tracing::warn!(
                "with unroll_length = 1 and no synthetic gradient no gradient ever reaches the cell: it will not \
                 learn"
            );
        }
        let device = setup.device();
        let rows = Rows::new(size, device, synthetic.enabled)?;
        Ok(Bptt { options, size, device, rows, terms: Vec::new(), steps: 0, unrolls: 0 })
    }

    fn input_size(&self) -> i64 {
        if self.options.merge == Merge::Concat { 2 * self.size } else { self.size }
    }

    fn step(&mut self, agent: &dyn Agent, batch: &Batch<'_>) -> Result<Tensor> {
        self.rows.end(batch.ended)?;
        self.rows.begin(batch.started)?;
        self.rows.begin(batch.live)?;
        if !self.rows.in_unroll() {
            self.rows.begin_unroll()?;
        }

        let places = self.rows.places(batch.live)?;
        let state = self.rows.gather(&places)?;
        let (input, got) = self.input(&state, batch.observation)?;
        let loss = agent.loss(&LossInput {
            state: &state,
            got: &got,
            observation: batch.observation,
            episode_ends: batch.episode_ends,
        })?;
        self.terms.extend(loss.terms.into_iter().map(|(_, term)| term));

        let next = agent.transition(&input)?;
        ensure!(
            next.size() == state.size(),
            "the next states should have the shape {:?}, and have {:?}",
            state.size(),
            next.size()
        );
        self.rows.scatter(&places, &next)?;
        let mut answer = next.f_detach()?;
        if self.options.reset_at_episode_end && batch.episode_ends.contains(&true) {
            let ended = batch.live.iter().zip(batch.episode_ends).filter(|(_, e)| **e).map(|(s, _)| *s);
            self.rows.reset(&ended.collect::<Vec<_>>())?;
            answer = self.rows.gather(&places)?.f_detach()?;
        }

        self.steps += 1;
        if self.steps == self.options.unroll_length {
            self.end_unroll(agent)?;
        }
        Ok(answer)
    }

    fn save(&self) -> Result<Saved> {
        let streams: Vec<i64> = self.rows.streams().iter().map(|s| *s as i64).collect();
        Ok(vec![
            ("state".to_owned(), self.rows.state().f_detach()?),
            ("streams".to_owned(), Tensor::f_from_slice(&streams)?),
            ("counters".to_owned(), Tensor::f_from_slice(&[self.steps, self.unrolls])?),
        ])
    }

    fn restore(&mut self, saved: Saved) -> Result<()> {
        let find = |name: &str| match saved.iter().find(|(n, _)| n == name) {
            Some((_, tensor)) => Ok(tensor),
            None => bail!("what was saved of bptt has no '{name}'"),
        };
        let streams: Vec<i64> = find("streams")?.try_into().context("'streams' of what was saved of bptt")?;
        let counters: Vec<i64> =
            find("counters")?.try_into().context("'counters' of what was saved of bptt")?;
        let [steps, unrolls] = counters[..] else {
            bail!("what was saved of bptt should have 2 counters, and has {}", counters.len());
        };
        let state = find("state")?.f_detach()?.f_to_device(self.device)?.copy();
        let streams: Vec<u64> = streams.iter().map(|s| *s as u64).collect();
        self.rows.restore(streams, state)?;
        self.terms.clear();
        // The spec may ask for shorter unrolls than the one that was cut off.
        self.steps = steps.clamp(0, self.options.unroll_length - 1);
        self.unrolls = unrolls.clamp(0, self.options.unrolls_per_update - 1);
        Ok(())
    }
}

impl Bptt {
    /// What the cell is handed, and what came, which carries no gradient.
    fn input(&self, state: &Tensor, observation: &Tensor) -> Result<(Tensor, Tensor)> {
        let merged = |merge| -> Result<_> {
            let merged = merge::Merged::new(state, observation)?;
            Ok((merged.input(merge, state)?, merged.got.f_detach()?))
        };
        match self.options.merge {
            Merge::Concat => match side_by_side::side_by_side(state, observation)? {
                Some((input, got)) => Ok((input, got.f_detach()?)),
                None => merged(Merge::Concat),
            },
            merge => merged(merge),
        }
    }

    /// Takes the gradients of the unroll: those of its loss, and the synthetic one of what lies beyond.
    fn backpropagate(&mut self, agent: &dyn Agent) -> Result<()> {
        let mut roots = Vec::new();
        for term in std::mem::take(&mut self.terms) {
            let one = term.f_ones_like()?;
            roots.push((term, one));
        }
        if self.options.synthetic_gradient.enabled {
            let state = self.rows.state();
            let future =
                tch::no_grad(|| Ok::<_, Error>(state.f_detach()?.f_sub(&agent.network(NETWORK, state)?)?))?;
            roots.push((state.shallow_clone(), future));
        }
        roots.retain(|(output, _)| output.requires_grad());
        let roots: Vec<_> = roots.iter().map(|(output, gradient)| (output, gradient)).collect();
        if !roots.is_empty() {
            autograd::backward(&roots).context("backpropagation")?;
        }
        Ok(())
    }

    /// Takes the gradients of the unroll, teaches the synthetic gradient, and begins the next unroll.
    fn end_unroll(&mut self, agent: &dyn Agent) -> Result<()> {
        let synthetic = self.options.synthetic_gradient.enabled;
        self.backpropagate(agent)?;
        if synthetic {
            let (first, gradient) = self.rows.first_states()?;
            let answer = agent.network(NETWORK, &first)?;
            let miss = miss(&answer.f_detach()?, &first, &gradient)?;
            autograd::backward(&[(&answer, &miss)]).context("backpropagation into the synthetic gradient")?;
        }
        self.rows.end_unroll()?;
        self.steps = 0;
        self.unrolls += 1;
        if self.unrolls == self.options.unrolls_per_update {
            self.unrolls = 0;
            agent.update(Part::All)?;
        }
        Ok(())
    }
}

/// `answer − (first − gradient)`: the gradient of half its square's sum.
fn miss(answer: &Tensor, first: &Tensor, gradient: &Tensor) -> Result<Tensor> {
    let all = [answer, first, gradient];
    if !all.into_iter().all(autograd::is_contiguous_cpu_f32) {
        return Ok(answer.f_sub(&first.f_sub(gradient)?)?);
    }
    let [a, f, g] = [autograd::slice(answer)?, autograd::slice(first)?, autograd::slice(gradient)?];
    let mut miss = autograd::OutputBuffer::empty(&answer.size())?;
    elementwise!(a.len(), [&mut miss], |range, [miss]| {
        let given = a[range.clone()].iter().zip(&f[range.clone()]).zip(&g[range]);
        miss.iter_mut().zip(given).for_each(|(miss, ((a, f), g))| *miss = a - (f - g));
        0.0
    });
    Ok(miss.into_tensor())
}

efference_sdk::export! { trainer: Bptt }

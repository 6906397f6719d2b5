//! Trainer plugin: truncated backpropagation through time, with a synthetic gradient where it is cut off.

mod rows;
#[cfg(test)]
mod tests;

use efference_sdk::tch::{Device, Tensor};
use efference_sdk::{
    Agent, Batch, InputLayout, LossInput, NetworkSpec, Nonlinearity, Plugin, Result, ResultExt, Saved,
    Trainer, TrainerSetup, autograd, bail, elementwise, ensure, group, tch, tracing,
};
use efference_stream_states::Input;
pub use efference_stream_states::Merge;
use rows::Rows;

efference_sdk::options! {
    /// Options of `bptt`.
    pub struct Options {
        /// How many steps gradient travels back before it is cut off.
        #[schemars(range(min = 1, max = 1_000_000))]
        pub unroll_length: i64 = 1,
        /// How many unrolls gather gradients for one update of the parameters.
        #[schemars(range(min = 1, max = 1_000_000))]
        pub unrolls_per_update: i64 = 1,
        /// What the cell receives: state and observation side by side, one over the other, their sum, or the
        /// state alone.
        pub merge: Merge = Merge::Concat,
        /// Whether the cell's input also holds the action that was done before, behind the rest: its efference copy.
        pub action_input: bool = false,
        /// Whether a stream's state is zero again after the end of an episode, so that nothing is carried over.
        pub reset_after_episode: bool = false,
        /// Whether the goal is passed the states after what came as well, which goals that learn values of states need.
        pub look_ahead: bool = false,
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
        #[schemars(range(min = 1, max = 4_096))]
        pub layers: i64 = 2,
        /// What stands between its layers.
        pub nonlinearity: Nonlinearity = Nonlinearity::Softsign,
        /// Its learning rate.
        #[schemars(range(min = 0.0))]
        pub learning_rate: f64 = 0.03,
    }
}

/// The name of the synthetic gradient's network, and of its parameter group.
const NETWORK: &str = "synthetic_gradient";

/// Truncated backpropagation through time.
///
/// Each stream has a state, zero at its start. A step compares the active streams' states with what they observed
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
    device: Device,
    input: Input,
    rows: Rows,
    /// The terms of the loss in this unroll so far.
    terms: Vec<Tensor>,
    /// Steps taken of this unroll.
    steps: i64,
    /// Unrolls since the last update.
    unrolls: i64,
    /// Unrolls in all: their number tells a goal when graphs are freed.
    unroll: u64,
}

impl Plugin for Bptt {
    const NAME: &'static str = "bptt";
    const DESCRIPTION: &'static str =
        "Truncated backpropagation through time, with a synthetic gradient at the cut.";
    type Options = Options;
    type Kind = dyn Trainer;

    fn new(options: Options, setup: &TrainerSetup<'_>) -> Result<Self> {
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
        let size = setup.state_size;
        let synthetic = &options.synthetic_gradient;
        if synthetic.enabled {
            setup.agent.network(&NetworkSpec {
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
        let device = setup.device;
        let input = Input::new(options.merge, options.action_input, setup)?;
        let rows = Rows::new(size, device, synthetic.enabled)?;
        Ok(Bptt { options, device, input, rows, terms: Vec::new(), steps: 0, unrolls: 0, unroll: 0 })
    }
}

impl Trainer for Bptt {
    fn input(&self) -> Result<InputLayout> {
        Ok(self.input.layout().clone())
    }

    fn step(&mut self, agent: &dyn Agent, batch: &Batch<'_>) -> Result<Tensor> {
        let moment = &batch.moment;
        self.rows.end(batch.ended)?;
        self.rows.begin(batch.started)?;
        self.rows.begin(moment.streams)?;
        if !self.rows.in_unroll() {
            self.rows.begin_unroll()?;
        }

        let places = self.rows.places(moment.streams)?;
        let state = self.rows.gather(&places)?;
        let (input, target) = self.input.merge(&state, moment.observation, moment.action, agent.memory()?)?;
        let ahead = self.options.look_ahead.then(|| agent.transition(&input)).transpose()?;
        let loss = agent.loss(&LossInput {
            moment,
            state: &state,
            target: &target,
            next: ahead.as_ref(),
            unroll: self.unroll,
        })?;
        for term in &loss.terms {
            self.terms.push(term.total()?);
        }

        let next = match ahead {
            Some(next) => next,
            None => agent.transition(&input)?,
        };
        ensure!(
            autograd::same_shape(&next, &state),
            "the next states should have the shape {:?}, and have {:?}",
            state.size(),
            next.size()
        );
        self.rows.scatter(&places, &next)?;
        let mut states = autograd::detach(&next)?;
        if self.options.reset_after_episode && moment.step_types.iter().any(|t| t.is_last()) {
            let over = moment.streams.iter().zip(moment.step_types).filter(|(_, t)| t.is_last());
            self.rows.reset(&over.map(|(stream, _)| *stream).collect::<Vec<_>>())?;
            states = autograd::detach(&self.rows.gather(&places)?)?;
        }

        self.steps += 1;
        if self.steps == self.options.unroll_length {
            self.end_unroll(agent)?;
        }
        Ok(states)
    }

    fn save(&self) -> Result<Saved> {
        let streams: Vec<i64> = self.rows.streams().iter().map(|s| *s as i64).collect();
        Ok(vec![
            ("state".to_owned(), self.rows.state().f_detach()?),
            ("streams".to_owned(), Tensor::f_from_slice(&streams)?),
            ("counters".to_owned(), Tensor::f_from_slice(&[self.steps, self.unrolls, self.unroll as i64])?),
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
        let [steps, unrolls, unroll] = counters[..] else {
            bail!("what was saved of bptt should have 3 counters, and has {}", counters.len());
        };
        let state = find("state")?.f_detach()?.f_to_device(self.device)?.copy();
        let streams: Vec<u64> = streams.iter().map(|s| *s as u64).collect();
        self.rows.restore(streams, state)?;
        self.terms.clear();
        // The spec may ask for shorter unrolls than the one that was cut off.
        self.steps = steps.clamp(0, self.options.unroll_length - 1);
        self.unroll = unroll as u64;
        self.unrolls = unrolls.clamp(0, self.options.unrolls_per_update - 1);
        Ok(())
    }

    fn unroll_length(&self) -> Result<u64> {
        Ok(self.options.unroll_length as u64)
    }

    fn saves_exactly(&self) -> Result<bool> {
        Ok(self.steps == 0 && self.unrolls == 0)
    }
}

impl Bptt {
    /// Takes the gradients of the unroll: those of its loss, and the synthetic one of what lies beyond.
    fn backpropagate(&mut self, agent: &dyn Agent) -> Result<()> {
        let mut roots = Vec::new();
        for term in std::mem::take(&mut self.terms) {
            let one = match autograd::is_contiguous_cpu_f32(&term) && term.dim() == 0 {
                true => autograd::scalar(1.0)?,
                false => term.f_ones_like()?,
            };
            roots.push((term, one));
        }
        if self.options.synthetic_gradient.enabled {
            let state = self.rows.state();
            let future = tch::no_grad(|| difference(state, &agent.network(NETWORK, state)?))?;
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
            let synthetic = agent.network(NETWORK, &first)?;
            let miss = miss(&autograd::detach(&synthetic)?, &first, &gradient)?;
            autograd::backward(&[(&synthetic, &miss)])
                .context("backpropagation into the synthetic gradient")?;
        }
        self.rows.end_unroll()?;
        self.steps = 0;
        self.unroll += 1;
        self.unrolls += 1;
        if self.unrolls == self.options.unrolls_per_update {
            self.unrolls = 0;
            agent.update(group::ALL)?;
        }
        Ok(())
    }
}

/// `a − b`, without gradient.
fn difference(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    if ![a, b].into_iter().all(autograd::is_contiguous_cpu_f32) {
        return Ok(a.f_detach()?.f_sub(b)?);
    }
    let (x, y) = (autograd::slice(a)?, autograd::slice(b)?);
    let mut difference = autograd::OutputBuffer::shaped_like(a)?;
    elementwise!(x.len(), [&mut difference], |range, [difference]| {
        let given = x[range.clone()].iter().zip(&y[range]);
        difference.iter_mut().zip(given).for_each(|(d, (x, y))| *d = x - y);
        0.0
    });
    Ok(difference.into_tensor())
}

/// `synthetic − (first − gradient)`: the gradient of half its square's sum.
fn miss(synthetic: &Tensor, first: &Tensor, gradient: &Tensor) -> Result<Tensor> {
    let all = [synthetic, first, gradient];
    if !all.into_iter().all(autograd::is_contiguous_cpu_f32) {
        return Ok(synthetic.f_sub(&first.f_sub(gradient)?)?);
    }
    let [a, f, g] = [autograd::slice(synthetic)?, autograd::slice(first)?, autograd::slice(gradient)?];
    let mut miss = autograd::OutputBuffer::shaped_like(synthetic)?;
    elementwise!(a.len(), [&mut miss], |range, [miss]| {
        let given = a[range.clone()].iter().zip(&f[range.clone()]).zip(&g[range]);
        miss.iter_mut().zip(given).for_each(|(miss, ((a, f), g))| *miss = a - (f - g));
        0.0
    });
    Ok(miss.into_tensor())
}

efference_sdk::export! { trainer: Bptt }

//! The networks: encoder and slow copy, what foretells the latent from a state, and what guesses that from a frame.
use crate::options::Options;
use crate::spread::{Spread, unit};
use efference_observation_networks::SlowCopy;
use efference_sdk::nn::{FeedForward, FeedForwardSpec};
use efference_sdk::tch::{Kind, Tensor};
use efference_sdk::{GoalSetup, Result, Size};

pub(crate) struct Latents {
    encoder: SlowCopy,
    /// From a state to the latent of what comes.
    predictor: FeedForward,
    /// From the latent of a frame to what was foretold of it.
    head: FeedForward,
    /// Of the slow copy's latents.
    pub(crate) spread: Spread,
    decay: f64,
}

/// Of one loss, (rows) each.
pub(crate) struct Errors {
    /// 2 − 2 · cos between what was foretold and the slow copy's latent, centred: gradient to state and predictor.
    pub(crate) foretold: Tensor,
    /// The same between the head's guess and what was foretold: gradient to encoder and head.
    pub(crate) guessed: Tensor,
}

impl Latents {
    /// Of frames of so many elements.
    pub(crate) fn new(options: &Options, size: i64, setup: &GoalSetup<'_>) -> Result<Self> {
        let Options { width, depth, latent, decay, .. } = *options;
        let spec = |ins| FeedForwardSpec {
            size: Size { ins, outs: latent },
            width,
            depth,
            sparsity: 0.0,
            matrix_last: false,
            activate_last: false,
        };
        let GoalSetup { state_size, layers, params, .. } = setup;
        let encoder = SlowCopy::new(spec(size), *layers, &params.scope("encoder"), &params.scope("slow"))?;
        let predictor = FeedForward::new(spec(*state_size), *layers, &params.scope("predictor"))?;
        let head = FeedForward::new(spec(latent), *layers, &params.scope("head"))?;
        let spread = Spread::new(latent, &params.scope("spread"))?;
        Ok(Latents { encoder, predictor, head, spread, decay })
    }

    /// Of states, and of what came after them. The slow copy makes its step once they are known.
    pub(crate) fn errors(&self, state: &Tensor, real: &Tensor) -> Result<Errors> {
        let latents = self.encoder.slow(real)?;
        let target = self.spread.target(&latents)?;
        let foretold = unit(&self.predictor.forward(state)?)?;
        let guess = unit(&self.head.forward(&self.encoder.forward(real)?)?)?;
        let errors = Errors {
            foretold: distance(&foretold, &target)?,
            guessed: distance(&guess, &foretold.f_detach()?)?,
        };
        self.spread.count(&latents, &target)?;
        self.encoder.follow(self.decay)?;
        Ok(errors)
    }
}

/// The squared distance of unit rows, (rows): 2 − 2 · cos.
fn distance(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    Ok(a.f_sub(b)?.f_square()?.f_sum_dim_intlist([1].as_slice(), false, Kind::Float)?)
}

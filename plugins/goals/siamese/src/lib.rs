//! Goal plugin: predict the latent that a slow copy of an encoder makes of what comes, in place of its elements.
//!
//! What cannot be foreseen, or is of no use, need not be predicted: the encoder learns which of a frame's features follow from
//! the state, and the state is taught to foretell them (Grill et al., "Bootstrap your own latent", 2020, arXiv 2006.07733; Chen
//! and He, "Exploring simple siamese representation learning", 2020, arXiv 2011.10566). There the two views are two pictures of
//! one thing; here they are what the state foretells and what came.
//!
//! **What it costs** beside `predict`: three networks of the experiment's layers, forward and backward, on frames, states and
//! latents, the encoder's slow copy forward, and one layer from state to frame. **When to use it**: it is meant for frames full
//! of what nobody can foresee, which was not measured; where everything can be foreseen it did not help. The book's page on goals and
//! trainers says what was measured.
mod latents;
mod options;
mod spread;

use efference_observation_networks::{Compared, Frames};
use efference_sdk::tch::{Kind, Tensor};
use efference_sdk::{Goal, GoalSetup, Layer, Loss, LossInput, Plugin, Result, Size, ensure};
use latents::Latents;
pub use options::Options;

/// Minimises the distance of latents of what comes from what the state foretells of them.
///
/// With `s` (rows, state size) the states before, `x` (rows, elements) the frames that came, and feed-forward networks of the
/// experiment's layers, `|v|` being `v` over its norm, all summed over rows:
///
/// ```text
/// u       = predictor(s)       v = encoder(x)       v̄ = (slow(x) − mean) / deviation       (rows, latent)
/// latent  = ‖|u| − stop |v̄|‖²           = 2 − 2 · cos: teaches the state, times importance, and the predictor
/// encoder = ‖|head(v)| − stop |u|‖²      teaches the encoder what can be foretold
/// slow    ← decay · slow + (1 − decay) · encoder
/// reward  = (s[0] − r)²                  streams without a reward left out
/// readout = ½ ‖readout(s) − x‖²          teaches one layer, and the state, times readout_importance
/// ```
///
/// By default the readout teaches the state nothing and only reads what it knows; its error, `readout_error`, is in the units of
/// `predict`'s `error`, so that the two can be compared.
///
/// `mean` and `deviation` of each element of a latent run along (over about 200 losses): there is no batch whose normalisation
/// could take away what all latents have in common, which is foretold without a look at the state. That constant latents would be
/// foretold best is kept from happening by this, the stopped gradients, the head, and the slow copy (why that works: Tian, Chen
/// and Ganguli, 2021, arXiv 2102.06810), and can be seen:
///
/// | metric | what it is |
/// |---|---|
/// | `latent_error` | the mean of `latent`: 0…4, and 2 if what is foretold has nothing to do with what comes |
/// | `latent_deviation` | √(1 − abs(mean of unit latents of late)²): 0 where all latents of the slow copy are the same |
/// | `latent_dimensions` | in about how many dimensions v̄ lies: (Σ λ)² / Σ λ² of the eigenvalues of its mean products, 1 to `latent` |
/// | `readout_error` | the mean of `readout` |
///
///
/// Slot 0 of the state is the reward; the front of a state predicts no elements, so that no `error` is recorded. Actions are
/// whatever the state ends with, as those of `predict`. The first frame of an episode or a stream is left out, and elements that are missing
/// (NaN) are 0 in `x`, and count nowhere in `readout`.
///
/// Parameters are under `encoder`, `predictor`, `head` and `readout`; buffers under `slow` and `spread`.
pub struct Siamese {
    importance: f64,
    readout_importance: f64,
    frames: Frames,
    latents: Latents,
    readout: Box<dyn Layer>,
}

/// The reward alone.
const RESERVED: i64 = 1;

impl Plugin for Siamese {
    const NAME: &'static str = "siamese";
    const DESCRIPTION: &'static str =
        "Predict the latent that a slow copy of an encoder makes of what comes, in place of its elements.";
    type Options = Options;
    type Kind = dyn Goal;

    fn new(options: Options, setup: &GoalSetup<'_>) -> Result<Self> {
        let Options { importance, readout_importance, decay, .. } = options;
        ensure!(
            importance.is_finite() && readout_importance.is_finite(),
            "importance and readout_importance must be finite numbers, and are {importance} and {readout_importance}"
        );
        ensure!((0.0..=1.0).contains(&decay), "decay must lie in 0…1, and is {decay}");
        let frames = Frames::new(Self::NAME, RESERVED, setup)?;
        let latents = Latents::new(&options, frames.size(), setup)?;
        let size = Size { ins: setup.state_size, outs: frames.size() };
        let readout = setup.layers.make(size, &setup.params.scope("readout"))?;
        Ok(Siamese { importance, readout_importance, frames, latents, readout })
    }
}

impl Goal for Siamese {
    fn reserved(&self) -> Result<i64> {
        Ok(RESERVED)
    }

    fn predicts(&self) -> Result<bool> {
        Ok(false)
    }

    fn loss(&mut self, input: &LossInput<'_>) -> Result<Loss> {
        let mut loss = Loss::default();
        let reward = input.moment.observation.f_narrow(1, 0, RESERVED)?;
        let miss = input.state.f_narrow(1, 0, RESERVED)?.f_sub(&reward)?;
        let miss = miss.f_masked_fill(&reward.f_isnan()?, 0.0)?;
        loss.term("reward", miss.f_square()?.f_sum(Kind::Float)?);
        let Some(Compared { state, real, absent, .. }) = self.frames.compared(input)? else {
            return Ok(loss);
        };

        let errors = self.latents.errors(&weighted(&state, self.importance)?, &real)?;
        loss.term("latent", errors.foretold.f_sum(Kind::Float)?);
        loss.term("encoder", errors.guessed.f_sum(Kind::Float)?);
        loss.metric("latent_error", errors.foretold.f_detach()?.f_mean(Kind::Float)?);
        loss.metric("latent_deviation", self.latents.spread.deviation()?);
        loss.metric("latent_dimensions", self.latents.spread.dimensions()?);

        let read =
            self.readout.forward(&weighted(&state, self.readout_importance)?, 0..self.frames.size())?;
        let squares = read.f_sub(&real)?.f_masked_fill(&absent, 0.0)?.f_square()?;
        let error = squares.f_sum(Kind::Float)?.f_mul_scalar(0.5)?;
        loss.metric("readout_error", error.f_detach()?.f_div_scalar(real.size()[0] as f64)?);
        loss.term("readout", error);
        Ok(loss)
    }

    fn replayable(&self) -> Result<bool> {
        Ok(true)
    }
}

/// The same numbers, with their gradient times `weight`.
fn weighted(state: &Tensor, weight: f64) -> Result<Tensor> {
    if weight == 1.0 {
        return Ok(state.shallow_clone());
    }
    let value = state.f_detach()?;
    if weight == 0.0 {
        return Ok(value);
    }
    // The values are exact: what is added is 0.
    Ok(state.f_sub(&value)?.f_mul_scalar(weight)?.f_add(&value)?)
}

efference_sdk::export! { goal: Siamese }

#[cfg(test)]
mod tests;

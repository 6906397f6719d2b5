//! Goal plugin: predict what is observed next, so that a critic cannot tell the prediction from what came.
//!
//! A prediction that minimises a squared error is the mean of what may come: where that is uncertain, a blur that never comes.
//! A critic learns to tell predicted frames from real ones, and the prediction also descends along the critic's gradient,
//! which blurs lose by (Goodfellow et al., "Generative adversarial networks", 2014, arXiv 1406.2661; beside an error of the
//! next frame: Mathieu, Couprie and LeCun, "Deep multi-scale video prediction beyond mean square error", 2015, arXiv 1511.05440).
//!
//! **What it costs** beside `predict`: the critic forward over three frames a row and backward over three, of which it has
//! `width · (elements + 2)` weights if the layer is dense and `depth` is 1. **When to use it**: where sharp pictures count more
//! than a small error; the error rises with `weight`. The book's page on goals and trainers says what was measured.
mod critic;
mod options;

use critic::Critic;
use efference_observation_networks::{Compared, Frames};
use efference_sdk::tch::{Kind, Tensor};
use efference_sdk::{Goal, GoalSetup, Loss, LossInput, Plugin, Prediction, Result, ensure};
pub use options::{CriticLoss, Options};

/// Minimises the error of predictions ([`Prediction`]), and makes them look real to a critic.
///
/// With `x` (rows, elements) the frames that came, `p` those that were predicted, and `C` the critic, a feed-forward network of
/// the experiment's layers that makes one number of a frame and a 1 behind it, all summed over rows:
///
/// ```text
/// loss        = loss of predict + weight · adversarial + critic
/// adversarial = −C(p)                                             hinge     gradient to p alone
///             = log(1 + e^−C(p))                                  logistic
/// critic      = max(0, 1 − C(x)) + max(0, 1 + C(stop p))          hinge     gradient to C alone
///             = log(1 + e^−C(x)) + log(1 + e^C(stop p))           logistic
/// ```
///
/// The hinge is that of Lim and Ye, "Geometric GAN" (2017, arXiv 1705.02894); the logistic loss the one of Goodfellow et al. in
/// the form that does not saturate. The critic judges one frame by itself, of the world's elements and not of the reserved
/// slots. An element that is missing (NaN), or only seen, is 0 in both frames, so that it neither tells them apart nor has a
/// gradient. The first frame of an episode or a stream, which nothing could foresee, is left out.
///
/// There is no noise in a prediction: the critic can make it choose one of several futures, not draw among them.
///
/// Beside `error` and `misprediction` it records
///
/// | metric | what it is |
/// |---|---|
/// | `critic_accuracy` | the share of real and predicted frames that the critic tells right: 1/2 if it cannot |
/// | `critic_error_real` | the share of real frames that it takes for predicted ones |
/// | `critic_error_predicted` | the share of predicted frames that it takes for real ones |
/// | `sharpness` | the deviation of elements within predicted frames over that within real ones: a blur is below 1 |
///
/// Parameters: those of the critic, under `critic`; `[optimizer.groups."goal.critic"]` gives it a learning rate of its own.
pub struct Adversarial {
    prediction: Prediction,
    weight: f64,
    frames: Frames,
    critic: Critic,
}

impl Plugin for Adversarial {
    const NAME: &'static str = "adversarial";
    const DESCRIPTION: &'static str =
        "Predict what is observed next, so that a critic cannot tell it from what came.";
    type Options = Options;
    type Kind = dyn Goal;

    fn new(options: Options, setup: &GoalSetup<'_>) -> Result<Self> {
        let weight = options.weight;
        ensure!(weight.is_finite(), "weight must be a finite number, and is {weight}");
        let frames = Frames::new(Self::NAME, Prediction::RESERVED, setup)?;
        let critic = Critic::new(&options, frames.size(), setup)?;
        let Options { observation_importance, observation_loss, .. } = options;
        let prediction = Prediction { observation_importance, observation_loss };
        Ok(Adversarial { prediction, weight, frames, critic })
    }
}

impl Goal for Adversarial {
    fn reserved(&self) -> Result<i64> {
        Ok(Prediction::RESERVED)
    }

    fn loss(&mut self, input: &LossInput<'_>) -> Result<Loss> {
        let mut loss = Loss::default();
        self.prediction.add(input, &mut loss)?;
        let Some(Compared { predicted, real, .. }) = self.frames.compared(input)? else { return Ok(loss) };
        if self.weight > 0.0 {
            let adversarial = self.critic.of_predictions(&predicted)?;
            loss.term("adversarial", adversarial.f_mul_scalar(self.weight)?);
        }
        let stopped = predicted.f_detach()?;
        let rows = real.size()[0];
        let judged = self.critic.judge(&Tensor::f_cat(&[&real, &stopped], 0)?)?;
        let (of_real, of_predicted) = (judged.f_narrow(0, 0, rows)?, judged.f_narrow(0, rows, rows)?);
        loss.term("critic", self.critic.own_loss(&of_real, &of_predicted)?.f_sum(Kind::Float)?);

        let share =
            |wrong: Tensor| -> Result<Tensor> { Ok(wrong.f_to_kind(Kind::Float)?.f_mean(Kind::Float)?) };
        let missed_real = share(of_real.f_detach()?.f_le(0.0)?)?;
        let missed_predicted = share(of_predicted.f_detach()?.f_ge(0.0)?)?;
        let wrong = missed_real.f_add(&missed_predicted)?;
        loss.metric("critic_accuracy", wrong.f_mul_scalar(-0.5)?.f_add_scalar(1.0)?);
        loss.metric("critic_error_real", missed_real);
        loss.metric("critic_error_predicted", missed_predicted);
        loss.metric("sharpness", deviation(&stopped)?.f_div(&deviation(&real)?.f_clamp_min(1e-6)?)?);
        Ok(loss)
    }

    fn replayable(&self) -> Result<bool> {
        Ok(true)
    }
}

/// The deviation of the elements of each row, summed over rows.
fn deviation(frames: &Tensor) -> Result<Tensor> {
    Ok(frames.f_std_dim([1].as_slice(), false, false)?.f_sum(Kind::Float)?)
}

efference_sdk::export! { goal: Adversarial }

#[cfg(test)]
mod tests;

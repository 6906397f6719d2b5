//! The critic: a network that tells predicted frames from real ones.
use crate::options::{CriticLoss, Options};
use efference_sdk::nn::{FeedForward, FeedForwardSpec};
use efference_sdk::tch::{self, Tensor};
use efference_sdk::{GoalSetup, Result, Size, autograd};

pub(crate) struct Critic {
    network: FeedForward,
    loss: CriticLoss,
}

impl Critic {
    /// Of frames of so many elements; its parameters are in `critic`.
    pub(crate) fn new(options: &Options, size: i64, setup: &GoalSetup<'_>) -> Result<Self> {
        let Options { width, depth, critic_loss, .. } = *options;
        let spec = FeedForwardSpec {
            size: Size { ins: size + 1, outs: 1 },
            width,
            depth,
            sparsity: 0.0,
            matrix_last: true,
            activate_last: false,
        };
        let network = FeedForward::new(spec, setup.layers, &setup.params.scope("critic"))?;
        Ok(Critic { network, loss: critic_loss })
    }

    /// How real each frame of (rows, elements) looks, (rows): above 0 real, below 0 predicted.
    pub(crate) fn judge(&self, frames: &Tensor) -> Result<Tensor> {
        // Without it a layer that has no biases, with LayerNorm behind it, would see no difference between a frame and half of it.
        let one = frames.f_new_ones([frames.size()[0], 1], (frames.kind(), frames.device()))?;
        Ok(self.network.forward(&Tensor::f_cat(&[frames, &one], 1)?)?.f_view([-1])?)
    }

    /// What the critic minimises, (rows), of its numbers for real frames and for predicted ones.
    pub(crate) fn own_loss(&self, real: &Tensor, predicted: &Tensor) -> Result<Tensor> {
        Ok(match self.loss {
            CriticLoss::Hinge => {
                let missed = real.f_neg()?.f_add_scalar(1.0)?.f_relu()?;
                missed.f_add(&predicted.f_add_scalar(1.0)?.f_relu()?)?
            }
            CriticLoss::Logistic => real.f_neg()?.f_softplus()?.f_add(&predicted.f_softplus()?)?,
        })
    }

    /// What a prediction minimises, (rows), of the critic's numbers for it.
    fn prediction_loss(&self, predicted: &Tensor) -> Result<Tensor> {
        let against = predicted.f_neg()?;
        Ok(match self.loss {
            CriticLoss::Hinge => against,
            CriticLoss::Logistic => against.f_softplus()?,
        })
    }

    /// What predictions (rows, elements) minimise, (rows), with a gradient in them and none in the critic's parameters.
    ///
    /// The gradient in the frames is taken at once, and the term is made of it and of the value: so the backward pass of the
    /// whole loss does not come through the critic a second time, and leaves nothing of this in its parameters.
    pub(crate) fn of_predictions(&self, predicted: &Tensor) -> Result<Tensor> {
        let now = predicted.f_detach()?;
        let (value, gradient) = tch::with_grad(|| -> Result<_> {
            let frames = now.f_detach()?.f_set_requires_grad(true)?;
            let value = self.prediction_loss(&self.judge(&frames)?)?;
            let gradient = if value.requires_grad() {
                autograd::gradients(&[(&value, &value.f_ones_like()?)], &[&frames])?.remove(0)
            } else {
                None
            };
            Ok((value.f_detach()?, gradient))
        })?;
        let Some(gradient) = gradient else { return Ok(value) };
        let change = predicted.f_sub(&now)?.f_mul(&gradient)?;
        Ok(change.f_sum_dim_intlist([1].as_slice(), false, value.kind())?.f_add(&value)?)
    }
}

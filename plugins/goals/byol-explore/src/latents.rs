//! Encoder, its slow copy, and the predictor between them.
use crate::options::Options;
use efference_observation_networks::SlowCopy;
use efference_sdk::autograd::{OutputBuffer, slice};
use efference_sdk::nn::{FeedForward, FeedForwardSpec};
use efference_sdk::tch::{Kind, Tensor};
use efference_sdk::{GoalSetup, Moment, Result, Size, action_width};

/// What was observed, what was done then, and what was observed next: a row each.
pub(crate) struct Transition {
    pub(crate) before: Tensor,
    pub(crate) action: Tensor,
    pub(crate) after: Tensor,
}

pub(crate) struct Latents {
    encoder: SlowCopy,
    predictor: FeedForward,
    /// Elements of a vector of actions.
    width: usize,
}

impl Latents {
    /// Of observations of so many elements.
    pub(crate) fn new(options: &Options, size: usize, setup: &GoalSetup<'_>) -> Result<Self> {
        let Options { width, depth, latent, .. } = *options;
        let spec = |ins| FeedForwardSpec {
            size: Size { ins, outs: latent },
            width,
            depth,
            sparsity: 0.0,
            matrix_last: false,
            activate_last: false,
        };
        let actions = setup.spaces.map_or(0, |spaces| action_width(&spaces.actions));
        let (own, copy) = (setup.params.scope("encoder"), setup.params.scope("slow"));
        let encoder = SlowCopy::new(spec(size as i64), setup.layers, &own, &copy)?;
        let ins = latent + actions as i64;
        let predictor = FeedForward::new(spec(ins), setup.layers, &setup.params.scope("predictor"))?;
        Ok(Latents { encoder, predictor, width: actions })
    }

    /// One step of the slow copy towards the encoder.
    pub(crate) fn follow(&self, decay: f64) -> Result<()> {
        self.encoder.follow(decay)
    }

    /// The actions that led to these rows, (rows, width): 0 for what is not known.
    pub(crate) fn actions(&self, moment: &Moment<'_>, rows: &[usize]) -> Result<Tensor> {
        let mut actions = OutputBuffer::zeros(&[rows.len() as i64, self.width as i64])?;
        // A batch in which nobody did anything has no columns.
        let columns = moment.action.size()[1] as usize;
        let known = self.width.min(columns);
        if known > 0 {
            let done = moment.action.f_to_kind(Kind::Float)?.f_contiguous()?;
            let done = slice(&done)?;
            for (to, row) in actions.chunks_exact_mut(self.width).zip(rows) {
                let done = &done[row * columns..][..known];
                to.iter_mut().zip(done).for_each(|(to, done)| *to = if done.is_nan() { 0.0 } else { *done });
            }
        }
        Ok(actions.into_tensor())
    }

    /// `2 − 2 · cos` between the latents that were foretold and those of what came, (rows): 0…4.
    pub(crate) fn error(&self, transition: &Transition) -> Result<Tensor> {
        let target = self.encoder.slow(&transition.after)?;
        let latent = self.encoder.forward(&transition.before)?;
        let foretold =
            self.predictor.forward(&Tensor::f_cat(&[latent, transition.action.shallow_clone()], 1)?)?;
        let cosine = Tensor::f_cosine_similarity(&foretold, &target, 1, 1e-8)?;
        Ok(cosine.f_mul_scalar(-2.0)?.f_add_scalar(2.0)?)
    }
}

//! Encoder, its slow copy, and the predictor between them.
use crate::options::Options;
use efference_sdk::autograd::{OutputBuffer, slice};
use efference_sdk::nn::{FeedForward, FeedForwardSpec};
use efference_sdk::tch::{self, Kind, Tensor};
use efference_sdk::{GoalSetup, Moment, ParamStore, Result, Size, action_width, ensure};

/// What was observed, what was done then, and what was observed next: a row each.
pub(crate) struct Transition {
    pub(crate) before: Tensor,
    pub(crate) action: Tensor,
    pub(crate) after: Tensor,
}

pub(crate) struct Latents {
    encoder: FeedForward,
    predictor: FeedForward,
    slow: FeedForward,
    /// The slow copy's tensors, each with the encoder's own.
    pairs: Vec<(Tensor, Tensor)>,
    /// Elements of a vector of actions.
    width: usize,
}

impl Latents {
    /// Of observations of so many elements.
    pub(crate) fn new(options: &Options, size: usize, setup: &GoalSetup<'_>) -> Result<Self> {
        let Options { width, depth, latent, .. } = *options;
        let make = |ins: i64, params| {
            let size = Size { ins, outs: latent };
            let spec = FeedForwardSpec {
                size,
                width,
                depth,
                sparsity: 0.0,
                matrix_last: false,
                activate_last: false,
            };
            FeedForward::new(spec, setup.layers, params)
        };
        let actions = setup.spaces.map_or(0, |spaces| action_width(&spaces.actions));
        let (own, copy) = (setup.params.scope("encoder"), setup.params.scope("slow").frozen());
        let encoder = make(size as i64, &own)?;
        let slow = make(size as i64, &copy)?;
        let predictor = make(latent + actions as i64, &setup.params.scope("predictor"))?;
        let (own, copy) = (own.tensors()?, copy.tensors()?);
        ensure!(
            own.len() == copy.len(),
            "the encoder has {} tensors, and its slow copy {}: a layer must make the same ones each time",
            own.len(),
            copy.len()
        );
        // What only counts has no values to copy.
        let pairs = match setup.params.only_counts()? {
            true => Vec::new(),
            false => copy.into_iter().zip(own).map(|((_, slow), (_, own))| (slow, own)).collect(),
        };
        let latents = Latents { encoder, predictor, slow, pairs, width: actions };
        latents.follow(0.0)?;
        Ok(latents)
    }

    /// One step of the slow copy towards the encoder.
    pub(crate) fn follow(&self, decay: f64) -> Result<()> {
        tch::no_grad(|| {
            for (slow, own) in &self.pairs {
                let mut slow = slow.shallow_clone();
                match slow.kind() {
                    Kind::Float => drop(slow.f_lerp_(own, 1.0 - decay)?),
                    _ => slow.f_copy_(own)?,
                }
            }
            Ok(())
        })
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
        let target = tch::no_grad(|| self.slow.forward(&transition.after))?;
        let latent = self.encoder.forward(&transition.before)?;
        let foretold =
            self.predictor.forward(&Tensor::f_cat(&[latent, transition.action.shallow_clone()], 1)?)?;
        let cosine = Tensor::f_cosine_similarity(&foretold, &target, 1, 1e-8)?;
        Ok(cosine.f_mul_scalar(-2.0)?.f_add_scalar(2.0)?)
    }
}

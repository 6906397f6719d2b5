//! Goal plugin: a bonus for what could not be foreseen, by the prediction of latents.
mod latents;
mod options;

use efference_sdk::autograd::{OutputBuffer, scalar, slice};
use efference_sdk::nn::{ObservationReader, RewardScale};
use efference_sdk::tch::{self, Device, Tensor};
use efference_sdk::{
    Goal, GoalSetup, Loss, LossInput, Moment, ParamStore, Plugin, Result, Saved, ensure, saved,
};
use latents::{Latents, Transition};
pub use options::Options;
use std::collections::BTreeMap;

/// How much of the running mean of divided errors is kept, for each new one.
const MEAN_DECAY: f64 = 0.99;

/// Adds to the reward how badly the latent of what came was foretold from what was observed before and what was done then:
///
/// ```text
/// error = 2 − 2 · cos(predictor(encoder(x), a), slow(x′))         slow ← decay · slow + (1 − decay) · encoder
/// bonus = scale · error / deviation of errors so far;  only above the mean: scale · max(0, error / deviation − running mean)
/// ```
///
/// Guo et al., "BYOL-Explore: exploration by bootstrapped prediction" (2022, arXiv 2206.08332), one step ahead and from one
/// observation: where the state of the world is not seen in it, there is no memory to help. `x` and `x′` are normalised and
/// limited to ±5.
///
/// The first frame of an episode has no bonus, as nothing that was done led to it, and nothing is learned of it. An action that is
/// not known counts as zeros. Parameters are in `bonus.encoder` and `bonus.predictor`; those of the slow copy are buffers.
pub struct ByolExplore {
    options: Options,
    observations: ObservationReader,
    latents: Latents,
    errors: RewardScale,
    /// Of errors over their deviation.
    mean: f64,
    /// Frames so far, but for first ones.
    frames: u64,
    /// Of each stream, what it observed last.
    before: BTreeMap<u64, Vec<f32>>,
    /// What the last `bonus` was of: the streams, and transitions of some of them.
    seen: Option<(Vec<u64>, Option<Transition>)>,
}

impl Plugin for ByolExplore {
    const NAME: &'static str = "byol-explore";
    const DESCRIPTION: &'static str =
        "A bonus for what could not be foreseen in the latent of a slow copy (for [bonus]).";
    type Options = Options;
    type Kind = dyn Goal;

    fn new(options: Options, setup: &GoalSetup<'_>) -> Result<Self> {
        ensure!(
            setup.params.device()? == Device::Cpu,
            "byol-explore computes on the CPU: set device = \"cpu\""
        );
        let observations = ObservationReader::new(Self::NAME, setup)?;
        let latents = Latents::new(&options, observations.size(), setup)?;
        let (errors, before) = (RewardScale::new(0.0), BTreeMap::new());
        Ok(ByolExplore { options, observations, latents, errors, mean: 0.0, frames: 0, before, seen: None })
    }
}

impl Goal for ByolExplore {
    fn is_bonus(&self) -> Result<bool> {
        Ok(true)
    }

    fn bonus(&mut self, moment: &Moment<'_>) -> Result<Option<Tensor>> {
        let (rows, transition) = self.observe(moment)?;
        let mut bonus = OutputBuffer::zeros(&[moment.streams.len() as i64])?;
        if let Some(transition) = &transition {
            let errors = tch::no_grad(|| self.latents.error(transition))?;
            for (row, error) in rows.iter().zip(slice(&errors)?) {
                self.frames += 1;
                if self.frames <= self.options.warm_up {
                    continue;
                }
                let divided = self.errors.scale(moment.streams[*row], f64::from(*error), false);
                self.mean = MEAN_DECAY * self.mean + (1.0 - MEAN_DECAY) * divided;
                let counted =
                    if self.options.only_above_mean { (divided - self.mean).max(0.0) } else { divided };
                bonus[*row] = (self.options.scale * counted) as f32;
            }
        }
        self.seen = Some((moment.streams.to_vec(), transition));
        Ok(Some(bonus.into_tensor()))
    }

    fn loss(&mut self, input: &LossInput<'_>) -> Result<Loss> {
        let mut loss = Loss::default();
        // Without one there is nothing that came before.
        let Some((streams, Some(transition))) = &self.seen else { return Ok(loss) };
        if streams != input.moment.streams {
            return Ok(loss);
        }
        // Computed anew: a trainer may have updated since the bonus was.
        let errors = tch::with_grad(|| self.latents.error(transition))?;
        let sum: f32 = slice(&errors)?.iter().sum();
        loss.metric("error", scalar(sum / errors.numel() as f32)?);
        loss.term("predictor", errors.f_sum(errors.kind())?);
        self.latents.follow(self.options.decay)?;
        Ok(loss)
    }

    fn save(&self) -> Result<Saved> {
        let mut saved = Saved::new();
        self.observations.save("observation", &mut saved)?;
        self.errors.save("error", &mut saved)?;
        saved::put_numbers(&mut saved, "mean", &[self.mean, self.frames as f64])?;
        saved::put_streams(&mut saved, "before.streams", self.before.keys())?;
        let rows: Vec<f32> = self.before.values().flatten().copied().collect();
        saved::put_rows(&mut saved, "before", &rows, self.observations.size() as i64)?;
        Ok(saved)
    }

    fn restore(&mut self, saved: Saved) -> Result<()> {
        let (streams, size) = (saved::streams(&saved, "before.streams")?, self.observations.size());
        let rows = saved::rows(&saved, "before", streams.len(), size as i64)?;
        let mean = saved::numbers(&saved, "mean", 2)?;
        self.observations.restore("observation", &saved)?;
        self.errors.restore("error", &saved)?;
        (self.mean, self.frames) = (mean[0], mean[1] as u64);
        self.before = streams.into_iter().zip(rows.chunks_exact(size).map(<[f32]>::to_vec)).collect();
        self.seen = None;
        Ok(())
    }

    fn ended(&mut self, streams: &[u64]) -> Result<()> {
        for stream in streams {
            self.before.remove(stream);
            self.errors.forget(*stream);
        }
        Ok(())
    }
}

impl ByolExplore {
    /// The rows to which something has led, with what led there.
    fn observe(&mut self, moment: &Moment<'_>) -> Result<(Vec<usize>, Option<Transition>)> {
        let now = self.observations.read(moment)?;
        let (now, size) = (slice(&now)?, self.observations.size());
        let (mut rows, mut before, mut after) = (Vec::new(), Vec::new(), Vec::new());
        for (row, (stream, step_type)) in moment.streams.iter().zip(moment.step_types).enumerate() {
            let seen = &now[row * size..][..size];
            let last = self.before.insert(*stream, seen.to_vec());
            if let Some(last) = last.filter(|_| !step_type.is_first()) {
                rows.push(row);
                before.extend(last);
                after.extend_from_slice(seen);
            }
        }
        if rows.is_empty() {
            return Ok((rows, None));
        }
        let matrix =
            |x: &[f32]| -> Result<Tensor> { Ok(Tensor::f_from_slice(x)?.f_view([-1, size as i64])?) };
        let action = self.latents.actions(moment, &rows)?;
        let transition = Transition { before: matrix(&before)?, action, after: matrix(&after)? };
        Ok((rows, Some(transition)))
    }
}

efference_sdk::export! { goal: ByolExplore }

#[cfg(test)]
mod tests;

//! Goal plugin: a bonus for observations that are new, by random network distillation.
use efference_sdk::autograd::{scalar, slice};
use efference_sdk::nn::{FeedForward, FeedForwardSpec, ObservationReader, RewardScale};
use efference_sdk::tch::{self, Device, Kind, Tensor};
use efference_sdk::{
    Goal, GoalSetup, Loss, LossInput, Moment, ParamStore, Plugin, Result, Saved, Size, ensure, saved,
};

efference_sdk::options! {
    /// Options of `rnd`.
    pub struct Options {
        /// What the bonus is multiplied by: its discounted sum has about this deviation.
        #[schemars(range(min = 0.0))]
        pub scale: f64 = 1.0,
        /// Frames at the beginning that have no bonus, and whose errors, which are those of a network that knows nothing yet, do not
        /// count into the deviation.
        #[schemars(range(min = 0))]
        pub warm_up: u64 = 1_000,
        /// Discount of the sum of errors whose running deviation they are divided by.
        #[schemars(range(min = 0.0, max = 1.0))]
        pub gamma: f64 = 0.99,
        /// Features between layers.
        #[schemars(range(min = 1))]
        pub width: i64 = 64,
        /// Layers before the last one of the random network; the one that learns has one more.
        #[schemars(range(min = 0))]
        pub depth: i64 = 1,
        /// Features that the random network makes of an observation.
        #[schemars(range(min = 1))]
        pub outputs: i64 = 32,
    }
}

/// Adds to the reward how badly a network foretells what a random one, which never changes, makes of what was observed:
///
/// ```text
/// error = mean (predictor(x) − random(x))²        x: the observation, normalised and limited to ±5
/// bonus = scale · error / deviation of the discounted sums of errors so far
/// ```
///
/// Burda et al., "Exploration by random network distillation" (2018, arXiv 1810.12894). The error falls with each visit, also
/// where what comes is noise, since it is a function of what came and not of what could have come. The sums go on over the ends
/// of episodes, as in the paper. Unlike there, the bonus is part of the one reward, which the goal discounts and ends as it does
/// any other; and no steps are made for the statistics of observations before the first one, but bonuses begin later.
///
/// The first frame of an episode has no bonus, as nothing that was done led to it; the predictor learns from it all the same.
/// Parameters are in `bonus.predictor`; the random network's, in `bonus.random`, are buffers.
pub struct Rnd {
    options: Options,
    observations: ObservationReader,
    random: FeedForward,
    predictor: FeedForward,
    errors: RewardScale,
    /// Frames so far, but for first ones.
    frames: u64,
    /// What the last `bonus` was of: streams and rows.
    seen: Option<(Vec<u64>, Tensor)>,
}

impl Plugin for Rnd {
    const NAME: &'static str = "rnd";
    const DESCRIPTION: &'static str =
        "A bonus for what is new: how badly a network foretells a random one (for [bonus]).";
    type Options = Options;
    type Kind = dyn Goal;

    fn new(options: Options, setup: &GoalSetup<'_>) -> Result<Self> {
        ensure!(setup.params.device()? == Device::Cpu, "rnd computes on the CPU: set device = \"cpu\"");
        let observations = ObservationReader::new(Self::NAME, setup)?;
        let Options { width, depth, outputs, gamma, .. } = options;
        let size = Size { ins: observations.size() as i64, outs: outputs };
        let spec =
            FeedForwardSpec { size, width, depth, sparsity: 0.0, matrix_last: false, activate_last: false };
        let random = FeedForward::new(spec, setup.layers, &setup.params.scope("random").frozen())?;
        let spec = FeedForwardSpec { depth: depth + 1, ..spec };
        let predictor = FeedForward::new(spec, setup.layers, &setup.params.scope("predictor"))?;
        let errors = RewardScale::new(gamma);
        Ok(Rnd { options, observations, random, predictor, errors, frames: 0, seen: None })
    }
}

impl Goal for Rnd {
    fn is_bonus(&self) -> Result<bool> {
        Ok(true)
    }

    fn bonus(&mut self, moment: &Moment<'_>) -> Result<Option<Tensor>> {
        let x = self.observations.read(moment)?;
        let errors = tch::no_grad(|| self.error(&x))?;
        let rows = moment.streams.iter().zip(moment.step_types).zip(slice(&errors)?);
        let bonus = rows.map(|((stream, step_type), error)| {
            if step_type.is_first() {
                return 0.0;
            }
            self.frames += 1;
            if self.frames <= self.options.warm_up {
                return 0.0;
            }
            (self.options.scale * self.errors.scale(*stream, f64::from(*error), false)) as f32
        });
        let bonus: Vec<f32> = bonus.collect();
        self.seen = Some((moment.streams.to_vec(), x));
        Ok(Some(Tensor::f_from_slice(&bonus)?))
    }

    fn loss(&mut self, input: &LossInput<'_>) -> Result<Loss> {
        let moment = input.moment;
        let x = match &self.seen {
            Some((streams, x)) if streams == moment.streams => x.shallow_clone(),
            _ => self.observations.read(moment)?,
        };
        // Computed anew: a trainer may have updated since the bonus was.
        let errors = tch::with_grad(|| self.error(&x))?;
        let sum: f32 = slice(&errors)?.iter().sum();
        let mut loss = Loss::default();
        loss.metric("error", scalar(sum / moment.streams.len() as f32)?);
        loss.term("predictor", errors);
        Ok(loss)
    }

    fn save(&self) -> Result<Saved> {
        let mut saved = Saved::new();
        self.observations.save("observation", &mut saved)?;
        self.errors.save("error", &mut saved)?;
        saved::put_numbers(&mut saved, "frames", &[self.frames as f64])?;
        Ok(saved)
    }

    fn restore(&mut self, saved: Saved) -> Result<()> {
        let frames = saved::numbers(&saved, "frames", 1)?[0];
        self.observations.restore("observation", &saved)?;
        self.errors.restore("error", &saved)?;
        (self.frames, self.seen) = (frames as u64, None);
        Ok(())
    }

    fn ended(&mut self, streams: &[u64]) -> Result<()> {
        streams.iter().for_each(|stream| self.errors.forget(*stream));
        Ok(())
    }
}

impl Rnd {
    /// The mean squared error of each row, (rows).
    fn error(&self, x: &Tensor) -> Result<Tensor> {
        let expected = tch::no_grad(|| self.random.forward(x))?;
        let squares = self.predictor.forward(x)?.f_sub(&expected)?.f_square()?;
        Ok(squares.f_mean_dim([1].as_slice(), false, Kind::Float)?)
    }
}

efference_sdk::export! { goal: Rnd }

#[cfg(test)]
mod tests;

//! What the networks of a goal see: the observation, the cell's state, or both, normalised as they come.
use super::running::Normaliser;
use crate::autograd::{OutputBuffer, is_contiguous_cpu_f32, narrow, shape2, slice};
use crate::{GoalSetup, Moment, Result, Saved, Spaces, bail, ensure};
use tch::{Kind, Tensor};

crate::options! {
    /// What networks of a goal are functions of.
    pub enum Features {
        /// What was observed, 0 where it is missing.
        Observation,
        /// The state.
        State,
        /// The observation, then the state.
        Both,
    }
}

impl Features {
    /// Whether the state is among them.
    pub fn use_state(self) -> bool {
        !matches!(self, Features::Observation)
    }
}

/// Makes features of what comes, (rows, [`size`](Self::size)), each row counted into a running mean and deviation once: for a
/// goal that learns in `loss` from the features that it then acts upon in `act`.
#[derive(Debug)]
pub struct FeatureReader {
    features: Features,
    /// Slots at the front of an observation that are the goal's own.
    reserved: i64,
    observed: usize,
    size: usize,
    normaliser: Option<Normaliser>,
    /// What this step's `ahead` has counted in, with the streams of its rows.
    ahead: Option<(Vec<u64>, Tensor)>,
}

impl FeatureReader {
    /// A reader for a goal that reserves so many slots, in an environment that observes `spaces`; `normalise`: whether
    /// features are divided by their running deviation, after the running mean is taken away.
    pub fn new(
        features: Features,
        normalise: bool,
        reserved: i64,
        spaces: &Spaces,
        setup: &GoalSetup<'_>,
    ) -> Result<Self> {
        let (observed, state) = (spaces.observation, usize::try_from(setup.state_size).unwrap_or(0));
        let size = match features {
            Features::Observation => observed,
            Features::State => state,
            Features::Both => observed.saturating_add(state),
        };
        ensure!(
            size > 0,
            "the environment observes nothing that a network could see; set features = \"state\""
        );
        // An agent that is only counted may ask for more than there is memory for.
        ensure!(
            size <= 1 << 28,
            "{size} features are more than the networks of a goal can look at; choose fewer, such as features = \
             \"observation\""
        );
        let normaliser = normalise.then(|| Normaliser::new(size));
        Ok(FeatureReader { features, reserved, observed, size, normaliser, ahead: None })
    }

    /// Features of a row.
    pub fn size(&self) -> usize {
        self.size
    }

    /// In [`Goal::loss`](crate::Goal::loss): the features of what came, without gradient, with the states after it, `next`,
    /// where a trainer passes them. The rows are counted in.
    pub fn ahead(&mut self, moment: &Moment<'_>, next: Option<&Tensor>) -> Result<Tensor> {
        let features = self.count(moment, next)?;
        self.ahead = Some((moment.streams.to_vec(), features.shallow_clone()));
        Ok(features)
    }

    /// In [`Goal::act`](crate::Goal::act): the features to act upon, without gradient. Rows that `ahead` has not counted in are
    /// counted here.
    pub fn now(&mut self, moment: &Moment<'_>, state: &Tensor) -> Result<Tensor> {
        match (self.ahead.take(), &self.normaliser) {
            (Some((streams, features)), _) if streams == moment.streams && !self.features.use_state() => {
                Ok(features)
            }
            // The states after an update may be others than those ahead of it.
            (Some((streams, _)), Some(normaliser)) if streams == moment.streams => {
                normaliser.apply(&self.raw(moment, Some(state))?)
            }
            _ => self.count(moment, Some(state)),
        }
    }

    /// Of the features (rows, size) that were acted upon: the same with `state` (rows, state size) for the state that they were
    /// read from, whose gradient they carry.
    pub fn with_state(&self, features: &Tensor, state: &Tensor) -> Result<Tensor> {
        let start = self.size as i64 - state.size()[1];
        let own = match &self.normaliser {
            Some(normaliser) => normaliser.differentiable(state, start as usize)?,
            None => state.shallow_clone(),
        };
        if start == 0 { Ok(own) } else { Ok(Tensor::f_cat(&[features.f_narrow(1, 0, start)?, own], 1)?) }
    }

    /// Appends its state.
    pub fn save(&self, into: &mut Saved) -> Result<()> {
        self.normaliser.as_ref().map_or(Ok(()), |normaliser| normaliser.save("features", into))
    }

    /// Takes up what [`save`](Self::save) appended.
    pub fn restore(&mut self, from: &Saved) -> Result<()> {
        self.ahead = None;
        self.normaliser.as_mut().map_or(Ok(()), |normaliser| normaliser.restore("features", from))
    }

    fn count(&mut self, moment: &Moment<'_>, state: Option<&Tensor>) -> Result<Tensor> {
        let features = self.raw(moment, state)?;
        match &mut self.normaliser {
            Some(normaliser) => {
                let mut features = OutputBuffer::reuse(features)?;
                normaliser.normalise_in_place(&mut features);
                Ok(features.into_tensor())
            }
            None => Ok(features),
        }
    }

    /// Rows of an observation without the slots of the goal, 0 for what is missing.
    fn observed_here(&self, observation: &[f32]) -> Result<Tensor> {
        let (reserved, length) = (self.reserved as usize, self.reserved as usize + self.observed);
        let rows = observation.chunks_exact(length.max(1));
        let mut features = OutputBuffer::empty(&[rows.len() as i64, self.observed as i64])?;
        for (features, row) in features.chunks_exact_mut(self.observed.max(1)).zip(rows) {
            for (feature, x) in features.iter_mut().zip(&row[reserved..]) {
                *feature = if x.is_nan() { 0.0 } else { x.clamp(f32::MIN, f32::MAX) };
            }
        }
        Ok(features.into_tensor())
    }

    /// Features as they come.
    fn raw(&self, moment: &Moment<'_>, state: Option<&Tensor>) -> Result<Tensor> {
        let mut parts = Vec::with_capacity(2);
        if !matches!(self.features, Features::State) {
            let observed = self.observed as i64;
            let length = shape2(moment.observation).map_or(0, |[_, length]| length);
            ensure!(
                length == self.reserved + observed,
                "an observation has {} elements, and the environment said {observed}",
                length - self.reserved
            );
            parts.push(if is_contiguous_cpu_f32(moment.observation) {
                self.observed_here(slice(moment.observation)?)?
            } else {
                let observation = narrow(moment.observation, 1, self.reserved, observed)?;
                observation.f_nan_to_num(0.0, None, None)?
            });
        }
        if self.features.use_state() {
            match state {
                Some(state) => parts.push(state.f_detach()?),
                None => bail!(
                    "this goal learns from the states that follow an action, and the trainer does not pass them: set \
                     trainer.look_ahead = true, or choose goal.features = \"observation\", or the trainer 'traces' with \
                     trainer.cell = true"
                ),
            }
        }
        let features = if parts.len() == 1 { parts.remove(0) } else { Tensor::f_cat(&parts, 1)? };
        if is_contiguous_cpu_f32(&features) {
            return Ok(features);
        }
        Ok(features.f_to_kind(Kind::Float)?.f_contiguous()?)
    }
}

//! What the networks of a goal see: the observation, the cell's state, or both, normalised as they come.
use super::running::Normaliser;
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

/// Makes features of what comes, (rows, [`size`](Self::size)), without gradient, each row counted into a running mean and
/// deviation once: for a goal that learns in `loss` from the features that it then acts upon in `act`.
#[derive(Debug)]
pub struct FeatureReader {
    features: Features,
    observed: usize,
    size: usize,
    normaliser: Option<Normaliser>,
    /// What this step's `ahead` has counted in: `now` returns the same.
    ahead: Option<(Vec<u64>, Tensor)>,
}

impl FeatureReader {
    /// A reader of an environment that observes `spaces`; `normalise`: whether features are divided by their running
    /// deviation, after the running mean is taken away.
    pub fn new(features: Features, normalise: bool, spaces: &Spaces, setup: &GoalSetup<'_>) -> Result<Self> {
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
        let only_counts = crate::ParamStore::only_counts(&setup.params)?;
        // An agent that is only counted may ask for more than there is memory for.
        ensure!(
            !only_counts || size <= 1 << 28,
            "a network of {size} features has more of them than any memory holds"
        );
        let normaliser = normalise.then(|| Normaliser::new(size));
        Ok(FeatureReader { features, observed, size, normaliser, ahead: None })
    }

    /// Features of a row.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Whether the state is among them.
    pub fn uses_state(&self) -> bool {
        !matches!(self.features, Features::Observation)
    }

    /// In [`Goal::loss`](crate::Goal::loss): the features of what came, with the states after it, `next`, where a trainer passes
    /// them.
    pub fn ahead(&mut self, moment: &Moment<'_>, next: Option<&Tensor>) -> Result<Tensor> {
        let features = self.read(moment, next)?;
        self.ahead = Some((moment.streams.to_vec(), features.shallow_clone()));
        Ok(features)
    }

    /// In [`Goal::act`](crate::Goal::act): the features to act upon.
    pub fn now(&mut self, moment: &Moment<'_>, state: &Tensor) -> Result<Tensor> {
        match self.ahead.take() {
            Some((streams, features)) if streams == moment.streams => Ok(features),
            _ => self.read(moment, Some(state)),
        }
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

    fn read(&mut self, moment: &Moment<'_>, state: Option<&Tensor>) -> Result<Tensor> {
        let mut parts = Vec::with_capacity(2);
        if !matches!(self.features, Features::State) {
            let observation = moment.observation.f_nan_to_num(0.0, None, None)?;
            ensure!(
                observation.size()[1] == self.observed as i64,
                "an observation has {} elements, and the environment said {}",
                observation.size()[1],
                self.observed
            );
            parts.push(observation);
        }
        if self.uses_state() {
            match state {
                Some(state) => parts.push(state.f_detach()?),
                None => bail!(
                    "this goal learns from the state that follows an action, and the trainer does not pass it: set \
                     goal.features = \"observation\", or choose the trainer 'traces' with trainer.cell = true"
                ),
            }
        }
        let features = if parts.len() == 1 { parts.remove(0) } else { Tensor::f_cat(&parts, 1)? };
        let features = features.f_to_kind(Kind::Float)?.f_contiguous()?;
        match &mut self.normaliser {
            Some(normaliser) => normaliser.normalise(&features),
            None => Ok(features),
        }
    }
}

//! What the cell receives.
use efference_sdk::autograd::shape2;
use efference_sdk::tch::Tensor;
use efference_sdk::{Result, bail, ensure};

efference_sdk::options! {
    /// How the cell's input is made of a state (a prediction at its front) and an observation.
    pub enum Merge {
        /// The state, and behind it the state with the observation written over its front.
        Concat,
        /// The state with the observation written over its front.
        Merge,
        /// The state with the observation added to its front.
        Add,
        /// The state alone: the agent is blind.
        Ignore,
    }
}

/// A state and what was observed.
pub(super) struct Merged<'a> {
    /// The state with what was observed written over its front, clamped to ±1; carries gradient.
    pub(super) target: Tensor,
    observation: &'a Tensor,
    missing: Tensor,
    /// The state behind what an observation covers, if there is anything.
    rest: Option<Tensor>,
    front: Tensor,
}

impl<'a> Merged<'a> {
    /// Of `state` (active streams, state size) and `observation` (active streams, length), where NaN is a missing value.
    pub(super) fn new(state: &Tensor, observation: &'a Tensor) -> Result<Self> {
        let (size, length) = check(state, observation)?;
        let (front, rest) = if length == size {
            (state.shallow_clone(), None)
        } else {
            (state.f_narrow(1, 0, length)?, Some(state.f_narrow(1, length, size - length)?))
        };
        let missing = observation.f_isnan()?;
        let target =
            with_rest(front.f_where_self(&missing, observation)?, rest.as_ref())?.f_clamp(-1.0, 1.0)?;
        Ok(Merged { target, observation, missing, rest, front })
    }

    /// The cell's input.
    pub(super) fn input(&self, merge: Merge, state: &Tensor) -> Result<Tensor> {
        match merge {
            Merge::Concat => Ok(Tensor::f_cat(&[state, &self.target], 1)?),
            Merge::Merge => Ok(self.target.shallow_clone()),
            Merge::Add => {
                let observed = self.observation.f_masked_fill(&self.missing, 0.0)?;
                with_rest(self.front.f_add(&observed)?, self.rest.as_ref())
            }
            Merge::Ignore => Ok(state.shallow_clone()),
        }
    }
}

fn with_rest(front: Tensor, rest: Option<&Tensor>) -> Result<Tensor> {
    match rest {
        Some(rest) => Ok(Tensor::f_cat(&[&front, rest], 1)?),
        None => Ok(front),
    }
}

/// How many features a state and an observation have. Errors unless the observation has as many rows and fits into
/// the state.
pub(super) fn check(state: &Tensor, observation: &Tensor) -> Result<(i64, i64)> {
    let Some([rows, size]) = shape2(state) else { bail!("states of shape {:?} have no rows", state.size()) };
    let Some([_, length]) = shape2(observation).filter(|[observed, _]| *observed == rows) else {
        bail!(
            "the observation of {rows} active streams should have as many rows, and has the shape {:?}",
            observation.size()
        )
    };
    ensure!(
        length <= size,
        "an observation has {length} features, and the state only {size}: choose a larger state.size"
    );
    Ok((size, length))
}

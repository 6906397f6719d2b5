//! Elements of an observation that are only seen or only predicted: what the agent sees of them, and what its prediction is
//! compared with. Trainers and goals need not know of it.
//!
//! | element | in the moment | in a loss's target |
//! |---|---|---|
//! | seen and predicted | what came | what came |
//! | only seen | what came | the state itself: no error, no gradient |
//! | only predicted | missing | what came |
use efference_sdk::{Comparison, LossInput, Result, Role, ensure};
use std::cell::RefCell;
use tch::{Device, Tensor};

/// The elements, as places in a state, and what came of those that are only predicted.
pub(super) struct Roles {
    /// (elements): only seen.
    seen: Tensor,
    /// (elements): only predicted.
    predicted: Tensor,
    /// Where the elements of the observation lie that the trainer got last, and (rows, elements) of `predicted`.
    came: RefCell<Option<(usize, Tensor)>>,
}

impl Roles {
    /// Of what an environment says, for a goal with so many reserved slots; `None`: all elements are seen and predicted.
    pub(super) fn new(comparison: &Comparison, reserved: i64, device: Device) -> Result<Option<Roles>> {
        let places = |role| -> Result<Tensor> {
            let all: Vec<i64> = comparison.elements(role).map(|element| reserved + element as i64).collect();
            Ok(Tensor::f_from_slice(&all)?.f_to_device(device)?)
        };
        let (seen, predicted) = (places(Role::SEEN)?, places(Role::PREDICTED)?);
        let any = seen.numel() + predicted.numel() > 0;
        Ok(any.then(|| Roles { seen, predicted, came: RefCell::default() }))
    }

    /// Whether there are elements that are only predicted.
    pub(super) fn hides(&self) -> bool {
        self.predicted.numel() > 0
    }

    /// The observation as the agent sees it.
    pub(super) fn hide(&self, observation: Tensor) -> Result<Tensor> {
        if !self.hides() {
            return Ok(observation);
        }
        let came = observation.f_index_select(1, &self.predicted)?;
        let seen = observation.f_index_fill(1, &self.predicted, f64::NAN)?;
        *self.came.borrow_mut() = Some((place(&seen), came));
        Ok(seen)
    }

    /// What the prediction of a state is compared with.
    pub(super) fn target(&self, input: &LossInput<'_>) -> Result<Tensor> {
        let state = input.state.f_detach()?;
        let mut target = input.target.f_index_copy(1, &self.seen, &state.f_index_select(1, &self.seen)?)?;
        if self.hides() {
            let came = self.came.borrow();
            let came = came.as_ref().filter(|(at, _)| *at == place(input.moment.observation));
            let Some((_, came)) = came else {
                efference_sdk::bail!(
                    "asks for the loss of a moment that is not the step's own, and the environment has elements that are \
                     only predicted, which the host knows of the step's moment alone. Pass `batch.moment` on, or let all \
                     elements be seen"
                )
            };
            let stays = state.f_index_select(1, &self.predicted)?;
            let came = stays.f_where_self(&came.f_isnan()?, &came.f_clamp(-1.0, 1.0)?)?;
            target = target.f_index_copy(1, &self.predicted, &came)?;
        }
        Ok(target)
    }
}

/// What tells a tensor's elements from those of others.
fn place(tensor: &Tensor) -> usize {
    tensor.data_ptr() as usize
}

/// Elements of all frames of a period that are remembered of a stream, at most.
const MOST_REMEMBERED: usize = 1 << 24;

/// Refuses what does not fit observations of so many elements (`None`: not known beforehand).
///
/// # Errors
/// A sentence about the environment.
pub(crate) fn check_comparison(comparison: &Comparison, observation: Option<usize>) -> Result<()> {
    let Comparison { roles, period, .. } = comparison;
    if !roles.is_empty() {
        ensure!(
            observation == Some(roles.len()),
            "says what {} elements of an observation are for, and observations have {}",
            roles.len(),
            observation.map_or_else(|| "a length that is not known beforehand".to_owned(), |n| n.to_string())
        );
        let known = |role: &Role| [Role::BOTH, Role::SEEN, Role::PREDICTED].contains(role);
        ensure!(
            roles.iter().all(known),
            "says that an element is for what this host does not know: {roles:?}"
        );
    }
    if let Some(period) = *period {
        let remembered = period.saturating_mul(observation.unwrap_or(1));
        ensure!(
            remembered <= MOST_REMEMBERED,
            "has a period of {period} frames of {} elements: to compare with the same moment a period ago, the host would \
             remember {remembered} elements of each stream, and remembers at most {MOST_REMEMBERED}. Shorten the period, or \
             do without",
            observation.unwrap_or(1)
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparisons_that_fit_no_observation_are_refused_with_a_sentence() {
        let of = |roles: &[Role], period| Comparison { roles: roles.to_vec(), linear: false, period };
        let refused =
            |comparison, observation| check_comparison(&comparison, observation).unwrap_err().to_string();
        assert!(check_comparison(&of(&[], Some(1 << 12)), Some(1 << 12)).is_ok());
        assert!(check_comparison(&of(&[Role::SEEN, Role::PREDICTED], None), Some(2)).is_ok());
        let said = refused(of(&[], Some(4_097)), Some(1 << 12));
        assert!(said.contains("16781312 elements of each stream, and remembers at most 16777216"), "{said}");
        let said = refused(of(&[Role::SEEN], None), Some(2));
        assert!(
            said.contains("what 1 elements of an observation are for, and observations have 2"),
            "{said}"
        );
        assert!(refused(of(&[Role::SEEN], None), None).contains("not known beforehand"));
        assert!(refused(of(&[Role(7)], None), Some(1)).contains("does not know"));
    }

    #[test]
    fn an_observation_is_hidden_where_it_is_only_predicted_and_the_rest_is_as_it_came() {
        let index = |i: i64| Tensor::from_slice(&[i]);
        let roles = Roles { seen: index(1), predicted: index(2), came: RefCell::default() };
        let observation = Tensor::from_slice(&[0.1f32, 0.2, 0.3]).reshape([1, 3]);
        let seen: Vec<f32> = roles.hide(observation).unwrap().flatten(0, -1).try_into().unwrap();
        assert!(seen[..2] == [0.1, 0.2] && seen[2].is_nan());
    }
}

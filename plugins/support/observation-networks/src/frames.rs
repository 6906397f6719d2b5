//! What a prediction is compared with, as rows for a network.
use efference_sdk::tch::Tensor;
use efference_sdk::{GoalSetup, LossInput, ParamStore, Result, bail, ensure};

/// Where in a state the prediction of an observation lies.
#[derive(Debug, Clone, Copy)]
pub struct Frames {
    reserved: i64,
    size: i64,
}

/// Predictions and what came, a row each; rows that begin an episode or a stream are left out, as nothing could foresee them.
pub struct Compared {
    /// (rows, state size): the states before, with gradient.
    pub state: Tensor,
    /// (rows, [`Frames::size`]): what was predicted, with gradient; 0 where nothing was to be predicted.
    pub predicted: Tensor,
    /// (rows, [`Frames::size`]): what came, limited to ±1, without gradient; 0 where nothing was to be predicted.
    pub real: Tensor,
    /// (rows, [`Frames::size`]): where nothing was to be predicted.
    pub absent: Tensor,
}

impl Frames {
    /// Behind so many reserved slots, for a goal plugin called `name`, made by `setup`.
    ///
    /// # Errors
    /// The environment does not say how much it observes, or observes nothing; or its observation does not fit into a state.
    pub fn new(name: &str, reserved: i64, setup: &GoalSetup<'_>) -> Result<Self> {
        let Some(spaces) = setup.spaces else {
            bail!("{name} needs an environment that says how much it observes, and this one does not")
        };
        let size = i64::try_from(spaces.observation).unwrap_or(i64::MAX);
        ensure!(size > 0, "{name} puts a network on what is observed, and this environment observes nothing");
        ensure!(
            size <= setup.state_size - reserved || setup.params.only_counts()?,
            "an observation of {size} elements and {reserved} reserved slots do not fit into a state of {}: choose a larger \
             state.size",
            setup.state_size
        );
        Ok(Frames { reserved, size })
    }

    /// Elements of a row.
    pub fn size(&self) -> i64 {
        self.size
    }

    /// The rows of a loss; `None` where all of them begin an episode or a stream.
    ///
    /// Nothing was to be predicted where an element is missing, or only seen: there the target is the state itself. Where a
    /// prediction is exactly what came it counts as such too, which changes neither which of the two is which nor a gradient.
    ///
    /// # Errors
    /// A state that is too short for a frame.
    pub fn compared(&self, input: &LossInput<'_>) -> Result<Option<Compared>> {
        let step_types = input.moment.step_types;
        // A state of zeros is that of a stream which only begins: it predicts nothing yet.
        let begun = Vec::<bool>::try_from(input.state.f_detach()?.f_ne(0.0)?.f_any_dim(1, false)?)?;
        let rows = (0..).zip(step_types.iter().zip(begun)).filter(|(_, (t, begun))| *begun && !t.is_first());
        let rows: Vec<i64> = rows.map(|(row, _)| row).collect();
        if rows.is_empty() {
            return Ok(None);
        }
        let (mut state, mut target) = (input.state.shallow_clone(), input.target.f_detach()?);
        if rows.len() < step_types.len() {
            let rows = Tensor::f_from_slice(&rows)?.f_to_device(state.device())?;
            (state, target) = (state.f_index_select(0, &rows)?, target.f_index_select(0, &rows)?);
        }
        let predicted = state.f_narrow(1, self.reserved, self.size)?;
        let real = target.f_narrow(1, self.reserved, self.size)?;
        let value = predicted.f_detach()?;
        let absent =
            real.f_eq_tensor(&value)?.f_logical_or(&real.f_eq_tensor(&value.f_clamp(-1.0, 1.0)?)?)?;
        Ok(Some(Compared {
            predicted: predicted.f_masked_fill(&absent, 0.0)?,
            real: real.f_masked_fill(&absent, 0.0)?,
            state,
            absent,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use efference_sdk::tch::Kind;
    use efference_sdk::{Params, RewardRange, Spaces, StepType};
    use efference_testkit::{LayersOf, Matrix, MemoryStore, OwnedMoment};

    fn frames(size: usize, state_size: i64) -> Result<Frames> {
        let store = MemoryStore::new(0);
        let layers = LayersOf::<Matrix>::new("{}")?;
        let spaces = Spaces { observation: size, actions: vec![], reward: RewardRange::default() };
        let params = Params::new(&store);
        Frames::new("mine", 1, &GoalSetup { state_size, spaces: Some(&spaces), layers: &layers, params })
    }

    #[test]
    fn what_was_not_to_be_predicted_is_zero_in_both_and_has_no_gradient() {
        let state = Tensor::from_slice(&[9.0f32, 0.5, -2.0, 0.25, 9.0, 9.0, 0.5, 0.5, 0.5, 9.0]).view([2, 5]);
        let state = state.set_requires_grad(true);
        // The first element came; the second is missing, so that the target is the state within its limits; the third is the
        // state itself.
        let target =
            Tensor::from_slice(&[0.0f32, -0.5, -1.0, 0.25, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0]).view([2, 5]);
        let mut moment = OwnedMoment::of(&target.narrow(1, 0, 4));
        moment.step_types = vec![StepType::MIDDLE, StepType::FIRST];
        let moment = moment.get();
        let input = LossInput { moment: &moment, state: &state, target: &target, next: None, unroll: 0 };
        let compared = frames(3, 5).unwrap().compared(&input).unwrap().unwrap();
        let numbers = |t: &Tensor| Vec::<f32>::try_from(t.detach().flatten(0, -1)).unwrap();
        assert_eq!(numbers(&compared.predicted), [0.5, 0.0, 0.0]);
        assert_eq!(numbers(&compared.real), [-0.5, 0.0, 0.0]);
        assert_eq!((compared.real.requires_grad(), compared.state.size()), (false, vec![1, 5]));
        compared.predicted.sum(Kind::Float).backward();
        assert_eq!(numbers(&state.grad()), [0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);

        let first = OwnedMoment { step_types: vec![StepType::FIRST; 2], ..OwnedMoment::of(&target) };
        let moment = first.get();
        assert!(frames(3, 5).unwrap().compared(&LossInput { moment: &moment, ..input }).unwrap().is_none());
        let begins = Tensor::zeros_like(&state);
        let moment = OwnedMoment::of(&target);
        let moment = moment.get();
        let input = LossInput { moment: &moment, state: &begins, target: &target, next: None, unroll: 0 };
        assert!(frames(3, 5).unwrap().compared(&input).unwrap().is_none());
    }

    #[test]
    fn frames_that_do_not_fit_are_refused() {
        let said = |size, state_size| frames(size, state_size).unwrap_err().to_string();
        assert!(said(5, 5).contains("state.size"), "{}", said(5, 5));
        assert!(said(0, 5).contains("observes nothing"), "{}", said(0, 5));
        assert_eq!(frames(4, 5).unwrap().size(), 4);
    }
}

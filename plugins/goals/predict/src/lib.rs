//! Goal plugin: predict what is observed next.
use efference_sdk::{Goal, GoalSetup, Loss, LossInput, ObservationLoss, Plugin, Prediction, Result, ensure};

efference_sdk::options! {
    /// Options of `predict`.
    pub struct Options {
        /// What the error of an observation is multiplied with, beside that of the reward and the misprediction.
        #[schemars(range(min = 0.0))]
        pub observation_importance: f64 = 1.0,
        /// How the error of an observation is measured: "l1" or "l2".
        pub observation_loss: ObservationLoss = ObservationLoss::L2,
    }
}

/// Minimises the error of predictions and nothing else; see [`Prediction`] for the formula.
pub struct Predict {
    prediction: Prediction,
}

impl Plugin for Predict {
    const NAME: &'static str = "predict";
    const DESCRIPTION: &'static str =
        "Predict what is observed next; actions are whatever the state ends with.";
    type Options = Options;
    type Kind = dyn Goal;

    fn new(options: Options, setup: &GoalSetup<'_>) -> Result<Self> {
        let state_size = setup.state_size;
        ensure!(
            state_size > Prediction::RESERVED,
            "state.size is {state_size}, and must be above {}: so many features are reserved for the reward and \
             the misprediction",
            Prediction::RESERVED
        );
        let Options { observation_importance, observation_loss } = options;
        Ok(Predict { prediction: Prediction { observation_importance, observation_loss } })
    }
}

impl Goal for Predict {
    fn reserved(&self) -> Result<i64> {
        Ok(Prediction::RESERVED)
    }

    fn loss(&mut self, input: &LossInput<'_>) -> Result<Loss> {
        let mut loss = Loss::default();
        self.prediction.add(input, &mut loss)?;
        Ok(loss)
    }

    fn replayable(&self) -> Result<bool> {
        Ok(true)
    }
}

efference_sdk::export! { goal: Predict }

#[cfg(test)]
mod tests {
    use super::*;
    use efference_sdk::tch::Tensor;
    use efference_sdk::{Params, Random};
    use efference_testkit::{
        LayersOf, Learner, Matrix, MemoryStore, StackCell, TwoSteps, sgd, with_loss_input,
    };

    fn predict(size: i64) -> Result<Predict> {
        let store = MemoryStore::new(0);
        let layers = LayersOf::<Matrix>::new("{}")?;
        let setup =
            GoalSetup { state_size: size, spaces: None, layers: &layers, params: Params::new(&store) };
        Predict::new(Options::default(), &setup)
    }

    #[test]
    fn following_the_gradient_of_its_loss_makes_the_prediction_true() {
        let mut goal = predict(7).unwrap();
        let observation = Tensor::from_slice(&[0.5f32, f32::NAN, f32::NAN, f32::NAN, -0.2, 0.9, f32::NAN]);
        let observation = observation.reshape([1, 7]);
        let mut state = Random::new(1).normal(&[1, 7], 0.5);
        for _ in 0..200 {
            state = state.detach().set_requires_grad(true);
            let target = state.where_self(&observation.isnan(), &observation).clamp(-1.0, 1.0).detach();
            let loss = with_loss_input(&state, &target, &observation, |input| goal.loss(input)).unwrap();
            let total = loss.total().unwrap().unwrap();
            let gradient = Tensor::run_backward(&[total], &[&state], false, false).remove(0);
            state = state.detach() - gradient * 0.2;
        }
        let state: Vec<f32> = state.flatten(0, -1).try_into().unwrap();
        for (i, expected) in [(0, 0.5), (1, -1.0), (4, -0.2), (5, 0.9)] {
            assert!((state[i] - expected).abs() < 0.02, "number {i} of {state:?}");
        }
    }

    #[test]
    fn a_state_without_room_is_an_error() {
        assert!(predict(4).err().unwrap().to_string().contains("above 4"));
    }

    #[test]
    fn an_agent_with_it_learns_what_comes_next() {
        let layers = LayersOf::<Matrix>::new("{}").unwrap();
        let learner = Learner { state_size: 32, layers: &layers, seed: 1, rule: sgd(0.01), steps: 2_000 };
        let predict =
            |setup: &GoalSetup<'_>| Ok(Box::new(Predict::new(Options::default(), setup)?) as Box<dyn Goal>);
        let learned = learner
            .learn(
                predict,
                |setup| Ok(Box::new(TwoSteps::new(setup))),
                |setup| Ok(Box::new(StackCell::new(setup)?)),
            )
            .unwrap();
        learned.check_fell("observation", 0.7).unwrap();
    }
}

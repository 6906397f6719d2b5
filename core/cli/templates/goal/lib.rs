//! Goal plugin: predict what is observed next, by small states.
use efference_sdk::tch::Kind;
use efference_sdk::{Goal, GoalSetup, Loss, LossInput, ObservationLoss, Plugin, Prediction, Result, ensure};

efference_sdk::options! {
    /// Options of `my-plugin`.
    pub struct Options {
        /// What the mean square of a state's elements is multiplied with.
        #[schemars(range(min = 0.0))]
        pub calm: f64 = 0.01,
    }
}

/// Of each active stream, with its state `s`, whose front is the prediction:
///
/// ```text
/// loss = error of the prediction + calm · mean(s²)
/// ```
///
/// See `Prediction` for the error.
pub struct MyPlugin {
    prediction: Prediction,
    calm: f64,
}

impl Plugin for MyPlugin {
    const NAME: &'static str = "my-plugin";
    const DESCRIPTION: &'static str = "Predict what is observed next, by small states.";
    type Options = Options;
    type Kind = dyn Goal;

    fn new(options: Options, setup: &GoalSetup<'_>) -> Result<Self> {
        let (size, reserved) = (setup.state_size, Prediction::RESERVED);
        ensure!(
            size > reserved,
            "state.size is {size}, and must be above {reserved}, which the prediction reserves"
        );
        let prediction = Prediction { observation_importance: 1.0, observation_loss: ObservationLoss::L2 };
        Ok(MyPlugin { prediction, calm: options.calm })
    }
}

impl Goal for MyPlugin {
    fn reserved(&self) -> Result<i64> {
        Ok(Prediction::RESERVED)
    }

    fn loss(&mut self, input: &LossInput<'_>) -> Result<Loss> {
        let mut loss = Loss::default();
        self.prediction.add(input, &mut loss)?;
        // One number a row, of which the sum counts.
        let squares = input.state.f_square()?.f_mean_dim(1, false, Kind::Float)?;
        loss.metric("mean_square", squares.f_detach()?.f_mean(Kind::Float)?);
        loss.term("calm", squares.f_mul_scalar(self.calm)?);
        Ok(loss)
    }
}

efference_sdk::export! { goal: MyPlugin }

#[cfg(test)]
mod tests {
    use super::*;
    use efference_sdk::Params;
    use efference_sdk::tch::Tensor;
    use efference_testkit::{
        LayersOf, Learner, Matrix, MemoryStore, StackCell, TwoSteps, sgd, with_loss_input,
    };

    #[test]
    fn the_term_is_the_mean_square_of_a_state() {
        let (store, layers) = (MemoryStore::new(1), LayersOf::<Matrix>::new("{}").unwrap());
        let setup = GoalSetup { state_size: 6, spaces: None, layers: &layers, params: Params::new(&store) };
        let mut goal = MyPlugin::new(Options { calm: 2.0 }, &setup).unwrap();
        let state = Tensor::from_slice(&[0.0f32, 0.0, 0.0, 0.0, 1.0, -1.0]).reshape([1, 6]);
        let observation = state.narrow(1, 0, 5);
        let loss = with_loss_input(&state, &state, &observation, |input| goal.loss(input)).unwrap();
        let calm = &loss.terms.iter().find(|term| term.name == "calm").unwrap().value;
        assert!((calm.double_value(&[0]) - 2.0 * 2.0 / 6.0).abs() < 1e-6);
    }

    #[test]
    fn an_agent_with_it_learns_what_comes_next() {
        let layers = LayersOf::<Matrix>::new("{}").unwrap();
        let learner = Learner { state_size: 32, layers: &layers, seed: 1, rule: sgd(0.01), steps: 2_000 };
        let learned = learner
            .learn(
                |setup| Ok(Box::new(MyPlugin::new(Options::default(), setup)?)),
                |setup| Ok(Box::new(TwoSteps::new(setup))),
                |setup| Ok(Box::new(StackCell::new(setup)?)),
            )
            .unwrap();
        learned.check_fell("observation", 0.7).unwrap();
    }
}

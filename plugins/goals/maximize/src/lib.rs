//! Goal plugin: predict, and maximise the predicted reward through the model.
//!
//! One network, two agents. The first half of the state is a model: it learns to predict. The second half acts:
//! it learns whatever makes the model predict a higher reward. To keep either from doing the other's work, the
//! gradient of each half reaches its own half of each input alone.
mod assemble;

use assemble::{GOALS, assemble};
use efference_sdk::tch::Tensor;
use efference_sdk::{
    Goal, GoalSetup, GradMask, GradPath, Loss, LossInput, ObservationLoss, Plugin, Prediction, Result,
    Transition, ensure,
};

efference_sdk::options! {
    /// Options of `maximize`.
    pub struct Options {
        /// What the error of an observation is multiplied with, beside that of the reward and the misprediction.
        #[schemars(range(min = 0.0))]
        pub observation_importance: f64 = 0.05,
        /// How the error of an observation is measured: "l1" or "l2".
        pub observation_loss: ObservationLoss = ObservationLoss::L2,
        /// Whether what is maximised is the model's prediction of reward and misprediction; else it is two features
        /// of the state's own.
        pub goals_for_actions: bool = true,
        /// How much of the misprediction is maximised beside the reward. Above 0 the agent looks for what it
        /// cannot predict, noise included; below 0 it avoids that.
        pub error_reward: f64 = 0.0,
    }
}

/// Minimises the error of predictions ([`Prediction`]) and maximises
///
/// ```text
/// goal = pred[2] + error_reward · pred[3]
/// ```
///
/// of each active stream. Let `m` be half the state's size. The input is cut into chunks of `m`; `first` is the
/// cell where the even chunks alone carry gradient, `second` the cell where the odd ones do. The next state is
/// `cat(first[:m], second[m:])`; with `goals_for_actions` its features 2 and 3 are what `second` has as features
/// 0 and 1, without gradient to the cell's parameters.
pub struct Maximize {
    prediction: Prediction,
    goals_for_actions: bool,
    error_reward: f64,
}

impl Plugin for Maximize {
    const NAME: &'static str = "maximize";
    const DESCRIPTION: &'static str =
        "Predict what is observed next, and act so that a high reward is predicted.";
    type Options = Options;
    type Kind = dyn Goal;

    fn new(options: Options, setup: &GoalSetup<'_>) -> Result<Self> {
        let state_size = setup.state_size;
        ensure!(
            state_size % 2 == 0 && state_size >= 2 * Prediction::RESERVED,
            "state.size is {state_size}, and must be an even number of at least {}: maximize splits the state in \
             two halves",
            2 * Prediction::RESERVED
        );
        let Options { observation_importance, observation_loss, goals_for_actions, error_reward } = options;
        ensure!(error_reward.is_finite(), "error_reward must be a finite number, and is {error_reward}");
        let prediction = Prediction { observation_importance, observation_loss };
        Ok(Maximize { prediction, goals_for_actions, error_reward })
    }
}

impl Goal for Maximize {
    fn reserved(&self) -> Result<i64> {
        Ok(Prediction::RESERVED)
    }

    fn transition(&mut self, cell: &dyn Transition, x: &Tensor) -> Result<Tensor> {
        let outs = cell.outs()?;
        let size = outs / 2;
        let width = x.size()[1];
        ensure!(
            width % size == 0,
            "maximize cuts the cell's input into chunks of {size} features, and {width} is no multiple of it"
        );
        let first = GradPath { outs: 0..size, mask: GradMask::EvenChunks { size }, frozen: false };
        let second = GradPath { outs: size..outs, mask: GradMask::OddChunks { size }, frozen: false };
        if !self.goals_for_actions {
            let halves = cell.evaluate(x, &[first, second])?;
            let [first, second] = &halves[..] else {
                efference_sdk::bail!("2 gradient paths were asked for, and {} were returned", halves.len());
            };
            return assemble(first, second, None);
        }
        let goals =
            GradPath { outs: 0..GOALS.end - GOALS.start, mask: GradMask::OddChunks { size }, frozen: true };
        let paths = cell.evaluate(x, &[first, second, goals])?;
        let [first, second, goals] = &paths[..] else {
            efference_sdk::bail!("3 gradient paths were asked for, and {} were returned", paths.len());
        };
        assemble(first, second, Some(goals))
    }

    fn loss(&mut self, input: &LossInput<'_>) -> Result<Loss> {
        let mut loss = Loss::default();
        let [reward, misprediction] = self.prediction.add_beside_goals(input, &mut loss)?;
        let goal = if self.error_reward == 0.0 {
            reward
        } else {
            reward.f_add(&misprediction.f_mul_scalar(self.error_reward)?)?
        };
        let streams = input.state.size()[0] as f64;
        loss.metric("goal", goal.f_detach()?.f_div_scalar(streams)?);
        loss.term("goal", goal.f_neg()?);
        Ok(loss)
    }

    fn replayable(&self) -> Result<bool> {
        Ok(true)
    }
}

efference_sdk::export! { goal: Maximize }

#[cfg(test)]
mod tests {
    use super::*;
    use efference_sdk::tch::Kind;
    use efference_sdk::{Cell, Layer, LayerSetup, Params, Random, Size};
    use efference_testkit::{LayersOf, Matrix, MemoryStore, PlainTransition, with_loss_input};

    /// One matrix, as a cell.
    struct Plain(Box<dyn Layer>);

    impl Cell for Plain {
        fn forward(&self, x: &Tensor, outs: std::ops::Range<i64>) -> Result<Tensor> {
            self.0.forward(x, outs)
        }
    }

    fn maximize(options: Options, size: i64) -> Result<Maximize> {
        let store = MemoryStore::new(0);
        let layers = LayersOf::<Matrix>::new("{}")?;
        let setup =
            GoalSetup { state_size: size, spaces: None, layers: &layers, params: Params::new(&store) };
        Maximize::new(options, &setup)
    }

    #[test]
    fn each_half_sends_its_gradient_to_its_own_half_and_goals_none_to_the_cell() {
        let (m, outs, ins) = (4, 8, 16);
        let store = MemoryStore::new(1);
        let setup = LayerSetup { size: Size { ins, outs }, params: Params::new(&store) };
        let matrix = Matrix::new(Default::default(), &setup).unwrap();
        let cell = Plain(Box::new(matrix));
        let weight = store.get("weight").unwrap();
        for goals_for_actions in [false, true] {
            let mut goal = maximize(Options { goals_for_actions, ..Options::default() }, outs).unwrap();
            let x = Random::new(2).normal(&[3, ins], 1.0).set_requires_grad(true);
            let transition = PlainTransition { cell: &cell, outs, parameters: &store };
            let y = Goal::transition(&mut goal, &transition, &x).unwrap();
            let plain = cell.forward(&x, 0..outs).unwrap();
            for out in 0..outs {
                let is_goal = goals_for_actions && (2..4).contains(&out);
                let value = if is_goal { out - 2 } else { out };
                assert!(y.select(1, out).allclose(&plain.select(1, value), 1e-6, 1e-6, false));
                let sum = y.select(1, out).sum(Kind::Float);
                let gradients = Tensor::run_backward(&[sum], &[&x, &weight], true, false);
                let arrives = |chunk: i64| gradients[0].narrow(1, chunk * m, m).any().int64_value(&[]) == 1;
                let second = out >= m || is_goal;
                assert_eq!([0, 1, 2, 3].map(arrives), [!second, second, !second, second], "output {out}");
                let weights = gradients[1].defined() && gradients[1].any().int64_value(&[]) == 1;
                assert_eq!(weights, !is_goal, "output {out}");
            }
        }
    }

    #[test]
    fn the_goal_is_the_predicted_reward_and_misprediction() {
        let mut goal = maximize(Options { error_reward: 0.5, ..Options::default() }, 8).unwrap();
        let state = Tensor::from_slice(&[0.0f32, -1.0, 0.25, 0.5, 0.0, 0.0, 0.0, 0.0]).reshape([1, 8]);
        let state = state.set_requires_grad(true);
        let target = state.detach();
        let observation = target.narrow(1, 0, 5);
        let loss = with_loss_input(&state, &target, &observation, |input| goal.loss(input)).unwrap();
        let term = &loss.terms.iter().find(|t| t.name == "goal").unwrap().value;
        assert_eq!(term.double_value(&[]), -0.5);
        let gradient = Tensor::run_backward(&[term], &[&state], true, false).remove(0);
        assert_eq!(
            Vec::<f32>::try_from(gradient.flatten(0, -1)).unwrap(),
            [0., 0., -1., -0.5, 0., 0., 0., 0.]
        );
    }

    #[test]
    fn a_state_that_has_no_halves_is_an_error() {
        for size in [7, 9, 6] {
            assert!(maximize(Options::default(), size).err().unwrap().to_string().contains("even number"));
        }
        let mut goal = maximize(Options::default(), 8).unwrap();
        let store = MemoryStore::new(1);
        let setup = LayerSetup { size: Size { ins: 10, outs: 8 }, params: Params::new(&store) };
        let matrix = Matrix::new(Default::default(), &setup).unwrap();
        let cell = Plain(Box::new(matrix));
        let x = Random::new(2).normal(&[1, 10], 1.0);
        let transition = PlainTransition { cell: &cell, outs: 8, parameters: &store };
        let error = Goal::transition(&mut goal, &transition, &x).unwrap_err();
        assert!(error.to_string().contains("no multiple"), "{error}");
    }
}

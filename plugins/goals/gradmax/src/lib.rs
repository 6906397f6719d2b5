//! Goal plugin: predict, and follow the gradient of a learned reward.
use efference_sdk::tch::{Kind, Tensor};
use efference_sdk::{
    Goal, GoalSetup, Loss, LossInput, Nonlinearity, ObservationLoss, ParamStore, Plugin, Prediction, Result,
    Size, Stack, StackSpec, ensure, tch,
};

efference_sdk::options! {
    /// Options of `gradmax`.
    pub struct Options {
        /// What the error of an observation is multiplied with, beside that of the reward and the misprediction.
        #[schemars(range(min = 0.0))]
        pub observation_importance: f64 = 0.05,
        /// How the error of an observation is measured: "l1" or "l2".
        pub observation_loss: ObservationLoss = ObservationLoss::L2,
        /// How many layers the model of the reward has.
        #[schemars(range(min = 1, max = 4_096))]
        pub layers: i64 = 2,
        /// What stands between the layers of the model.
        pub nonlinearity: Nonlinearity = Nonlinearity::Softsign,
        /// How slow the copy is that the gradient comes from: its share that stays at each step, in 0…1.
        #[schemars(range(min = 0.0, max = 1.0))]
        pub momentum: f64 = 0.99,
        /// What the reward that is maximised is multiplied with.
        pub strength: f64 = 1.0,
        /// Whether the model's own error changes the state too, so that the reward can be predicted from it.
        pub pred_gradient: bool = true,
    }
}

/// Minimises the error of predictions ([`Prediction`]), learns a model of the reward from the state, and maximises
/// what a slow copy of the model says of the state. At each step, with `x` the states and `r` the reward that came:
///
/// ```text
/// target = momentum · target + (1 − momentum) · model
/// reward_model = ½ · sum((model(x) − r)²)              streams without a reward left out
/// reward       = −strength · sum(target(x))            without gradient to target
/// ```
///
/// Parameters: those of the stacks, under `model` and, as buffers, under `target`.
pub struct GradMax {
    prediction: Prediction,
    momentum: f64,
    strength: f64,
    pred_gradient: bool,
    model: Stack,
    target: Stack,
    /// Parameters of the model, each with its counterpart in the copy.
    pairs: Vec<(Tensor, Tensor)>,
}

impl Plugin for GradMax {
    const NAME: &'static str = "gradmax";
    const DESCRIPTION: &'static str =
        "Predict what is observed next, and follow the gradient of a learned reward.";
    type Options = Options;
    type Kind = dyn Goal;

    fn new(options: Options, setup: &GoalSetup<'_>) -> Result<Self> {
        let GoalSetup { state_size, layers, params, .. } = setup;
        let (state_size, layers) = (*state_size, *layers);
        ensure!(
            state_size > Prediction::RESERVED,
            "state.size is {state_size}, and must be above {}: so many features are reserved for the reward and \
             the misprediction",
            Prediction::RESERVED
        );
        ensure!(
            (0.0..=1.0).contains(&options.momentum),
            "momentum must lie in 0…1, and is {}",
            options.momentum
        );
        let spec = StackSpec {
            size: Size { ins: state_size, outs: 1 },
            layers: options.layers,
            nonlinearity: options.nonlinearity,
            zero_at_start: false,
        };
        let (trained, frozen) = (params.scope("model"), params.scope("target").frozen());
        let model = Stack::new(spec, layers, &trained)?;
        let target = Stack::new(spec, layers, &frozen)?;
        let pairs = trained.tensors()?.into_iter().zip(frozen.tensors()?).map(|((_, m), (_, t))| (m, t));
        // Stand-ins have no values to follow.
        let mut pairs: Vec<_> = if params.only_counts()? { Vec::new() } else { pairs.collect() };
        let _no_grad = tch::no_grad_guard();
        for (model, target) in &mut pairs {
            target.f_copy_(model)?;
        }
        let Options { observation_importance, observation_loss, momentum, strength, pred_gradient, .. } =
            options;
        let prediction = Prediction { observation_importance, observation_loss };
        Ok(GradMax { prediction, momentum, strength, pred_gradient, model, target, pairs })
    }
}

impl Goal for GradMax {
    fn reserved(&self) -> Result<i64> {
        Ok(Prediction::RESERVED)
    }

    fn loss(&mut self, input: &LossInput<'_>) -> Result<Loss> {
        let mut loss = Loss::default();
        {
            let _no_grad = tch::no_grad_guard();
            for (model, target) in &mut self.pairs {
                let _ = target.f_lerp_(model, 1.0 - self.momentum)?;
            }
        }
        self.prediction.add(input, &mut loss)?;

        let reward = input.moment.observation.f_narrow(1, 0, 1)?;
        let absent = reward.f_isnan()?;
        let x = if self.pred_gradient { input.state.shallow_clone() } else { input.state.f_detach()? };
        let miss = self.model.forward(&x)?.f_sub(&reward)?.f_masked_fill(&absent, 0.0)?;
        loss.term("reward_model", miss.f_square()?.f_sum(Kind::Float)?.f_mul_scalar(0.5)?);

        // The gradient of the copy is taken at once, since the copy has moved on by the time the trainer asks for
        // it: a term of this gradient and of the copy's value stands for the copy.
        let now = input.state.f_detach()?;
        let (promised, gradient) = tch::with_grad(|| -> Result<_> {
            let x = now.f_detach()?.set_requires_grad(true);
            let promised = self.target.forward(&x)?;
            let gradient =
                Tensor::f_run_backward(&[promised.f_sum(Kind::Float)?], &[&x], false, false)?.remove(0);
            Ok((promised.f_detach()?, gradient))
        })?;
        loss.metric("goal", promised.f_mean(Kind::Float)?);
        let change = input.state.f_sub(&now)?.f_mul(&gradient)?.f_sum(Kind::Float)?;
        let reward = change.f_add(&promised.f_sum(Kind::Float)?)?;
        loss.term("reward", reward.f_mul_scalar(-self.strength)?);
        Ok(loss)
    }

    fn replayable(&self) -> Result<bool> {
        Ok(true)
    }
}

efference_sdk::export! { goal: GradMax }

#[cfg(test)]
mod tests {
    use super::*;
    use efference_sdk::{ParamStore, Params, Random};
    use efference_testkit::{LayersOf, Matrix, MemoryStore, with_loss_input};

    const SIZE: i64 = 8;

    fn gradmax(options: Options) -> (MemoryStore, GradMax) {
        let store = MemoryStore::new(3);
        let layers = LayersOf::<Matrix>::new("{}").unwrap();
        let setup =
            GoalSetup { state_size: SIZE, spaces: None, layers: &layers, params: Params::new(&store) };
        let goal = GradMax::new(options, &setup).unwrap();
        (store, goal)
    }

    fn loss(goal: &mut GradMax, state: &Tensor, rewards: &[f32]) -> Loss {
        let reward = Tensor::from_slice(rewards).reshape([-1, 1]);
        let missing = reward.full_like(f64::NAN).expand([-1, 3], false);
        let observation = Tensor::cat(&[reward, missing], 1);
        with_loss_input(state, &state.detach(), &observation, |input| goal.loss(input)).unwrap()
    }

    fn term(loss: &Loss, name: &str) -> Tensor {
        loss.terms.iter().find(|t| t.name == name).unwrap().value.shallow_clone()
    }

    #[test]
    fn the_copy_begins_as_the_model_and_follows_it_slowly() {
        let (store, mut goal) = gradmax(Options { momentum: 0.9, ..Options::default() });
        let (model, target) = (store.list("model.").unwrap(), store.list("target.").unwrap());
        assert_eq!((model.len(), target.len()), (4, 4));
        for ((_, m), (_, t)) in model.iter().zip(&target) {
            assert!(m.equal(t) && m.requires_grad() && !t.requires_grad());
        }
        let old = store.get("model.mult.0").unwrap().double_value(&[]);
        store.set("model.mult.0", &Tensor::from(old as f32 + 1.0)).unwrap();
        loss(&mut goal, &Random::new(1).normal(&[1, SIZE], 1.0), &[0.0]);
        let copy = store.get("target.mult.0").unwrap().double_value(&[]);
        assert!((copy - old - 0.1).abs() < 1e-5);
    }

    #[test]
    fn a_reward_that_is_absent_teaches_the_model_nothing() {
        let (store, mut goal) = gradmax(Options::default());
        let state = Random::new(1).normal(&[2, SIZE], 1.0);
        let both = loss(&mut goal, &state, &[0.3, f32::NAN]);
        let one = loss(&mut goal, &state.narrow(0, 0, 1), &[0.3]);
        let (both, one) = (term(&both, "reward_model"), term(&one, "reward_model"));
        assert!(both.allclose(&one, 1e-6, 1e-6, false));
        let weight = store.get("model.layer.0.weight").unwrap();
        let gradient = |loss: &Tensor| Tensor::run_backward(&[loss], &[&weight], false, false).remove(0);
        assert!(gradient(&both).allclose(&gradient(&one), 1e-5, 1e-6, false));
    }

    #[test]
    fn losses_of_several_steps_can_be_backpropagated_together() {
        let options = Options { pred_gradient: false, ..Options::default() };
        let gradients = |together: bool| -> Vec<Tensor> {
            let (store, mut goal) = gradmax(options.clone());
            let states: Vec<_> =
                (0..3).map(|i| Random::new(i).normal(&[2, SIZE], 1.0).set_requires_grad(true)).collect();
            let mut terms = Vec::new();
            for state in &states {
                let reward = term(&loss(&mut goal, state, &[0.3, 0.1]), "reward");
                // The copy follows a model that changes.
                store.set("model.mult.0", &Tensor::from(9.0_f32)).unwrap();
                if together { terms.push(reward) } else { reward.backward() }
            }
            terms.into_iter().for_each(|reward| reward.backward());
            states.iter().map(Tensor::grad).collect()
        };
        for (one, other) in gradients(true).iter().zip(&gradients(false)) {
            assert!(one.equal(other) && one.any().int64_value(&[]) == 1);
        }
    }

    #[test]
    fn the_models_error_reaches_the_state_only_if_that_was_asked_for() {
        for pred_gradient in [true, false] {
            let (_store, mut goal) = gradmax(Options { pred_gradient, ..Options::default() });
            let state = Random::new(1).normal(&[1, SIZE], 1.0).set_requires_grad(true);
            let loss = loss(&mut goal, &state, &[0.3]);
            for (name, expected) in [("reward_model", pred_gradient), ("reward", true)] {
                let total = term(&loss, name) + state.sum(Kind::Float) * 0.0;
                let gradient = Tensor::run_backward(&[total], &[&state], true, false).remove(0);
                assert_eq!(gradient.any().int64_value(&[]) == 1, expected, "{name}");
            }
        }
    }
}

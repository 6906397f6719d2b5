//! The loss of a prediction.
use efference_sdk::tch::{self, Kind, Tensor};
use efference_sdk::{Loss, ObservationLoss, Prediction};
use efference_testkit::with_loss_input;

/// The loss of `prediction` for a state, what it should be, and what was observed.
fn loss(
    prediction: Prediction,
    state: &Tensor,
    target: &Tensor,
    observation: &Tensor,
) -> efference_sdk::Result<Loss> {
    let mut loss = Loss::default();
    with_loss_input(state, target, observation, |input| prediction.add(input, &mut loss))?;
    Ok(loss)
}

#[test]
fn a_stream_that_observes_what_it_predicted_has_no_error_and_a_misprediction_of_minus_1() {
    let state = Tensor::from_slice(&[0.5f32, -1.0, 0.1, 0.2, 0.3, -0.4]).reshape([1, 6]);
    let prediction = Prediction { observation_importance: 3.0, observation_loss: ObservationLoss::L2 };
    let loss = loss(prediction, &state, &state.copy(), &state.narrow(1, 0, 5)).unwrap();
    assert_eq!(loss.total().unwrap().unwrap().double_value(&[]), 0.0);
    let metric = |name| loss.metrics.iter().find(|(n, _)| n == name).unwrap().1.double_value(&[]);
    assert_eq!(metric("error"), 0.0);
    assert_eq!(metric("misprediction"), -1.0);
}

#[test]
fn only_the_reward_and_the_misprediction_of_the_reserved_slots_get_gradient() {
    let state =
        Tensor::from_slice(&[0.5f32, 0.1, 0.3, 0.4, 0.3, -0.4]).reshape([1, 6]).set_requires_grad(true);
    let target = Tensor::from_slice(&[0.1f32, 0.0, 0.0, 0.0, 0.5, -0.4]).reshape([1, 6]);
    for (kind, error) in [(ObservationLoss::L1, 1.4), (ObservationLoss::L2, 0.23)] {
        let prediction = Prediction { observation_importance: 0.0, observation_loss: kind };
        let loss = loss(prediction, &state, &target, &target).unwrap();
        assert!((loss.metrics[0].1.double_value(&[]) - error).abs() < 1e-6);
        let grad = Tensor::run_backward(&[loss.total().unwrap().unwrap()], &[&state], false, false).remove(0);
        let grad: Vec<f32> = grad.flatten(0, -1).try_into().unwrap();
        assert!((grad[0] - 0.8).abs() < 1e-6);
        assert!(grad[1] != 0.0 && grad[4] != 0.0);
        assert_eq!((grad[2], grad[3], grad[5]), (0.0, 0.0, 0.0));
    }
}

#[test]
fn an_observation_longer_than_the_state_is_an_error_that_says_what_to_do() {
    let zeros = |n| Tensor::zeros([1, n], (Kind::Float, tch::Device::Cpu));
    let prediction = Prediction { observation_importance: 1.0, observation_loss: ObservationLoss::L2 };
    let error = loss(prediction, &zeros(6), &zeros(6), &zeros(7)).unwrap_err().to_string();
    assert!(error.contains("7 elements") && error.contains("state.size"), "{error}");
}

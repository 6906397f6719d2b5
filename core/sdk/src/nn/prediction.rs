//! The loss of a prediction, shared by goals that predict.
use super::prediction_loss::prediction_loss;
use crate::autograd::is_contiguous_cpu_f32;
use crate::{Loss, LossInput, Result, ensure};
use tch::{Kind, Tensor};

crate::options! {
    /// How far a predicted number is from the observed one.
    pub enum ObservationLoss {
        /// The distance.
        L1,
        /// Half the distance, squared.
        L2,
    }
}

/// The loss of a prediction, and of what it says of itself.
///
/// The first four numbers of a state are reserved, and no observation of the world stands there:
///
/// | number | what it is |
/// |---|---|
/// | 0 | the score: observed where the environment gives one |
/// | 1 | the misprediction: how wrong this prediction will turn out to be |
/// | 2, 3 | what number 0 and number 1 will be, for goals that maximise these |
///
/// With `pred` the state before an observation and `got` the same with the observation written over its front
/// and clamped to ±1, both of a stream, and `len` the length of the observation, reserved numbers included:
///
/// ```text
/// error = sum of ½·(pred − got)², or of |pred − got|            without gradient to the reserved numbers
/// m     = min(e, e / 10)   where e = 11 · error / len − 1
/// loss  = observation_importance · error + (pred[0] − got[0])² + (pred[1] − m)²
/// ```
///
/// summed over the streams. `got` carries no gradient; `m` does, by way of `error`: a prediction is also drawn
/// to where it is as wrong as it said.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prediction {
    /// What an observation's error is multiplied with; at least 0.
    pub observation_importance: f64,
    /// How the error of an observation is measured.
    pub observation_loss: ObservationLoss,
}

impl Prediction {
    /// How many numbers at the front of the state are reserved.
    pub const RESERVED: i64 = 4;

    /// Adds the terms `observation` and `reserved` (the score and the misprediction), and, as means over the live
    /// streams, the metrics `error` and `misprediction`.
    pub fn add(&self, input: &LossInput<'_>, loss: &mut Loss) -> Result<()> {
        self.add_beside_goals(input, loss).map(drop)
    }

    /// The same, and answers with what a goal may maximise: the sums over the live streams of the states' numbers 2 and
    /// 3, which carry gradient.
    pub fn add_beside_goals(&self, input: &LossInput<'_>, loss: &mut Loss) -> Result<[Tensor; 2]> {
        let size = input.state.size()[1];
        let observed = input.observation.size()[1];
        ensure!(
            (Self::RESERVED..=size).contains(&observed),
            "an observation has {observed} numbers with the reserved ones, and can have {} to {size} here: choose \
             a larger state.size",
            Self::RESERVED
        );
        if is_contiguous_cpu_f32(input.state) && is_contiguous_cpu_f32(input.got) {
            let squared = self.observation_loss == ObservationLoss::L2;
            let [observation, reserved, score, foreseen, error, misprediction] =
                prediction_loss(input.state, input.got, observed, self.observation_importance, squared)?;
            loss.term("observation", observation);
            loss.term("reserved", reserved);
            loss.metric("error", error);
            loss.metric("misprediction", misprediction);
            return Ok([score, foreseen]);
        }
        self.add_by_libtorch(input, size, observed, loss)?;
        let sum = |number| -> Result<Tensor> { Ok(input.state.f_select(1, number)?.f_sum(Kind::Float)?) };
        Ok([sum(2)?, sum(3)?])
    }

    /// The same on any device.
    fn add_by_libtorch(
        &self,
        input: &LossInput<'_>,
        size: i64,
        observed: i64,
        loss: &mut Loss,
    ) -> Result<()> {
        let difference = input.state.f_sub(input.got)?;
        let reserved = difference.f_narrow(1, 0, Self::RESERVED)?;
        let rest = difference.f_narrow(1, Self::RESERVED, size - Self::RESERVED)?;
        let error = self.distance(&rest)?.f_add(&self.distance(&reserved.f_detach()?)?)?;

        let relative = error.f_mul_scalar(11.0 / observed as f64)?.f_sub_scalar(1.0)?;
        let misprediction = relative.f_minimum(&relative.f_mul_scalar(0.1)?)?;
        let score = reserved.f_select(1, 0)?.f_square()?;
        let foreseen = input.state.f_select(1, 1)?.f_sub(&misprediction)?.f_square()?;

        loss.term("observation", error.f_sum(Kind::Float)?.f_mul_scalar(self.observation_importance)?);
        loss.term("reserved", score.f_add(&foreseen)?.f_sum(Kind::Float)?);
        loss.metric("error", error.f_detach()?.f_mean(Kind::Float)?);
        loss.metric("misprediction", misprediction.f_detach()?.f_mean(Kind::Float)?);
        Ok(())
    }

    /// One number a row.
    fn distance(&self, difference: &Tensor) -> Result<Tensor> {
        let columns: &[i64] = &[1];
        Ok(match self.observation_loss {
            ObservationLoss::L1 => difference.f_abs()?.f_sum_dim_intlist(columns, false, Kind::Float)?,
            ObservationLoss::L2 => {
                difference.f_square()?.f_sum_dim_intlist(columns, false, Kind::Float)?.f_mul_scalar(0.5)?
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_that_sees_what_it_predicted_has_no_error_and_a_misprediction_of_minus_1() {
        let state = Tensor::from_slice(&[0.5f32, -1.0, 0.1, 0.2, 0.3, -0.4]).reshape([1, 6]);
        let mut loss = Loss::default();
        let prediction = Prediction { observation_importance: 3.0, observation_loss: ObservationLoss::L2 };
        let input = LossInput {
            state: &state,
            got: &state.copy(),
            observation: &state.narrow(1, 0, 5),
            episode_ends: &[false],
        };
        prediction.add(&input, &mut loss).unwrap();
        assert_eq!(loss.total().unwrap().unwrap().double_value(&[]), 0.0);
        let metric = |name| loss.metrics.iter().find(|(n, _)| n == name).unwrap().1.double_value(&[]);
        assert_eq!(metric("error"), 0.0);
        assert_eq!(metric("misprediction"), -1.0);
    }

    #[test]
    fn only_the_score_and_the_misprediction_of_the_reserved_numbers_get_gradient() {
        let state =
            Tensor::from_slice(&[0.5f32, 0.1, 0.3, 0.4, 0.3, -0.4]).reshape([1, 6]).set_requires_grad(true);
        let got = Tensor::from_slice(&[0.1f32, 0.0, 0.0, 0.0, 0.5, -0.4]).reshape([1, 6]);
        for (kind, error) in [(ObservationLoss::L1, 1.4), (ObservationLoss::L2, 0.23)] {
            let mut loss = Loss::default();
            let prediction = Prediction { observation_importance: 0.0, observation_loss: kind };
            let input = LossInput { state: &state, got: &got, observation: &got, episode_ends: &[false] };
            prediction.add(&input, &mut loss).unwrap();
            assert!((loss.metrics[0].1.double_value(&[]) - error).abs() < 1e-6);
            let grad =
                Tensor::run_backward(&[loss.total().unwrap().unwrap()], &[&state], false, false).remove(0);
            let grad: Vec<f32> = grad.flatten(0, -1).try_into().unwrap();
            assert!((grad[0] - 0.8).abs() < 1e-6);
            assert!(grad[1] != 0.0 && grad[4] != 0.0);
            assert_eq!((grad[2], grad[3], grad[5]), (0.0, 0.0, 0.0));
        }
    }

    #[test]
    fn an_observation_longer_than_the_state_is_an_error_that_names_the_cure() {
        let state = Tensor::zeros([1, 6], (Kind::Float, tch::Device::Cpu));
        let observation = Tensor::zeros([1, 7], (Kind::Float, tch::Device::Cpu));
        let input =
            LossInput { state: &state, got: &state, observation: &observation, episode_ends: &[false] };
        let prediction = Prediction { observation_importance: 1.0, observation_loss: ObservationLoss::L2 };
        let error = prediction.add(&input, &mut Loss::default()).unwrap_err().to_string();
        assert!(error.contains("7 numbers") && error.contains("state.size"), "{error}");
    }
}

//! The loss of a prediction, shared by goals that predict.
use super::prediction_loss::prediction_loss;
use crate::autograd::{is_contiguous_cpu_f32, shape2};
use crate::{Loss, LossInput, Result, bail, ensure};
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
/// The first four elements of a state are reserved slots; the observation of the world follows them:
///
/// | slot | what it is |
/// |---|---|
/// | 0 | the reward: observed where the environment sends one |
/// | 1 | the misprediction: how wrong this prediction will turn out to be |
/// | 2, 3 | what slot 0 and slot 1 will be, for goals that maximise these |
///
/// With `pred` the state before an observation and `target` the same with the observation written over its front
/// and limited to ±1, both of a stream, and `len` the length of the observation, reserved slots included:
///
/// ```text
/// error = sum of ½·(pred − target)², or of |pred − target|      over the whole state; no gradient to the reserved slots
/// m     = min(e, e / 10)   where e = 11 · error / len − 1
/// loss  = observation_importance · error + (pred[0] − target[0])² + (pred[1] − m)²
/// ```
///
/// summed over the streams. The part of the state behind the observation counts too: there `target` is the state itself,
/// limited to ±1, so that the error is 0 until a number leaves that range, and then draws it back. `target` carries no
/// gradient; `m` does, by way of `error`: a prediction is also drawn to where it is as wrong as it said.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prediction {
    /// What an observation's error is multiplied with; at least 0.
    pub observation_importance: f64,
    /// How the error of an observation is measured.
    pub observation_loss: ObservationLoss,
}

impl Prediction {
    /// How many slots at the front of the state are reserved.
    pub const RESERVED: i64 = 4;

    /// Adds the terms `observation` and `reserved` (the reward and the misprediction), and, as means over the active
    /// streams, the metrics `error` and `misprediction`.
    pub fn add(&self, input: &LossInput<'_>, loss: &mut Loss) -> Result<()> {
        self.add_beside_goals(input, loss).map(drop)
    }

    /// The same, and returns what a goal may maximise: the sums over the active streams of the states' slots 2 and 3,
    /// which carry gradient.
    pub fn add_beside_goals(&self, input: &LossInput<'_>, loss: &mut Loss) -> Result<[Tensor; 2]> {
        let width = |t: &Tensor| match shape2(t) {
            Some([_, width]) => Ok(width),
            None => bail!("a state or an observation of shape {:?} has no rows", t.size()),
        };
        let (size, observed) = (width(input.state)?, width(input.moment.observation)?);
        ensure!(
            (Self::RESERVED..=size).contains(&observed),
            "an observation has {observed} elements with the reserved slots, and can have {} to {size} here: choose \
             a larger state.size",
            Self::RESERVED
        );
        if is_contiguous_cpu_f32(input.state) && is_contiguous_cpu_f32(input.target) {
            let squared = self.observation_loss == ObservationLoss::L2;
            let [observation, reserved, goal, foreseen, error, misprediction] =
                prediction_loss(input.state, input.target, observed, self.observation_importance, squared)?;
            loss.term("observation", observation);
            loss.term("reserved", reserved);
            loss.metric("error", error);
            loss.metric("misprediction", misprediction);
            return Ok([goal, foreseen]);
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
        let difference = input.state.f_sub(input.target)?;
        let reserved = difference.f_narrow(1, 0, Self::RESERVED)?;
        let rest = difference.f_narrow(1, Self::RESERVED, size - Self::RESERVED)?;
        let error = self.distance(&rest)?.f_add(&self.distance(&reserved.f_detach()?)?)?;

        let relative = error.f_mul_scalar(11.0 / observed as f64)?.f_sub_scalar(1.0)?;
        let misprediction = relative.f_minimum(&relative.f_mul_scalar(0.1)?)?;
        let reward = reserved.f_select(1, 0)?.f_square()?;
        let foreseen = input.state.f_select(1, 1)?.f_sub(&misprediction)?.f_square()?;

        loss.term("observation", error.f_sum(Kind::Float)?.f_mul_scalar(self.observation_importance)?);
        loss.term("reserved", reward.f_add(&foreseen)?.f_sum(Kind::Float)?);
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

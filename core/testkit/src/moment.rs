//! What comes from an environment, made by hand.
use efference_sdk::tch::{Device, Kind, Tensor};
use efference_sdk::{Batch, LossInput, Moment, StepType};

/// The parts of a [`Moment`], owned: streams `0, 1, …`, without rewards, in the middle of an episode, before which no
/// action was done, unless they are changed.
#[derive(Debug)]
pub struct OwnedMoment {
    /// The streams.
    pub streams: Vec<u64>,
    /// (rows, length)
    pub observation: Tensor,
    /// One a row.
    pub reward: Vec<f32>,
    /// (rows, width)
    pub action: Tensor,
    /// One a row.
    pub step_types: Vec<StepType>,
}

impl OwnedMoment {
    /// The moment at which this was observed, (rows, length).
    pub fn of(observation: &Tensor) -> Self {
        let rows = observation.size()[0];
        OwnedMoment {
            streams: (0..rows as u64).collect(),
            observation: observation.shallow_clone(),
            reward: vec![f32::NAN; rows as usize],
            action: Tensor::zeros([rows, 0], (Kind::Float, Device::Cpu)),
            step_types: vec![StepType::MIDDLE; rows as usize],
        }
    }

    /// The same for these streams.
    pub fn of_streams(streams: &[u64], observation: &Tensor) -> Self {
        OwnedMoment { streams: streams.to_vec(), ..OwnedMoment::of(observation) }
    }

    /// The moment.
    pub fn get(&self) -> Moment<'_> {
        Moment {
            streams: &self.streams,
            observation: &self.observation,
            reward: &self.reward,
            action: &self.action,
            step_types: &self.step_types,
        }
    }

    /// A batch in which no other stream begins or ends.
    pub fn batch(&self) -> Batch<'_> {
        Batch { moment: self.get(), started: &[], ended: &[] }
    }
}

/// Calls `f` with the input of a loss.
pub fn with_loss_input<R>(
    state: &Tensor,
    target: &Tensor,
    observation: &Tensor,
    f: impl FnOnce(&LossInput<'_>) -> R,
) -> R {
    let moment = OwnedMoment::of(observation);
    let moment = moment.get();
    f(&LossInput { moment: &moment, state, target, next: None, unroll: 0 })
}

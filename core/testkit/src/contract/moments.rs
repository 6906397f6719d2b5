//! Moments as an environment would send them, for goals: some streams, with rewards and actions, whose episodes end.
use crate::OwnedMoment;
use efference_sdk::tch::Tensor;
use efference_sdk::{ActionGroup, Random, Result, RewardRange, Spaces, StepType};

/// Frames of an episode.
const EPISODE: usize = 13;

/// What the environment observes and wants.
pub(super) fn spaces() -> Spaces {
    Spaces { observation: 5, actions: vec![ActionGroup::choice(3)], reward: RewardRange::default() }
}

/// So many moments of 2 streams, behind so many reserved slots.
pub(super) fn moments(count: usize, reserved: i64, seed: u64) -> Result<Vec<OwnedMoment>> {
    let mut random = Random::new(seed);
    let (observed, width) = (spaces().observation, spaces().action_width());
    let mut moments = Vec::new();
    for number in 0..count {
        let step_type = match number % EPISODE {
            0 => StepType::FIRST,
            last if last == EPISODE - 1 && number % 2 == 0 => StepType::TERMINATED,
            last if last == EPISODE - 1 => StepType::TRUNCATED,
            _ => StepType::MIDDLE,
        };
        let is_first = step_type == StepType::FIRST;
        let (mut rows, mut actions, mut rewards) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..2 {
            let reward = if is_first { f32::NAN } else { random.unit() as f32 - 0.5 };
            let slot = |slot| if slot == 0 { reward } else { f32::NAN };
            rows.extend((0..reserved).map(slot));
            rows.extend((0..observed).map(|_| random.unit() as f32 * 2.0 - 1.0));
            let chosen = random.below(width as u64) as usize;
            let action = |choice| if is_first { f32::NAN } else { f32::from(u8::from(choice == chosen)) };
            actions.extend((0..width).map(action));
            rewards.push(reward);
        }
        moments.push(OwnedMoment {
            reward: rewards,
            action: Tensor::f_from_slice(&actions)?.f_reshape([2, width as i64])?,
            step_types: vec![step_type; 2],
            ..OwnedMoment::of_streams(
                &[0, 1],
                &Tensor::f_from_slice(&rows)?.f_reshape([2, reserved + observed as i64])?,
            )
        });
    }
    Ok(moments)
}

//! Return and length of episodes.
use efference_sdk::StepType;
use std::collections::HashMap;

/// An episode that has ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Episode {
    /// The sum of its rewards.
    pub total: f64,
    /// Its transitions: its frames less the first.
    pub length: u64,
}

/// The episodes that are going on, one a stream.
#[derive(Debug, Default)]
pub(super) struct Episodes {
    of: HashMap<u64, Episode>,
}

impl Episodes {
    /// Takes a frame; returns the episode that ends with it. An episode that was under way when the stream began counts
    /// from there.
    pub(super) fn observe(&mut self, stream: u64, step_type: StepType, reward: f32) -> Option<Episode> {
        let begins = step_type.is_first() || !self.of.contains_key(&stream);
        let episode = self.of.entry(stream).or_insert(Episode { total: 0.0, length: 0 });
        if begins {
            *episode = Episode { total: 0.0, length: 0 };
        } else {
            episode.length += 1;
        }
        if !reward.is_nan() {
            episode.total += f64::from(reward);
        }
        if step_type.is_last() { self.of.remove(&stream) } else { None }
    }

    /// The episodes that are going on.
    pub(super) fn all(&self) -> impl Iterator<Item = (u64, Episode)> {
        self.of.iter().map(|(stream, episode)| (*stream, *episode))
    }

    /// Goes on with an episode.
    pub(super) fn restore(&mut self, stream: u64, episode: Episode) {
        self.of.insert(stream, episode);
    }

    /// Forgets a stream that has ended.
    pub(super) fn end(&mut self, stream: u64) {
        self.of.remove(&stream);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rewards_add_up_from_the_first_frame_to_the_last() {
        let mut episodes = Episodes::default();
        let none = f32::NAN;
        for _ in 0..2 {
            assert_eq!(episodes.observe(1, StepType::FIRST, none), None);
            assert_eq!(episodes.observe(2, StepType::MIDDLE, 9.0), None);
            assert_eq!(episodes.observe(1, StepType::MIDDLE, 0.5), None);
            let ended = episodes.observe(1, StepType::TERMINATED, 1.0);
            assert_eq!(ended, Some(Episode { total: 1.5, length: 2 }));
        }
        episodes.observe(1, StepType::FIRST, none);
        episodes.end(1);
        episodes.observe(1, StepType::FIRST, none);
        let ended = episodes.observe(1, StepType::TRUNCATED, -1.0);
        assert_eq!(ended, Some(Episode { total: -1.0, length: 1 }));
    }
}

//! The frames of one step, and the tensors that a trainer gets of them.
use crate::agent::check_room;
use efference_sdk::{
    ActionGroup, Frame, Frames, Result, RewardRange, Spaces, StepType, action_width, bail, ensure,
};
use std::collections::BTreeSet;

/// A stream that observed something in this step.
#[derive(Debug, Clone)]
pub(super) struct Active {
    pub(super) stream: u64,
    /// What the environment sent; absent is NaN.
    pub(super) reward: f32,
    pub(super) step_type: StepType,
    /// Places in [`FrameBuffer::observations`].
    start: usize,
    end: usize,
    /// Places in [`FrameBuffer::groups`].
    groups_start: usize,
    groups_end: usize,
}

/// What came since the last step. Buffers are kept from step to step.
#[derive(Debug, Default)]
pub(super) struct FrameBuffer {
    /// What the environment said of all its streams.
    spaces: Option<Spaces>,
    known: BTreeSet<u64>,
    /// Streams whose last frame was the last of an episode.
    episode_over: BTreeSet<u64>,
    /// Streams that are gone, which the next step is to say.
    gone: Vec<u64>,
    observations: Vec<f32>,
    groups: Vec<ActionGroup>,
    pub(super) active: Vec<Active>,
    pub(super) started: Vec<u64>,
    pub(super) ended: Vec<u64>,
    pub(super) closed: bool,
    /// What the environment did against the contract.
    fault: Option<String>,
    reported: Reported,
}

/// What was reported already.
#[derive(Debug, Default)]
struct Reported {
    observation: bool,
    reward: bool,
}

impl Frames for FrameBuffer {
    fn begin(&mut self, stream: u64) -> Result<()> {
        if self.known.insert(stream) {
            self.started.push(stream);
        }
        Ok(())
    }

    fn frame(&mut self, frame: Frame<'_>) -> Result<()> {
        self.begin(frame.stream)?;
        let Frame { stream, observation, actions, reward, step_type } = frame;
        if self.active.iter().any(|a| a.stream == stream) {
            self.fault = Some(format!(
                "sent two frames of stream {stream} in one poll; it must wait for `act` in between"
            ));
            return Ok(());
        }
        if self.episode_over.remove(&stream) && !step_type.is_first() {
            self.fault = Some(format!(
                "sent a frame of stream {stream} that is not the first of an episode, and the one before was the last \
                 of an episode"
            ));
        }
        if step_type.is_last() {
            self.episode_over.insert(stream);
        }
        let (start, groups_start) = (self.observations.len(), self.groups.len());
        self.take_observation(stream, observation);
        self.groups.extend_from_slice(actions);
        let reward = self.take_reward(stream, reward);
        self.active.push(Active {
            stream,
            reward,
            step_type,
            start,
            end: self.observations.len(),
            groups_start,
            groups_end: self.groups.len(),
        });
        Ok(())
    }

    fn end(&mut self, stream: u64) -> Result<()> {
        if !self.known.remove(&stream) {
            return Ok(());
        }
        self.episode_over.remove(&stream);
        // A stream that began and ended between two steps was never there for the trainer.
        match self.started.iter().position(|s| *s == stream) {
            Some(i) => drop(self.started.remove(i)),
            None => self.ended.push(stream),
        }
        if let Some(i) = self.active.iter().position(|a| a.stream == stream) {
            self.active.remove(i);
        }
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        self.closed = true;
        Ok(())
    }
}

impl FrameBuffer {
    /// A buffer for the frames of an environment that said this of its streams.
    pub(super) fn new(spaces: Option<Spaces>) -> Self {
        FrameBuffer { spaces, ..FrameBuffer::default() }
    }

    /// Takes an observation, limited to −1…1: what is beyond would drown the rest of the loss.
    fn take_observation(&mut self, stream: u64, observation: &[f32]) {
        let mut beyond = None;
        self.observations.extend(observation.iter().map(|x| {
            if x.abs() > 1.0 {
                beyond = Some(*x);
            }
            x.clamp(-1.0, 1.0)
        }));
        if let (Some(value), false) = (beyond, self.reported.observation) {
            self.reported.observation = true;
            tracing::warn!(
                "the environment observes {value} in stream {stream}; observations must be in −1…1, and what is beyond is \
                 limited to that. Scale them in the environment. This is reported once"
            );
        }
    }

    /// Takes a reward, limited to the range that the environment declares.
    fn take_reward(&mut self, stream: u64, reward: Option<f32>) -> f32 {
        let Some(reward) = reward.filter(|r| !r.is_nan()) else { return f32::NAN };
        let range = self.spaces.as_ref().map_or_else(RewardRange::default, |s| s.reward);
        if (reward < range.min || reward > range.max) && !self.reported.reward {
            self.reported.reward = true;
            let RewardRange { min, max } = range;
            tracing::warn!(
                "the environment sends a reward of {reward} in stream {stream}; its range is {min}…{max}, and what is \
                 beyond is limited to that. This is reported once"
            );
        }
        reward.clamp(range.min, range.max)
    }

    /// Forgets what one step has used. Which streams there are is kept.
    pub(super) fn clear(&mut self) {
        self.observations.clear();
        self.groups.clear();
        self.active.clear();
        self.started.clear();
        self.ended.clear();
        self.ended.append(&mut self.gone);
    }

    /// The streams that there are, and those of them whose episode is over.
    pub(super) fn known(&self) -> [Vec<u64>; 2] {
        [&self.known, &self.episode_over].map(|streams| streams.iter().copied().collect())
    }

    /// Goes on with the streams of [`known`](Self::known).
    pub(super) fn restore(&mut self, [known, episode_over]: [Vec<u64>; 2]) {
        self.known = known.into_iter().collect();
        self.episode_over = episode_over.into_iter().collect();
    }

    /// The environment has begun anew: the next step says that all streams of before have ended.
    pub(super) fn end_all(&mut self) {
        self.gone = std::mem::take(&mut self.known).into_iter().collect();
        self.episode_over.clear();
    }

    /// The streams of the rows.
    pub(super) fn streams(&self) -> Vec<u64> {
        self.active.iter().map(|a| a.stream).collect()
    }

    /// Where the rows stand in their episodes.
    pub(super) fn step_types(&self) -> Vec<StepType> {
        self.active.iter().map(|a| a.step_type).collect()
    }

    /// The rewards of the rows.
    pub(super) fn rewards(&self) -> Vec<f32> {
        self.active.iter().map(|a| a.reward).collect()
    }

    /// What a stream observed, without the slots that the goal reserves.
    pub(super) fn observation(&self, active: &Active) -> &[f32] {
        &self.observations[active.start..active.end]
    }

    /// What actions a stream wants.
    pub(super) fn actions(&self, active: &Active) -> &[ActionGroup] {
        &self.groups[active.groups_start..active.groups_end]
    }

    /// The actions of the stream that wants the most.
    pub(super) fn widest_actions(&self) -> &[ActionGroup] {
        let all = self.active.iter().map(|a| self.actions(a));
        all.max_by_key(|groups| action_width(groups)).unwrap_or_default()
    }

    /// Fails if the environment sent what it may not send.
    pub(super) fn check(&self) -> Result<()> {
        if let Some(fault) = &self.fault {
            bail!("{fault}");
        }
        for active in &self.active {
            let (stream, observed, groups) = (active.stream, active.end - active.start, self.actions(active));
            ensure!(
                groups.iter().all(|group| group.choices != 1),
                "stream {stream} asks for a choice among 1; a choice is among 2 or more, and a value is a group of its own"
            );
            if let Some(spaces) = &self.spaces {
                ensure!(
                    observed == spaces.observation && *groups == spaces.actions[..],
                    "stream {stream} observes {observed} values and wants {} actions, where the environment had said that \
                     it would be {} and {}",
                    groups.len(),
                    spaces.observation,
                    spaces.actions.len()
                );
            }
        }
        Ok(())
    }

    /// Fails if a state does not hold what came: then it is the state that is too small, whatever the environment sends.
    pub(super) fn check_size(&self, state_size: i64, reserved: i64) -> Result<()> {
        for active in &self.active {
            let (stream, observed) = (active.stream, active.end - active.start);
            let wanted = (observed, action_width(self.actions(active)));
            check_room(state_size, reserved, format_args!("stream {stream}"), wanted)?;
        }
        Ok(())
    }

    /// One row a stream: the reserved slots (the reward first, missing values behind it), the observation, and missing
    /// values up to the longest. Returns the length of a row.
    pub(super) fn rows(&self, reserved: i64, rewards: &[f32], rows: &mut Vec<f32>) -> usize {
        let reserved = reserved as usize;
        let longest = self.active.iter().map(|a| a.end - a.start).max().unwrap_or_default();
        rows.clear();
        for (active, reward) in self.active.iter().zip(rewards) {
            let row = rows.len();
            rows.resize(row + reserved, f32::NAN);
            if reserved > 0 {
                // NaN stays NaN.
                rows[row] = reward.clamp(-1.0, 1.0);
            }
            rows.extend_from_slice(self.observation(active));
            rows.resize(row + reserved + longest, f32::NAN);
        }
        reserved + longest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(stream: u64, observation: &[f32], reward: Option<f32>) -> Frame<'_> {
        let actions = &[ActionGroup::VALUE];
        Frame { stream, observation, actions, reward, step_type: StepType::MIDDLE }
    }

    fn send(buffer: &mut FrameBuffer, frames: &[Frame<'_>]) {
        frames.iter().for_each(|frame| buffer.frame(*frame).unwrap());
    }

    #[test]
    fn rows_are_padded_with_missing_values_behind_the_reserved_slots() {
        let mut buffer = FrameBuffer::default();
        send(&mut buffer, &[frame(3, &[0.5], Some(7.0)), frame(1, &[0.1, -9.0, 0.2], None)]);
        let mut rows = Vec::new();
        assert_eq!(buffer.rows(2, &buffer.rewards(), &mut rows), 5);
        let shown: Vec<_> = rows.iter().map(|x| format!("{x}")).collect();
        assert_eq!(shown.join(" "), "1 NaN 0.5 NaN NaN NaN NaN 0.1 -1 0.2");
        assert_eq!((buffer.streams(), &buffer.started[..]), (vec![3, 1], &[3, 1][..]));
    }

    #[test]
    fn streams_that_come_and_go_are_announced_once() {
        let mut buffer = FrameBuffer::default();
        buffer.begin(1).unwrap();
        send(&mut buffer, &[frame(1, &[0.0], None), frame(2, &[0.0], None)]);
        assert_eq!(buffer.started, [1, 2]);
        buffer.end(2).unwrap();
        assert_eq!((&buffer.started[..], buffer.active.len(), buffer.ended.len()), (&[1][..], 1, 0));
        buffer.clear();
        buffer.end(1).unwrap();
        send(&mut buffer, &[frame(1, &[0.0], None)]);
        assert_eq!((&buffer.ended[..], &buffer.started[..]), (&[1][..], &[1][..]));
    }

    #[test]
    fn two_frames_at_once_are_a_fault_of_the_environment_and_too_many_values_of_the_state() {
        let mut buffer = FrameBuffer::default();
        send(&mut buffer, &[frame(1, &[0.0; 4], None)]);
        assert!(buffer.check_size(9, 4).is_ok());
        let error = buffer.check_size(8, 4).unwrap_err().to_string();
        assert!(error.contains("a state of 9") && error.contains("[state]"), "{error}");
        send(&mut buffer, &[frame(1, &[0.0], None)]);
        assert!(buffer.check().unwrap_err().to_string().contains("two frames of stream 1"));
    }

    #[test]
    fn after_the_last_frame_of_an_episode_comes_a_first_one() {
        let mut buffer = FrameBuffer::default();
        let of = |step_type| Frame { step_type, ..frame(1, &[0.0], None) };
        for (second, fine) in
            [(StepType::FIRST, true), (StepType::MIDDLE, false), (StepType::TRUNCATED, false)]
        {
            for last in [StepType::TERMINATED, StepType::TRUNCATED] {
                let mut buffer = FrameBuffer::default();
                send(&mut buffer, &[of(last)]);
                buffer.clear();
                send(&mut buffer, &[of(second)]);
                assert_eq!(buffer.check().is_ok(), fine, "{second:?}");
            }
        }
        // A stream that ended begins anew.
        send(&mut buffer, &[of(StepType::TERMINATED)]);
        buffer.end(1).unwrap();
        buffer.clear();
        send(&mut buffer, &[of(StepType::MIDDLE)]);
        assert!(buffer.check().is_ok());
    }

    #[test]
    fn frames_keep_to_what_the_environment_said() {
        let spaces = |observation| Spaces {
            observation,
            actions: vec![ActionGroup::VALUE],
            reward: RewardRange { min: 0.0, max: 5.0 },
        };
        let mut buffer = FrameBuffer::new(Some(spaces(2)));
        send(&mut buffer, &[frame(1, &[0.0, 0.0], Some(7.0))]);
        assert!(buffer.check().is_ok());
        assert_eq!(buffer.rewards(), [5.0]);
        let mut buffer = FrameBuffer::new(Some(spaces(3)));
        send(&mut buffer, &[frame(1, &[0.0, 0.0], None)]);
        assert!(buffer.check().unwrap_err().to_string().contains("had said"));
        let mut buffer = FrameBuffer::default();
        send(&mut buffer, &[Frame { actions: &[ActionGroup::choice(1)], ..frame(1, &[], None) }]);
        assert!(buffer.check().unwrap_err().to_string().contains("a choice among 1"));
    }
}

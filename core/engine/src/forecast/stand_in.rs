//! An environment that only has the shape of one: for steps that are rehearsed.
use efference_sdk::{Environment, Frame, Frames, Result, Spaces, StepType};
use std::time::Duration;

/// One stream that observes zeros and takes whatever is done.
pub(super) struct StandIn {
    spaces: Spaces,
    observation: Vec<f32>,
    ready: bool,
}

impl StandIn {
    /// Of an environment that would say this of its streams.
    pub(super) fn new(spaces: &Spaces) -> Self {
        StandIn { spaces: spaces.clone(), observation: vec![0.0; spaces.observation], ready: true }
    }
}

impl Environment for StandIn {
    fn poll(&mut self, _: Duration, frames: &mut dyn Frames) -> Result<()> {
        if !std::mem::take(&mut self.ready) {
            return Ok(());
        }
        frames.frame(Frame {
            stream: 0,
            observation: &self.observation,
            actions: &self.spaces.actions,
            reward: Some(0.0),
            step_type: StepType::MIDDLE,
        })
    }

    fn act(&mut self, _: u64, _: &[f32], _: &[f32]) -> Result<()> {
        self.ready = true;
        Ok(())
    }

    fn spaces(&self) -> Result<Option<Spaces>> {
        Ok(Some(self.spaces.clone()))
    }
}

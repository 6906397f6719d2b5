//! An environment that costs next to nothing: streams of slowly changing numbers.
use efference_sdk::{ActionGroup, Environment, Frame, Frames, Random, Result, StepType};
use std::time::Duration;

/// `streams` streams of `length` features each, made beforehand and shown in turn.
pub(crate) struct Noise {
    frames: Vec<Vec<f32>>,
    streams: u64,
    actions: Vec<ActionGroup>,
    turn: usize,
}

impl Noise {
    pub(crate) fn new(streams: u64, length: usize, actions: usize) -> Self {
        let mut random = Random::new(1);
        let mut frame = || (0..length).map(|_| (random.unit() * 2.0 - 1.0) as f32).collect();
        Noise {
            frames: (0..8).map(|_| frame()).collect(),
            streams,
            actions: vec![ActionGroup::VALUE; actions],
            turn: 0,
        }
    }
}

impl Environment for Noise {
    fn poll(&mut self, _: Duration, frames: &mut dyn Frames) -> Result<()> {
        for stream in 0..self.streams {
            let observation = &self.frames[(self.turn + stream as usize) % self.frames.len()];
            frames.frame(Frame {
                stream,
                observation,
                actions: &self.actions,
                reward: Some(observation[0]),
                step_type: StepType::MIDDLE,
            })?;
        }
        self.turn += 1;
        Ok(())
    }

    fn act(&mut self, _: u64, _: &[f32], _: &[f32]) -> Result<()> {
        Ok(())
    }
}

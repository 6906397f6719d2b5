//! Prints how many frames a second each world makes with random actions, for 1 stream and for 64:
//! `cargo run --release -p efference-worlds --example frames_per_second`
#![allow(clippy::print_stdout)] // the output of this command

use efference_sdk::{Environment, EnvironmentSetup, Frame, Frames, Plugin, Random, Result, action_width};
use efference_worlds::{Options, WorldName, Worlds};
use std::time::{Duration, Instant};

/// The frames that wait for a response: stream, length of the prediction, length of the action.
#[derive(Default)]
struct Waiting(Vec<(u64, usize, usize)>);

impl Frames for Waiting {
    fn begin(&mut self, _: u64) -> Result<()> {
        Ok(())
    }
    fn frame(&mut self, frame: Frame<'_>) -> Result<()> {
        self.0.push((frame.stream, frame.observation.len(), action_width(frame.actions)));
        Ok(())
    }
    fn end(&mut self, _: u64) -> Result<()> {
        Ok(())
    }
    fn close(&mut self) -> Result<()> {
        Ok(())
    }
}

fn frames_per_second(options: Options) -> Result<f64> {
    let mut world = Worlds::new(options, &EnvironmentSetup::with_seed(1))?;
    let (mut random, mut waiting, mut frames) = (Random::new(1), Waiting::default(), 0_u64);
    let (mut prediction, mut action) = (Vec::new(), Vec::new());
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(500) {
        for _ in 0..100 {
            world.poll(Duration::ZERO, &mut waiting)?;
            for (stream, seen, wanted) in waiting.0.drain(..) {
                prediction.resize(seen, 0.0);
                action.resize(wanted, 0.0);
                action.fill_with(|| (2.0 * random.unit() - 1.0) as f32);
                world.act(stream, &prediction, &action)?;
                frames += 1;
            }
        }
    }
    Ok(frames as f64 / start.elapsed().as_secs_f64())
}

fn main() {
    for world in
        [WorldName::Bounce, WorldName::Catch, WorldName::CartPole, WorldName::Memory, WorldName::Copy]
    {
        for streams in [1, 64] {
            let name = format!("{world:?}").to_lowercase();
            match frames_per_second(Options { world, streams, ..Options::default() }) {
                Ok(rate) => println!("{name:>8}, {streams:>2} streams: {rate:>11.0} frames/s"),
                Err(error) => println!("{name:>8}, {streams:>2} streams: {error:#}"),
            }
        }
    }
}

//! Environment plugin: a walker on a line, who is to stay near 0.
use efference_sdk::{
    ActionGroup, Environment, EnvironmentSetup, Frame, Frames, Outline, Plugin, Random, Restores, Result,
    RewardRange, Spaces, StepType, derive_seed, ensure,
};
use std::time::Duration;

efference_sdk::options! {
    /// Options of `my-plugin`.
    pub struct Options {
        /// How far the walker is pushed at random, at most, in each step.
        #[schemars(range(min = 0.0, max = 1.0))]
        pub push: f64 = 0.1,
        /// Steps of an episode.
        #[schemars(range(min = 1, max = 1_000_000))]
        pub time: u64 = 50,
    }
}

/// One stream. It observes where the walker is, and how much of the time has gone; it chooses among left, stay and right;
/// the reward is `1 − |place|`, or −1 beyond ±1, where the episode ends.
pub struct MyPlugin {
    options: Options,
    seed: u64,
    /// Whether a frame waits to be polled; else one waits for its response.
    is_ready: bool,
    episode: u64,
    time: u64,
    place: f64,
}

const STREAM: u64 = 0;
/// How far a step goes.
const STEP: f64 = 0.1;

impl MyPlugin {
    fn spaces() -> Spaces {
        Spaces { observation: 2, actions: vec![ActionGroup::choice(3)], reward: RewardRange::default() }
    }

    fn is_over(&self) -> bool {
        self.place.abs() > 1.0
    }

    fn step_type(&self) -> StepType {
        match self.time {
            0 => StepType::FIRST,
            _ if self.is_over() => StepType::TERMINATED,
            time if time == self.options.time => StepType::TRUNCATED,
            _ => StepType::MIDDLE,
        }
    }
}

impl Plugin for MyPlugin {
    const NAME: &'static str = "my-plugin";
    const DESCRIPTION: &'static str = "A walker on a line, who is to stay near 0.";
    type Options = Options;
    type Kind = dyn Environment;

    fn outline(_: &Options) -> Result<Outline> {
        Ok(Outline { streams: Some(1), spaces: Some(MyPlugin::spaces()) })
    }

    fn new(options: Options, setup: &EnvironmentSetup) -> Result<Self> {
        Ok(MyPlugin { options, seed: setup.seed, is_ready: true, episode: 0, time: 0, place: 0.0 })
    }
}

impl Environment for MyPlugin {
    fn poll(&mut self, _: Duration, frames: &mut dyn Frames) -> Result<()> {
        if !self.is_ready {
            return Ok(());
        }
        self.is_ready = false;
        let observation = [self.place.clamp(-1.0, 1.0) as f32, self.time as f32 / self.options.time as f32];
        let reward = if self.is_over() { -1.0 } else { 1.0 - self.place.abs() as f32 };
        frames.frame(Frame {
            stream: STREAM,
            observation: &observation,
            actions: &MyPlugin::spaces().actions,
            reward: (self.time > 0).then_some(reward),
            step_type: self.step_type(),
        })
    }

    fn act(&mut self, stream: u64, _: &[f32], action: &[f32]) -> Result<()> {
        ensure!(stream == STREAM && !self.is_ready, "stream {stream} does not wait for a response");
        let Some(choice) = action.iter().position(|chosen| *chosen == 1.0) else {
            efference_sdk::bail!("none of 3 was chosen: {action:?}")
        };
        self.is_ready = true;
        if self.step_type().is_last() {
            (self.episode, self.time, self.place) = (self.episode + 1, 0, 0.0);
            return Ok(());
        }
        self.time += 1;
        // From the seed and the time alone: there is no generator to be saved.
        let seed = derive_seed(self.seed, &format!("push {} {}", self.episode, self.time));
        let push = self.options.push * (2.0 * Random::new(seed).unit() - 1.0);
        self.place += STEP * (choice as f64 - 1.0) + push;
        Ok(())
    }

    fn spaces(&self) -> Result<Option<Spaces>> {
        Ok(Some(MyPlugin::spaces()))
    }

    fn restores(&self) -> Result<Restores> {
        Ok(Restores::Exact)
    }

    fn save(&self) -> Result<Vec<u8>> {
        let numbers = [u64::from(self.is_ready), self.episode, self.time, self.place.to_bits(), self.seed];
        Ok(numbers.iter().flat_map(|number| number.to_le_bytes()).collect())
    }

    fn restore(&mut self, saved: &[u8]) -> Result<()> {
        let numbers: Vec<u64> = saved.as_chunks().0.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect();
        let [is_ready, episode, time, place, seed] = numbers[..] else {
            efference_sdk::bail!("40 bytes were saved, and these are {}", saved.len())
        };
        (self.is_ready, self.episode, self.time) = (is_ready == 1, episode, time);
        (self.place, self.seed) = (f64::from_bits(place), seed);
        Ok(())
    }
}

efference_sdk::export! { environment: MyPlugin }

#[cfg(test)]
mod tests {
    use super::*;

    /// Keeps the last frame.
    #[derive(Default)]
    struct Last(Option<(Vec<f32>, Option<f32>, StepType)>);

    impl Frames for Last {
        fn begin(&mut self, _: u64) -> Result<()> {
            Ok(())
        }

        fn frame(&mut self, frame: Frame<'_>) -> Result<()> {
            self.0 = Some((frame.observation.to_vec(), frame.reward, frame.step_type));
            Ok(())
        }

        fn end(&mut self, _: u64) -> Result<()> {
            Ok(())
        }

        fn close(&mut self) -> Result<()> {
            Ok(())
        }
    }

    fn next(world: &mut MyPlugin) -> (Vec<f32>, Option<f32>, StepType) {
        let mut last = Last::default();
        world.poll(Duration::ZERO, &mut last).unwrap();
        last.0.unwrap()
    }

    fn new() -> MyPlugin {
        MyPlugin::new(Options { push: 0.0, ..Options::default() }, &EnvironmentSetup::with_seed(1)).unwrap()
    }

    #[test]
    fn who_walks_right_all_the_time_falls_off() {
        let mut world = new();
        assert_eq!(next(&mut world).2, StepType::FIRST);
        for step in 1..=11 {
            world.act(STREAM, &[], &[0.0, 0.0, 1.0]).unwrap();
            let (_, reward, step_type) = next(&mut world);
            assert_eq!(step_type == StepType::TERMINATED, step == 11, "step {step}");
            assert_eq!(reward == Some(-1.0), step == 11, "step {step}");
        }
    }

    #[test]
    fn who_stays_stays_until_time_is_up() {
        let mut world = new();
        next(&mut world);
        for _ in 0..49 {
            world.act(STREAM, &[], &[0.0, 1.0, 0.0]).unwrap();
            assert_eq!(next(&mut world).2, StepType::MIDDLE);
        }
        world.act(STREAM, &[], &[0.0, 1.0, 0.0]).unwrap();
        assert_eq!(next(&mut world), (vec![0.0, 1.0], Some(1.0), StepType::TRUNCATED));
    }
}

//! Compares steps per second of a plain loop in Python with the plugin's, both with random actions, by turns:
//! `cargo run --release -p efference-gymnasium --example steps_per_second -- PYTHON ID [STREAMS [ROUNDS [SECONDS]]]`
#![allow(clippy::print_stdout)] // the output of this command

use efference_gymnasium::{Gymnasium, Options};
use efference_sdk::{
    ActionGroup, Environment, EnvironmentSetup, Frame, Frames, Plugin, Random, Result, bail,
};
use std::process::Command;
use std::time::{Duration, Instant};

/// What the plugin is compared with: one environment after another, as many as there are streams.
const LOOP: &str = "
import sys, time, warnings
warnings.simplefilter('ignore')
import gymnasium
id, streams, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
for prefix, module in [('ALE/', 'ale_py'), ('popgym-', 'popgym'), ('MinAtar/', 'minatar.gym'), ('MiniGrid-', 'minigrid')]:
    if id.startswith(prefix):
        module = __import__(module, fromlist=['x'])
        getattr(module, 'register_envs', lambda: None)()
envs = [gymnasium.make(id) for _ in range(streams)]
for seed, env in enumerate(envs):
    env.reset(seed=seed)
    env.action_space.seed(seed)
steps, began = 0, time.perf_counter()
while time.perf_counter() - began < seconds:
    for _ in range(20):
        for env in envs:
            _, _, terminated, truncated, _ = env.step(env.action_space.sample())
            if terminated or truncated:
                env.reset()
        steps += streams
print(steps / (time.perf_counter() - began), file=sys.stderr)
";

/// The streams that wait for a response, and what they want.
#[derive(Default)]
struct Waiting(Vec<u64>, Vec<ActionGroup>);

impl Frames for Waiting {
    fn begin(&mut self, _: u64) -> Result<()> {
        Ok(())
    }
    fn frame(&mut self, frame: Frame<'_>) -> Result<()> {
        self.0.push(frame.stream);
        if self.1 != frame.actions {
            self.1 = frame.actions.to_vec();
        }
        Ok(())
    }
    fn end(&mut self, _: u64) -> Result<()> {
        Ok(())
    }
    fn close(&mut self) -> Result<()> {
        Ok(())
    }
}

fn plain(python: &str, id: &str, streams: usize, seconds: f64) -> Result<f64> {
    let arguments = [id.to_owned(), streams.to_string(), seconds.to_string()];
    let output = Command::new(python).args(["-c", LOOP]).args(arguments).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    match said.trim().lines().last().and_then(|line| line.parse().ok()) {
        Some(rate) => Ok(rate),
        None => bail!("the loop in Python failed: {said}"),
    }
}

struct Plugged {
    environment: Gymnasium,
    waiting: Waiting,
    random: Random,
    action: Vec<f32>,
}

impl Plugged {
    /// Steps of all streams per second.
    fn rate(&mut self, seconds: f64) -> Result<f64> {
        let (mut steps, began) = (0, Instant::now());
        while began.elapsed().as_secs_f64() < seconds {
            for _ in 0..20 {
                self.environment.poll(Duration::from_millis(100), &mut self.waiting)?;
                let Waiting(streams, groups) = &mut self.waiting;
                for stream in streams.drain(..) {
                    self.action.clear();
                    for group in groups.iter() {
                        let start = self.action.len();
                        self.action.resize(start + group.width(), 0.0);
                        match group.choices {
                            0 => self.action[start] = (2.0 * self.random.unit() - 1.0) as f32,
                            n => self.action[start + self.random.below(u64::from(n)) as usize] = 1.0,
                        }
                    }
                    self.environment.act(stream, &[], &self.action)?;
                    steps += 1;
                }
            }
        }
        Ok(f64::from(steps) / began.elapsed().as_secs_f64())
    }
}

fn median(numbers: &mut [f64]) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [python, id, rest @ ..] = &arguments[..] else {
        bail!("usage: steps_per_second PYTHON ID [STREAMS [ROUNDS [SECONDS]]]");
    };
    let number = |at: usize, default: f64| rest.get(at).map_or(Ok(default), |text| text.parse());
    let (streams, rounds, seconds) = (number(0, 1.0)? as usize, number(1, 9.0)? as usize, number(2, 1.0)?);
    let options = Options { id: id.clone(), python: python.clone(), streams, ..Options::default() };
    let environment = Gymnasium::new(options, &EnvironmentSetup::with_seed(1))?;
    let mut plugged =
        Plugged { environment, waiting: Waiting::default(), random: Random::new(1), action: Vec::new() };
    let (mut loops, mut plugin, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        loops.push(plain(python, id, streams, seconds)?);
        plugin.push(plugged.rate(seconds)?);
        ratios.push(plugin[plugin.len() - 1] / loops[loops.len() - 1]);
    }
    let (low, high) = ratios.iter().fold((f64::MAX, 0.0_f64), |(low, high), r| (low.min(*r), high.max(*r)));
    println!(
        "{id}, {streams} streams: loop in Python {:.0} steps/s, plugin {:.0} steps/s, ratio {:.2} ({low:.2}…{high:.2}); medians \
         of {rounds} rounds by turns",
        median(&mut loops),
        median(&mut plugin),
        median(&mut ratios)
    );
    Ok(())
}

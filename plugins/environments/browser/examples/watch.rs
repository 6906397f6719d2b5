//! Opens a page and drives it at random until it is stopped; arguments: `[URL [STREAMS]]`. Says once a second how many
//! frames came, their mean reward, and how much changed from frame to frame.
#![allow(clippy::print_stdout)] // this is what it is for
use efference_browser::{Browser, Options};
use efference_sdk::{Environment, EnvironmentSetup, Frame, Frames, Plugin, Random, Result};
use std::collections::HashMap;
use std::time::{Duration, Instant};

#[derive(Default)]
struct Watcher {
    last: HashMap<u64, Vec<f32>>,
    changed: f64,
    rewards: Vec<f32>,
    count: usize,
}

impl Frames for Watcher {
    fn begin(&mut self, _: u64) -> Result<()> {
        Ok(())
    }
    fn end(&mut self, _: u64) -> Result<()> {
        Ok(())
    }
    fn close(&mut self) -> Result<()> {
        Ok(())
    }

    fn frame(&mut self, frame: Frame<'_>) -> Result<()> {
        let last = self.last.entry(frame.stream).or_insert_with(|| frame.observation.to_vec());
        let sum: f32 = last.iter().zip(frame.observation).map(|(a, b)| (a - b).abs()).sum();
        self.changed += f64::from(sum) / frame.observation.len() as f64;
        last.copy_from_slice(frame.observation);
        self.rewards.extend(frame.reward);
        self.count += 1;
        Ok(())
    }
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut options = Options { frames_per_second: 0.0, ..Options::default() };
    if let Some(url) = arguments.next() {
        options.url = url.as_str().into();
    }
    options.streams = arguments.next().and_then(|n| n.parse().ok()).unwrap_or(1);
    let streams = options.streams as u64;
    let mut browser = Browser::new(options, &EnvironmentSetup::with_seed(0))?;
    let mut random = Random::new(1);
    let mut watcher = Watcher::default();
    while (watcher.last.len() as u64) < streams {
        browser.poll(Duration::from_secs(1), &mut watcher)?;
    }
    println!("open");
    let mut second = Instant::now();
    loop {
        browser.poll(Duration::from_secs(1), &mut watcher)?;
        for stream in 0..streams {
            let action: Vec<f32> = (0..4).map(|_| (2.0 * random.unit() - 1.0) as f32).collect();
            browser.act(stream, &[], &action)?;
        }
        if second.elapsed() > Duration::from_secs(1) {
            let count = watcher.count as f64;
            let reward = watcher.rewards.iter().sum::<f32>() / watcher.rewards.len().max(1) as f32;
            println!(
                "{:.1} frames/s, {:.4} change, {} rewards of mean {reward:.3}",
                count / second.elapsed().as_secs_f64(),
                watcher.changed / count.max(1.0),
                watcher.rewards.len()
            );
            watcher = Watcher { last: watcher.last, ..Watcher::default() };
            second = Instant::now();
        }
    }
}

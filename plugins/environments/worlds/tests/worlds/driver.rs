//! Drives an environment as a host does.
use efference_sdk::{
    ActionGroup, Environment, EnvironmentSetup, Frame, Frames, Plugin, Random, Result, StepType, action_width,
};
use efference_worlds::{Options, Worlds};
use std::time::Duration;

/// A frame, kept.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    pub(crate) stream: u64,
    pub(crate) observation: Vec<f32>,
    pub(crate) actions: Vec<ActionGroup>,
    pub(crate) reward: Option<f32>,
    pub(crate) step_type: StepType,
}

impl Kept {
    /// An action of zeros.
    pub(crate) fn no_action(&self) -> Vec<f32> {
        vec![0.0; action_width(&self.actions)]
    }
}

/// A missing value is NaN, which equals nothing: compares bits.
impl PartialEq for Kept {
    fn eq(&self, other: &Kept) -> bool {
        let all = |k: &Kept| {
            let bits: Vec<u32> = k.observation.iter().map(|x| x.to_bits()).collect();
            (k.stream, bits, k.actions.clone(), k.reward.map(f32::to_bits), k.step_type)
        };
        all(self) == all(other)
    }
}

struct Keep(Vec<Kept>);

impl Frames for Keep {
    fn begin(&mut self, _stream: u64) -> Result<()> {
        Ok(())
    }
    fn frame(&mut self, frame: Frame<'_>) -> Result<()> {
        self.0.push(Kept {
            stream: frame.stream,
            observation: frame.observation.to_vec(),
            actions: frame.actions.to_vec(),
            reward: frame.reward,
            step_type: frame.step_type,
        });
        Ok(())
    }
    fn end(&mut self, stream: u64) -> Result<()> {
        panic!("stream {stream} ended, but worlds never end");
    }
    fn close(&mut self) -> Result<()> {
        panic!("worlds never end");
    }
}

pub(crate) fn new(options: Options) -> Worlds {
    with_seed(options, 7)
}

pub(crate) fn with_seed(options: Options, seed: u64) -> Worlds {
    Worlds::new(options, &EnvironmentSetup::with_seed(seed)).expect("these options fit together")
}

pub(crate) fn poll(world: &mut Worlds) -> Vec<Kept> {
    let mut keep = Keep(Vec::new());
    world.poll(Duration::ZERO, &mut keep).expect("polling a world never fails");
    keep.0
}

/// One of `n` alternatives, as an action.
pub(crate) fn choice(chosen: usize, n: usize) -> Vec<f32> {
    (0..n).map(|i| if i == chosen { 1.0 } else { 0.0 }).collect()
}

/// Polls and acts `steps` times: predictions and actions are what `respond` returns for a frame.
pub(crate) fn drive(
    world: &mut Worlds,
    steps: usize,
    mut respond: impl FnMut(&Kept) -> (Vec<f32>, Vec<f32>),
) -> Vec<Kept> {
    let mut all = Vec::new();
    for _ in 0..steps {
        for frame in poll(world) {
            let (prediction, action) = respond(&frame);
            world.act(frame.stream, &prediction, &action).expect("the response has the right lengths");
            all.push(frame);
        }
    }
    all
}

/// Predicts the last frame again and acts at random.
pub(crate) fn at_random(seed: u64) -> impl FnMut(&Kept) -> (Vec<f32>, Vec<f32>) {
    let mut random = Random::new(seed);
    move |frame| {
        let mut action = Vec::new();
        for group in &frame.actions {
            match group.choices {
                0 => action.push((2.0 * random.unit() - 1.0) as f32),
                n => action.extend(choice(random.below(u64::from(n)) as usize, n as usize)),
            }
        }
        (frame.observation.clone(), action)
    }
}

/// Errors of three baselines, `½·Σ(prediction − observation)²` a frame: all black, the mean picture, the last frame.
pub(crate) fn baselines(frames: &[Kept]) -> [f64; 3] {
    let count = frames.len() as f64;
    let numbers = frames[0].observation.len();
    let mean: Vec<f64> = (0..numbers)
        .map(|i| frames.iter().map(|f| f64::from(f.observation[i])).sum::<f64>() / count)
        .collect();
    let error = |frame: &Kept, prediction: &dyn Fn(usize) -> f64| -> f64 {
        let off = |(i, x): (usize, &f32)| (f64::from(*x) - prediction(i)).powi(2) / 2.0;
        frame.observation.iter().enumerate().map(off).sum()
    };
    [
        frames.iter().map(|f| error(f, &|_| -1.0)).sum::<f64>() / count,
        frames.iter().map(|f| error(f, &|i| mean[i])).sum::<f64>() / count,
        frames.windows(2).map(|w| error(&w[1], &|i| f64::from(w[0].observation[i]))).sum::<f64>()
            / (count - 1.0),
    ]
}

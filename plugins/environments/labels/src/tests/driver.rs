//! Makes small files, and drives the environment as a host does.
use crate::{Labels, Options};
use efference_sdk::{Environment, EnvironmentSetup, Frame, Frames, Plugin, Result, StepType};
use std::path::Path;
use std::time::Duration;

/// A file in the IDX format.
pub(super) fn idx(sizes: &[u32], elements: &[u8]) -> Vec<u8> {
    let mut file = vec![0, 0, 8, sizes.len() as u8];
    sizes.iter().for_each(|size| file.extend(size.to_be_bytes()));
    file.extend(elements);
    file
}

/// Five pictures of 2 × 3 pixels, of which picture n begins with pixel 10 n and goes on in steps of 40.
pub(super) fn pictures() -> Vec<u8> {
    let pixels: Vec<u8> = (0..5).flat_map(|n| (0..6).map(move |p| 10 * n + 40 * p)).collect();
    idx(&[5, 2, 3], &pixels)
}

/// Options for those pictures, with labels 0, 1, 2, 3, 0, which are used only if asked for.
pub(super) fn options(folder: &Path) -> Options {
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        std::fs::write(&path, bytes).expect("written");
        path.to_string_lossy().into_owned()
    };
    Options {
        images: write("pictures", &pictures()),
        label_file: write("labels", &idx(&[5], &[0, 1, 2, 3, 0])),
        count: 5,
        classes: 4,
        ..Options::default()
    }
}

/// A frame that was received.
#[derive(Debug, Clone)]
pub(super) struct Received {
    pub(super) stream: u64,
    pub(super) observation: Vec<f32>,
    pub(super) reward: Option<f32>,
    pub(super) step_type: StepType,
}

struct Receive(Vec<Received>);

impl Frames for Receive {
    fn begin(&mut self, _stream: u64) -> Result<()> {
        Ok(())
    }
    fn frame(&mut self, frame: Frame<'_>) -> Result<()> {
        assert!(frame.actions.is_empty());
        self.0.push(Received {
            stream: frame.stream,
            observation: frame.observation.to_vec(),
            reward: frame.reward,
            step_type: frame.step_type,
        });
        Ok(())
    }
    fn end(&mut self, stream: u64) -> Result<()> {
        panic!("stream {stream} ended, but streams of pictures never end");
    }
    fn close(&mut self) -> Result<()> {
        panic!("streams of pictures never end");
    }
}

pub(super) fn new(options: Options) -> Labels {
    with_seed(options, 7)
}

pub(super) fn with_seed(options: Options, seed: u64) -> Labels {
    Labels::new(options, &EnvironmentSetup::with_seed(seed)).expect("these options fit the files")
}

pub(super) fn poll(labels: &mut Labels) -> Vec<Received> {
    let mut received = Receive(Vec::new());
    labels.poll(Duration::ZERO, &mut received).expect("polling never fails");
    received.0
}

/// Polls and acts `steps` times: predictions are what `predict` returns for a frame.
pub(super) fn drive(
    labels: &mut Labels,
    steps: usize,
    predict: impl Fn(&Received) -> Vec<f32>,
) -> Vec<Received> {
    let mut all = Vec::new();
    for _ in 0..steps {
        for frame in poll(labels) {
            labels.act(frame.stream, &predict(&frame), &[]).expect("the response has the right lengths");
            all.push(frame);
        }
    }
    all
}

/// The frames of so many steps.
pub(super) fn frames(labels: &mut Labels, steps: usize) -> Vec<Received> {
    drive(labels, steps, |frame| vec![0.5; frame.observation.len()])
}

/// Which class is shown.
pub(super) fn shown(classes: &[f32]) -> usize {
    classes.iter().position(|c| *c == 1.0).expect("a label is shown")
}

/// What can be compared: a missing value is NaN, which equals nothing.
pub(super) fn elements(observation: &[f32]) -> Vec<u32> {
    observation.iter().map(|x| x.to_bits()).collect()
}
